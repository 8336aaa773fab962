"""Sections of the report about localization: the locators' errors, their training, and how volumes were projected."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.reporting.artefacts import count_folds, model_if_there, read_models, stored_cases
from autoseg.reporting.blocks import Block, Command, Explained, Heading, Section, Table, Text, decisions
from autoseg.reporting.parts import TaskReport, missing_of_all, steps_as_notes, usage
from autoseg.reporting.training import (
    curve_figures,
    folds_table,
    last_loss,
    network_in_words,
    recipe_and_settings,
    windows_in_words,
)
from autoseg.steps import RunRecord
from autoseg.task import TaskInfo
from autoseg.tasks.localization import INFO
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.plan import CONFIGURATION, ProjectionPlans, Target, WorldAxis
from autoseg.tasks.localization.report.errors import Locator, errors_of, pooled, read_results
from autoseg.tasks.localization.store import StoredProjection, open_projection
from autoseg.wording import counted, fixed, number, times, with_interval
from autoseg.workspace import DatasetFolder, read_model

AXES: dict[WorldAxis, str] = {"x": "x, left to right", "y": "y, front to back", "z": "z, head to feet"}
DECISIONS = {
    "target": "Found", "axis": "Along", "project": "Seen along", "slab": "Slab", "seen": "Channels", "windows": "Intensities",
    "pixel_mm": "Pixels", "size": "Size", "position": "Place in the scan", "network": "Network", "batch_size": "Batch",
    "epochs": "Epochs"}


def task_report(folder: DatasetFolder, tasks: Sequence[TaskInfo]) -> TaskReport | None:
    """Return what the page shows of localization; None where the dataset was not planned for it. tasks: all that there are.

    Raises AutosegError where the plans are damaged.
    """
    if not folder.plans_of(INFO).exists():
        return None
    plans, troubles = read_model(folder.plans_of(INFO), ProjectionPlans), list[str]()
    stored = stored_cases(
        folder.preprocessed(CONFIGURATION), (case.name for case in plans.source.training), open_projection, troubles)
    locators = read_models(
        folder.models_of(INFO), count_folds(folder.splits_of(INFO), troubles), troubles, description=LocatorDescription,
        read_results=read_results, summarize=pooled)
    targets = {locator.name: target_of(locator, plans) for locator in locators}
    of_today = [locator for locator in locators if targets[locator.name] == plans.target]  # others cannot be trained further
    missing = missing_of_all(folder, INFO, of_today) if of_today or not locators else []
    names = list(dict.fromkeys([*(target.name for target in targets.values()), plans.target.name]))
    section = Section("location", f"Finding {', '.join(names)}", [Text(
        "A locator finds a level in a projection of the volume: the row that its network marks most strongly is a slice of the "
        "original image. Where no row stands out, the answer is that it was not found."), *steps_as_notes(missing)])
    for locator in locators:
        section.blocks += _of_locator(folder, tasks, locator, targets[locator.name], plans)
    section.blocks += [Heading(f"Projections, planned for {plans.target.name}"),
                       decisions(DECISIONS, _values(plans), plans.reasons), *_counts(plans, stored)]
    lines = {locator.name: usage(folder, INFO, tasks, locator) for locator in locators}
    without = [name for name in names if name not in {target.name for target in targets.values()}]
    return TaskReport(
        sections=[section], missing=missing, models=locators, troubles=troubles,
        run=model_if_there(troubles, folder.run_of(INFO), RunRecord),
        versions={"planned as projections": plans.versions},
        overview=[*(_result(locator, targets[locator.name].name) for locator in locators),
                  *(Explained(f"Finding {name}", "no locator yet") for name in without)],
        commands=[(f"To find {targets[name].name} in new images with {name}", line) for name, line in lines.items() if line])


def target_of(locator: Locator, plans: ProjectionPlans) -> Target:
    """Return what it was trained to find; where model.json is damaged, what is planned today."""
    return locator.description.plans.target if locator.description else plans.target


def _result(locator: Locator, target: str) -> Explained:
    its, title = locator.summary, f"Finding {target}, {locator.name}"
    if its is None or its.error_mm is None:
        return Explained(title, "not validated yet" if its is None else "error not known")
    errors = its.error_mm
    return Explained(
        title, f"mean error {with_interval(errors.mean, errors.interval, 2)} mm",
        f"Over {counted(its.cases, 'case')} of the validation{locator.of_folds}; 95 % interval. Median "
        f"{fixed(errors.median, 2)} mm, worst {fixed(errors.worst, 2)} mm ({errors.worst_case}). Found in "
        f"{its.found} of {its.cases}.")


def _of_locator(
    folder: DatasetFolder, tasks: Sequence[TaskInfo], locator: Locator, target: Target, plans: ProjectionPlans
) -> list[Block]:
    blocks = [Heading(f"{locator.name} finds {target.name}"), *_recipe(locator)]
    if target != plans.target:
        blocks.append(Text(f"Projections are planned for {plans.target.name} now. New images can be searched for {target.name} "
                           "as before; to train more of this locator, plan for that again.", is_note=True))
    blocks += errors_of(locator, target.name)
    blocks += curve_figures(locator, "Losses and Dice over the epochs. Dice (0 to 1) is that of the marked band in projections "
                            "of validation cases, as a sign of how the training goes.")
    blocks.append(folds_table(locator.name, locator.folds, {
        "last loss": last_loss,
        "cases located": lambda fold: str(sum(row.part == "whole" for row in fold.results)) if fold.results else ""}))
    for flags, what in (((), f"This finds {target.name} in new images:"),
                        (("--crop",), "This writes the found slice of each as an image, too (--crop MM: a slab around it):")):
        if (line := usage(folder, INFO, tasks, locator, *flags)) is not None:
            blocks += [Text(what), Command(line)]
    return blocks


def _recipe(locator: Locator) -> list[Block]:
    """Show the network and settings; return no block where model.json could not be read."""
    its = locator.description
    if its is None:
        return []
    marked = f"a band of {number(its.band)} pixels, {number(its.band * its.plans.pixel_mm)} mm"
    return recipe_and_settings(
        locator.name, its, Explained("Finds", _in_words(its.plans.target), f"along {AXES[its.plans.axis]}"),
        Explained("Network", network_in_words(its.network)), Explained("Sees", _sees(its)), Explained("Marks", marked),
        Explained("Found", f"from a confidence of {its.location.threshold:g}"))


def _sees(its: LocatorDescription) -> str:
    channels = f"{its.plans.channels} channels of a projection"
    return f"{channels}, and how far each row is from the scan's ends" if its.position else channels


def _values(plans: ProjectionPlans) -> dict[str, str]:
    extent = times([pixels * plans.pixel_mm for pixels in plans.size])
    return {
        "target": _in_words(plans.target), "axis": AXES[plans.axis], "project": AXES[plans.project],
        "slab": f"the middle {plans.slab:.0%} of the extent", "seen": ", ".join(plans.seen),
        "windows": windows_in_words(plans.channel_names, plans.windows), "pixel_mm": f"{number(plans.pixel_mm)} mm, square",
        "size": f"{times(plans.size)} pixels, {extent} mm",
        "position": "seen by the network" if plans.position else "not seen by the network",
        "network": network_in_words(plans.network),
        "batch_size": f"{plans.batch_size} projections in each step", "epochs": str(plans.epochs)}


def _in_words(target: Target) -> str:
    if not target.labels:
        return f"{target.name}, from a list of points"
    return f"the middle of {target.labels[0]}" if len(target.labels) == 1 else target.name


def _counts(plans: ProjectionPlans, stored: Sequence[StoredProjection]) -> list[Block]:
    blocks: list[Block] = []
    every = len(plans.source.training)
    if missing := every - len(stored):
        blocks.append(Text(f"{counted(missing, 'case')} of {every} could not be projected, or not yet.", is_note=True))
    there = sum(case.level is not None for case in stored)
    known = sum(case.is_known for case in stored)
    rows = [[plans.target.name, str(there), str(known - there), str(len(stored) - known), str(len(stored))]]
    return [*blocks, Table("Projections of the training cases", ("", "with it", "without it", "not known", "all"), rows)]
