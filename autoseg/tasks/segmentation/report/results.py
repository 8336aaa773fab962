"""The cross-validation: every model, and the best result class by class and case by case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from autoseg.evaluation.summary import Summary, has_several_lesions, metric_values
from autoseg.reporting.blocks import (
    Block,
    Command,
    Explained,
    Explanations,
    Figure,
    Folded,
    Heading,
    Section,
    Table,
    Text,
    figures,
)
from autoseg.reporting.figures import box_rows
from autoseg.tasks.segmentation.evaluation import failings
from autoseg.tasks.segmentation.report.artefacts import BestResult, SegmentationArtefacts, missing_steps
from autoseg.wording import MISSING, WHY_EMPTY, counted, fixed, listed, number, with_interval

CLASSES_SHOWN = 12
CASES_SHOWN = 12
CLASSES_IN_CASE_TABLE = 6


def results_section(found: SegmentationArtefacts, best: BestResult | None) -> Section:
    """Compare the models, then show the best result."""
    section = Section("results", "Cross-validation")
    if best is None:
        section.blocks.append(Text("There are no validated cases that could be shown.", is_note=True))
        for step in missing_steps(found)[:1]:
            section.blocks += [Text(f"{step.missing}. This goes on:"), Command(step.line)]
        return section
    section.blocks += [
        Text(f"{_predicted(found, best.summary)}, each by the fold that did not train on it, and compared with its reference "
             "label. The interval behind a mean says how far it would move with other cases like these (95 % of the time)."),
        *(Text(f"{failing}.", is_note=True) for failing in failings(best.summary).values()),
        Explanations(_words(best.summary)), Heading("Models"), *_models(found, best),
        Heading(f"Classes: {best.name}"), *_classes(best.summary), Heading("Cases"), *_cases(best.summary)]
    return section


def _predicted(found: SegmentationArtefacts, summary: Summary) -> str:
    """Return how many of the training cases the result is of, as the start of a sentence."""
    validated = {case.case for case in summary.metric_per_case}
    training = {case.name for case in found.dataset.training} if found.dataset is not None else validated
    if training <= validated and found.dataset is not None:
        return "Every training case was predicted"
    of = f" of {counted(len(training), 'training case')}" if found.dataset is not None else ""
    return f"{len(validated)}{of} {'was' if len(validated) == 1 else 'were'} predicted"


def mean_dice(summary: Summary) -> str:
    """Return the mean over the classes, and its interval where there is one."""
    return with_interval(summary.foreground_mean.get("Dice"), summary.foreground_confidence.get("Dice"))


def mean_hd95(summary: Summary) -> str:
    """Return the mean over the classes in mm, and its interval where there is one."""
    return with_interval(summary.foreground_mean.get("HD95"), summary.foreground_confidence.get("HD95"), 2)


def _words(summary: Summary) -> list[Explained]:
    words = [Explained("Dice", "0 to 1, more is better", "How much prediction and reference overlap; 1 is the same voxels.")]
    if _has(summary, "HD95"):
        words.append(Explained("HD95", "mm, less is better", "How far apart the two surfaces are at most, the farthest 5 % of "
                               "their points left out."))
    if _has(summary, "NSD"):
        words.append(Explained("NSD", "0 to 1, more is better", "Surface Dice: the share of both surfaces that lies within "
                               f"{summary.tolerance_mm:g} mm of the other."))
    return words


def _has(summary: Summary, metric: str) -> bool:
    return not math.isnan(summary.foreground_mean.get(metric, math.nan))


def _models(found: SegmentationArtefacts, best: BestResult) -> list[Block]:
    summaries = {model.name: model.summary for model in found.models if model.summary is not None}
    if found.ensemble is not None and found.best is not None:
        summaries[found.best.name] = found.ensemble
    summaries[best.name] = best.summary
    unfinished = {
        model.name: [fold for fold in model.folds if fold.state not in (None, "complete")] for model in found.models}
    rows = []
    for name, summary in summaries.items():
        without = [fold.name for fold in unfinished.get(name, [])]
        rows.append([name, mean_dice(summary), mean_hd95(summary), fixed(summary.foreground_mean.get("NSD")),
                     str(len(summary.metric_per_case)), f"without fold {listed(without)}" if without else "complete"])
    marked = frozenset(i for i, name in enumerate(summaries) if name == best.name)
    by_model = {  # by "post-processed", as "3d_fullres, post-processed" is too long for a figure
        name.split(", ")[-1]: [case.mean_dice for case in summary.metric_per_case] for name, summary in summaries.items()}
    picture = box_rows("Mean Dice of each validation case, by model", by_model, "Dice", limits=_dice_limits(by_model.values()))
    blocks: list[Block] = [Table("Mean over the classes (95 % interval)", ("model", "Dice", "HD95, mm", "NSD", "cases", "folds"),
                                 rows, frozenset({5}), marked)]
    if any(unfinished.values()):
        blocks.append(Text("Models whose folds are not complete were validated on fewer cases: their numbers cannot be "
                           "compared with others'.", is_note=True))
    note = "The line is the median, the box holds half of the cases."
    return [*blocks, *figures(Figure("Mean Dice of each case", picture, note), is_wide=True)]


def _classes(summary: Summary) -> list[Block]:
    """Show the classes with the lowest Dice, further ones folded away."""
    order = sorted(summary.mean, key=lambda key: _lowest_first(summary.mean[key]["Dice"]))
    shown, rest = order[:CLASSES_SHOWN], order[CLASSES_SHOWN:]
    blocks: list[Block] = []
    if rest:
        blocks.append(Text(f"The {CLASSES_SHOWN} of {len(order)} classes with the lowest mean Dice:"))
    blocks += _some_classes(summary, shown)
    if rest:
        blocks.append(Folded(f"The other {len(rest)} classes", _some_classes(summary, rest)))
    return blocks


def _lowest_first(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _some_classes(summary: Summary, keys: Sequence[str]) -> list[Block]:
    def by_class(metric: str) -> dict[str, list[float]]:
        return {summary.names.get(key, key): metric_values(summary.metric_per_case, key, metric) for key in keys}

    dices = by_class("Dice")
    several = [Figure(title, box_rows(f"{title} of each validation case, by class", values, unit, limits=limits), note)
               for title, values, unit, limits, note in (
                   ("Dice", dices, "Dice", _dice_limits(dices.values()), ""),
                   ("HD95", by_class("HD95"), "mm", (0, None), "Cases that miss the class altogether have no distance."))]
    return [_class_table(summary, keys), *figures(*several, is_wide=True)]


def _dice_limits(values: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Return the full scale, or its upper half where all values are in it."""
    lowest = min((value for row in values for value in row if not math.isnan(value)), default=0.0)
    return (0.5 if lowest > 0.52 else 0.0, 1.0)


def _class_table(summary: Summary, keys: Sequence[str]) -> Table:
    """Show the means of each class, without the columns that no class has a value for."""
    columns: dict[str, Callable[[str], str]] = {
        "Dice": lambda key: with_interval(summary.mean[key].get("Dice"), _bounds(summary, key, "Dice")),
        "HD95, mm": lambda key: with_interval(summary.mean[key].get("HD95"), _bounds(summary, key, "HD95"), 2),
        "NSD": lambda key: fixed(summary.mean[key].get("NSD")),
        "|volume error|, ml": lambda key: number(summary.mean[key].get("absolute_volume_error_ml")),
        "lesion F1": lambda key: fixed(summary.mean[key].get("lesion_F1")) if has_several_lesions(summary, key) else MISSING,
        "cases with it": lambda key: str(sum(n > 0 for n in metric_values(summary.metric_per_case, key, "n_ref"))),
        "missed in": lambda key: str(summary.missed[key]) if summary.missed.get(key) else MISSING,
        "false alarms in": lambda key: str(summary.false_alarms[key]) if summary.false_alarms.get(key) else MISSING}
    filled = {title: [cell(key) for key in keys] for title, cell in columns.items()}
    filled = {title: cells for title, cells in filled.items() if title == "Dice" or set(cells) != {MISSING}}
    rows = [[summary.names.get(key, key), *(cells[i] for cells in filled.values())] for i, key in enumerate(keys)]
    return Table(f"Mean over the cases (95 % interval). {MISSING} is {WHY_EMPTY}", ("class", *filled), rows)


def _bounds(summary: Summary, key: str, metric: str) -> tuple[float, float] | None:
    return summary.confidence.get(key, {}).get(metric)


def _cases(summary: Summary) -> list[Block]:
    """Show all cases, lowest Dice first; many of them folded away."""
    ordered = sorted(summary.metric_per_case, key=lambda case: _lowest_first(case.mean_dice))
    keys = list(summary.mean) if len(summary.mean) <= CLASSES_IN_CASE_TABLE else []
    columns = ("case", "mean Dice", *(summary.names.get(key, key) for key in keys))
    rows = [[case.case, fixed(case.mean_dice), *(fixed(metric_values([case], key, "Dice")[0]) for key in keys)]
            for case in ordered]
    blocks: list[Block] = [Table("Dice of the cases, the lowest first", columns, rows[:CASES_SHOWN])]
    if len(rows) > CASES_SHOWN:
        rest = Table("Dice of the cases, continued", columns, rows[CASES_SHOWN:])
        blocks.append(Folded(f"The other {len(rows) - CASES_SHOWN} cases", [rest]))
    if summary.failed:
        failed = [[case, reason] for case, reason in summary.failed.items()]
        blocks += [Text(f"{counted(len(failed), 'case')} could not be evaluated:", is_note=True),
                   Table("Cases that are not evaluated", ("case", "why"), failed, frozenset({1}))]
    return blocks
