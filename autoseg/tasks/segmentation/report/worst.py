"""The cases that agree least with their references, a typical one and the best, each on the slice where the two differ most."""

from __future__ import annotations

import math

from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.case import CaseSummary
from autoseg.evaluation.summary import Summary
from autoseg.plan import Plans
from autoseg.reporting.blocks import Figure, Figures, Section, Text
from autoseg.tasks.segmentation.report.artefacts import BestResult, SegmentationArtefacts
from autoseg.tasks.segmentation.report.overlay import Overlay, overlay, window_of
from autoseg.wording import fixed, listed, number
from autoseg.workspace import DatasetFolder

WORST = 5
CLASSES_NAMED = 4


def worst_section(found: SegmentationArtefacts, best: BestResult | None) -> Section:
    """Show pictures of at most five cases, the median and the best one; say why where one cannot be drawn."""
    section = Section("worst", "The worst, a typical and the best case")
    worst = worst_cases(best.summary) if best is not None else []
    if best is None or not worst:
        section.blocks.append(Text("There are no validated cases yet to be shown.", is_note=True))
        return section
    section.blocks.append(Text(
        f"The {len(worst)} validation cases with the lowest mean Dice ({best.name}), and, where they are not among these, the "
        "case with the median and the one with the best, each on the slice where most voxels differ, turned as on a "
        "radiologist's screen. A solid blue line is the border of the reference, a dashed orange one that "
        "of the prediction. Look closely: what is wrong can be the prediction, and it can be the reference."))
    if found.dataset is None:
        section.blocks.append(Text("dataset.json is not there, so that the images cannot be found.", is_note=True))
        return section
    drawn: list[Figure] = []
    for case, kind in [*((case, "") for case in worst), *typical_and_best(best.summary)]:
        try:
            drawn.append(_figure(case, found.dataset, found.plans, found.folder, best.summary, kind))
        except AutosegError as error:
            section.blocks.append(Text(f"{case.case} (mean Dice {fixed(case.mean_dice)}) cannot be drawn: {error}", is_note=True))
    if drawn:
        section.blocks.append(Figures(drawn))
    return section


def worst_cases(summary: Summary) -> list[CaseSummary]:
    """Return the cases with the lowest mean Dice, without those where neither reference nor prediction holds anything."""
    return _by_dice(summary)[:WORST]


def typical_and_best(summary: Summary) -> list[tuple[CaseSummary, str]]:
    """Return the case of the median mean Dice (of two, the lower) and the best one, each with its name in titles; without those
    that are among the worst."""
    ordered = _by_dice(summary)
    named = {(len(ordered) - 1) // 2: "typical", len(ordered) - 1: "best"}
    return [(ordered[place], name) for place, name in named.items() if place >= WORST]


def _by_dice(summary: Summary) -> list[CaseSummary]:
    rated = [case for case in summary.metric_per_case if not math.isnan(case.mean_dice)]
    return sorted(rated, key=lambda case: case.mean_dice)


def _figure(summary: CaseSummary, dataset: Dataset, plans: Plans, folder: DatasetFolder, of_all: Summary, kind: str) -> Figure:
    case = next((case for case in dataset.training if case.name == summary.case), None)
    if case is None:
        raise AutosegError(f"dataset.json in {folder.root} has no training case of this name.")
    drawn = overlay(case, summary, dataset, window_of(dataset, plans))
    title = f"{summary.case} ({kind})" if kind else summary.case
    return Figure(f"{title}: mean Dice {fixed(summary.mean_dice)}", drawn.element(_alternative(case, summary, drawn)),
                  _note(summary, drawn, of_all))


def _alternative(case: Case, summary: CaseSummary, drawn: Overlay) -> str:
    return (f"{drawn.where} of case {case.name}, mean Dice {fixed(summary.mean_dice)}, {drawn.channel} image in gray: the "
            f"reference's outlines in solid blue, the prediction's in dashed orange. {drawn.differing}")


def _note(summary: CaseSummary, drawn: Overlay, of_all: Summary) -> str:
    ordered = sorted((float(metrics["Dice"]), key) for key, metrics in summary.metrics.items() if not math.isnan(metrics["Dice"]))
    classes = [
        f"{of_all.names.get(key, key)} {fixed(value)} ({_volumes(summary, key)})" for value, key in ordered]
    return f"{drawn.where}, {drawn.channel}. {drawn.differing} Dice: {listed(classes, CLASSES_NAMED)}."


def _volumes(summary: CaseSummary, key: str) -> str:
    volumes = summary.volumes_ml[key]
    return f"{number(volumes.prediction)} ml, reference {number(volumes.reference)} ml"
