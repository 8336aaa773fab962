"""A detector's validation scores: how well they tell abnormal from normal, and the cases that scored highest."""

from __future__ import annotations

from autoseg.evaluation.anomaly.figure import groups
from autoseg.evaluation.anomaly.metrics import NORMAL_PERCENTILE, Detection, roc_of
from autoseg.evaluation.anomaly.scores import CaseScore
from autoseg.evaluation.anomaly.summary import AnomalySummary, scored_cases, scored_slices, summarize
from autoseg.evaluation.report.detectors import Detector, DetectorFold
from autoseg.evaluation.report.elements import Block, Figure, Table, Text, figures
from autoseg.evaluation.report.figures import box_rows, roc_lines
from autoseg.evaluation.report.pictures import Picture, pictures
from autoseg.evaluation.report.words import JOINED, counted, dice, interval, number

PANELS = 4


def scores_of(detector: Detector) -> list[Block]:
    """Numbers, box plots, ROC and panels of all folds together; what is not known is said."""
    its = detector.summary
    if its is None:
        return [Text("No case has been scored yet: a fold does that when it has been trained.", is_note=True)]
    notes = list(dict.fromkeys(part.note for part in (its.cases, its.slices) if part.note))
    levels = {"cases": its.cases, "slices": its.slices, "slices, residual alone": its.residual,
              "slices, discrimination alone": its.discrimination}
    columns = ("score of", "normal", "abnormal", "AUROC", "average precision", "sensitivity")
    blocks: list[Block] = [
        Text(f"{counted(len(detector.cases), 'case')} of the validation{detector.of_folds}, scored by networks that were not "
             "trained on them. AUROC is the chance that an abnormal one scores higher than a normal one (0.5 is guessing, 1 is "
             "always). Average precision is the mean share of abnormal ones among those that score at least as high as each of "
             f"them. Sensitivity is the share of abnormal ones that score higher than {NORMAL_PERCENTILE:g} % of the normal ones."
             + _on_pooling(detector)),
        Table("Normal against abnormal (95 % interval)", columns, [_row(name, part) for name, part in levels.items()]),
        *(Text(note) for note in notes)]
    blocks += _figures(detector, its)
    if len([fold for fold in detector.folds if fold.cases]) > 1:
        blocks.append(_by_fold(detector))
    return blocks + _panels(detector)


def auroc(part: Detection) -> str:
    """The value with its interval where there is one; a dash where it is not known."""
    return _value(part.auroc, part.auroc_interval)


def _on_pooling(detector: Detector) -> str:
    folds = sum(bool(fold.cases) for fold in detector.folds)
    return "" if folds < 2 else (f" The {folds} folds are taken together here, though each has networks and so a scale of its "
                                 "own, which rather lowers these numbers.")


def _row(name: str, part: Detection) -> list[str]:
    return [name, str(part.normal), str(part.abnormal), auroc(part),
            _value(part.average_precision, part.average_precision_interval), dice(part.sensitivity)]


def _value(value: float | None, bounds: tuple[float, float] | None) -> str:
    between = interval(*bounds) if bounds else ""
    return f"{dice(value)} ({between})" if between else dice(value)


def _figures(detector: Detector, its: AnomalySummary) -> list[Block]:
    levels = {"case": scored_cases(detector.cases), "slice": scored_slices(detector.slices)}
    boxes = [Figure(f"Score of each {noun}", box_rows(f"Score of each {noun} of the validation by {detector.name}", {
        "not known" if group == "unknown" else group: scores for group, scores in groups(entries).items()}, "score"))
        for noun, entries in levels.items()]
    areas = {"case": its.cases.auroc, "slice": its.slices.auroc}
    curves = {f"{noun}s, AUROC {area:.2f}": roc_of(levels[noun]) for noun, area in areas.items() if area is not None}
    picture = roc_lines(f"Abnormal against normal of the validation by {detector.name}", curves)
    return figures(*boxes, Figure("ROC curve", picture, "Dotted: guessing."))


def _by_fold(detector: Detector) -> Table:
    rows = []
    for fold in detector.folds:
        if fold.cases:
            its = summarize(fold.cases, fold.slices)
            rows.append([f"fold{JOINED}{fold.name}", str(len(fold.cases)), auroc(its.cases), auroc(its.slices)])
    return Table("AUROC of each fold", ("fold", "cases", "by case", "by slice"), rows)


def _panels(detector: Detector) -> list[Block]:
    """Real, generated and difference of the cases with the highest scores."""
    highest = sorted(((case, fold) for fold in detector.folds for case in fold.cases), key=lambda entry: -entry[0].score)
    return pictures("The cases that scored highest. Each row is a slice: as it is, the closest one that the generator knows, and "
                    "where they differ.", (_panel(case, fold) for case, fold in highest[:PANELS]))


def _panel(case: CaseScore, fold: DetectorFold) -> Picture:
    known = {"normal": "normal", "abnormal": "abnormal", None: "not known whether normal"}[case.truth]
    said = (f"Slices of case {case.case} beside the closest ones that the generator of fold {fold.name} knows, and how they "
            f"differ. Score {number(case.score)}, {known}.")
    return Picture(fold.folder.panels_png(case.case), f"{case.case}: score {number(case.score)}, {known}", said)
