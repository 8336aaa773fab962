"""A detector's validation scores: how well they tell abnormal from normal, and the cases that scored highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autoseg.evaluation.roc import NORMAL_PERCENTILE, Detection, roc_of
from autoseg.reporting.artefacts import AnyFold, ModelArtefacts, rows_if_there
from autoseg.reporting.blocks import Block, Figure, Picture, Table, Text, figures, pictures
from autoseg.reporting.figures import box_rows, roc_lines
from autoseg.tasks.anomaly.evaluation import failings
from autoseg.tasks.anomaly.figure import groups
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.pictures import panels_png
from autoseg.tasks.anomaly.scores import SCORES, SLICE_SCORES, CaseScore, SliceScore
from autoseg.tasks.anomaly.summary import AnomalySummary, scored_cases, scored_slices, summarize
from autoseg.wording import JOINED, counted, fixed, number, with_interval
from autoseg.workspace import FoldFolder

PANELS = 4


class Scores(NamedTuple):
    """The scores of a fold's validation, or of several folds."""

    cases: list[CaseScore]
    slices: list[SliceScore]


Detector = ModelArtefacts[AnomalyDescription, Scores, AnomalySummary]


def read_results(fold: FoldFolder, troubles: list[str]) -> Scores | None:
    """Read the scores of a fold's validation; None where there is no case."""
    cases = rows_if_there(troubles, fold.validated(SCORES), CaseScore)
    slices = rows_if_there(troubles, fold.validated(SLICE_SCORES), SliceScore)
    return Scores(cases, slices) if cases else None


def pooled(folds: Sequence[Scores]) -> AnomalySummary:
    """Return how well the scores of these folds together tell abnormal from normal."""
    return summarize(*_together(folds))


def _together(folds: Sequence[Scores]) -> Scores:
    return Scores([case for fold in folds for case in fold.cases], [entry for fold in folds for entry in fold.slices])


def scores_of(detector: Detector) -> list[Block]:
    """Show numbers, box plots, ROC and panels of all folds together; say what is not known."""
    its = detector.summary
    if its is None:
        return [Text("No case has been scored yet: a fold does that when it has been trained.", is_note=True)]
    scores = _together([results for _, results in detector.validated])
    notes = list(dict.fromkeys(part.note for part in (its.cases, its.slices) if part.note))
    levels = {"cases": its.cases, "slices": its.slices, "slices, residual alone": its.residual,
              "slices, discrimination alone": its.discrimination}
    columns = ("score of", "normal", "abnormal", "AUROC", "average precision", "sensitivity")
    blocks: list[Block] = [
        Text(f"{counted(len(scores.cases), 'case')} of the validation{detector.of_folds}, scored by networks that were not "
             "trained on them. AUROC is the chance that an abnormal one scores higher than a normal one (0.5 is guessing, 1 is "
             "always). Average precision is the mean share of abnormal ones among those that score at least as high as each of "
             f"them. Sensitivity is the share of abnormal ones that score higher than {NORMAL_PERCENTILE:g} % of the normal ones."
             + _on_pooling(detector)),
        Table("Normal against abnormal (95 % interval)", columns, [_row(name, part) for name, part in levels.items()]),
        *(Text(f"{failing}.", is_note=True) for failing in failings(its).values()), *(Text(note) for note in notes)]
    blocks += _figures(detector.name, scores, its)
    if len(detector.validated) > 1:
        blocks.append(_by_fold(detector))
    return blocks + _panels(detector)


def auroc(part: Detection) -> str:
    """Return the value with its interval where there is one; a dash where it is not known."""
    return with_interval(part.auroc, part.auroc_interval)


def _on_pooling(detector: Detector) -> str:
    folds = len(detector.validated)
    return "" if folds < 2 else (f" The {folds} folds are taken together here, though each has networks and so a scale of its "
                                 "own, which rather lowers these numbers.")


def _row(name: str, part: Detection) -> list[str]:
    return [name, str(part.normal), str(part.abnormal), auroc(part),
            with_interval(part.average_precision, part.average_precision_interval), fixed(part.sensitivity)]


def _figures(name: str, scores: Scores, its: AnomalySummary) -> list[Block]:
    levels = {"case": scored_cases(scores.cases), "slice": scored_slices(scores.slices)}
    boxes = [Figure(f"Score of each {noun}", box_rows(f"Score of each {noun} of the validation by {name}", {
        "not known" if group == "unknown" else group: values for group, values in groups(entries).items()}, "score"))
        for noun, entries in levels.items()]
    areas = {"case": its.cases.auroc, "slice": its.slices.auroc}
    curves = {f"{noun}s, AUROC {area:.2f}": roc_of(levels[noun]) for noun, area in areas.items() if area is not None}
    picture = roc_lines(f"Abnormal against normal of the validation by {name}", curves)
    return figures(*boxes, Figure("ROC curve", picture, "Dotted: guessing."))


def _by_fold(detector: Detector) -> Table:
    rows = []
    for fold, results in detector.validated:
        its = summarize(*results)
        rows.append([f"fold{JOINED}{fold.name}", str(len(results.cases)), auroc(its.cases), auroc(its.slices)])
    return Table("AUROC of each fold", ("fold", "cases", "by case", "by slice"), rows)


def _panels(detector: Detector) -> list[Block]:
    """Show real, generated and difference of the cases with the highest scores."""
    scored = [(case, fold) for fold, results in detector.validated for case in results.cases]
    highest = sorted(scored, key=lambda entry: -entry[0].score)
    return pictures("The cases that scored highest. Each row is a slice: as it is, the closest one that the generator knows, and "
                    "where they differ.", (_panel(case, fold) for case, fold in highest[:PANELS]))


def _panel(case: CaseScore, fold: AnyFold) -> Picture:
    known = {"normal": "normal", "abnormal": "abnormal", None: "not known whether normal"}[case.truth]
    said = (f"Slices of case {case.case} beside the closest ones that the generator of fold {fold.name} knows, and how they "
            f"differ. Score {number(case.score)}, {known}.")
    return Picture(panels_png(fold.folder, case.case), f"{case.case}: score {number(case.score)}, {known}", said)
