"""Finding a level: how volumes were projected, and what each locator's validation says."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.evaluation.report.artefacts import Artefacts
from autoseg.evaluation.report.elements import (
    Block,
    Command,
    Explained,
    Explanations,
    Heading,
    Section,
    Table,
    Text,
    decisions,
)
from autoseg.evaluation.report.location_errors import errors_of
from autoseg.evaluation.report.locators import LocationArtefacts, Locator
from autoseg.evaluation.report.missing import can_go_on, command_apart, steps_apart
from autoseg.evaluation.report.planning import network_in_words, windows_in_words
from autoseg.evaluation.report.training import all_settings, curve_figures, folds_table, set_by_user
from autoseg.evaluation.report.words import counted, number, times
from autoseg.kinds import LOCATION
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.plan import ProjectionPlans, Target, WorldAxis
from autoseg.tasks.localization.store import StoredProjection

AXES: dict[WorldAxis, str] = {"x": "x, left to right", "y": "y, front to back", "z": "z, head to feet"}
DECISIONS = {
    "target": "Found", "axis": "Along", "project": "Seen along", "slab": "Slab", "seen": "Channels", "windows": "Intensities",
    "pixel_mm": "Pixels", "size": "Size", "position": "Place in the scan", "network": "Network", "batch_size": "Batch",
    "epochs": "Epochs"}


def location_section(found: Artefacts, its: LocationArtefacts) -> Section:
    """The locators' errors first, then how they were trained, and the projections at last."""
    section = Section("location", f"Finding {', '.join(its.targets)}", [Text(
        "A locator finds a level in a projection of the volume: the row that its network marks most strongly is a slice of the "
        "original image. Where no row stands out, the answer is that it was not found.")])
    for step in steps_apart(found, LOCATION):
        section.blocks += [Text(f"{step.missing}:", is_note=True), Command(step.line)]
    for locator in its.locators:
        section.blocks += _of_locator(found, locator, its)
    section.blocks += [Heading(f"Projections, planned for {its.plans.target.name}"),
                       decisions(DECISIONS, _values(its.plans), its.plans.reasons), *_counts(its.plans, its.stored)]
    return section


def _of_locator(found: Artefacts, locator: Locator, its: LocationArtefacts) -> list[Block]:
    target, begun = its.target_of(locator).name, [fold for fold in locator.folds if fold.log]
    blocks = [Heading(f"{locator.name} finds {target}"), *_made_of(locator)]
    if not can_go_on(found, locator):
        blocks.append(Text(f"Projections are planned for {its.plans.target.name} now. New images can be searched for {target} as "
                           "before; to train more of this locator, plan for that again.", is_note=True))
    blocks += errors_of(locator, target)
    if begun:
        blocks += [Text("Losses and Dice over the epochs. Dice (0 to 1) is that of the marked band in projections of validation "
                        "cases, as a sign of how the training goes."), *curve_figures(locator.name, begun)]
    else:
        blocks.append(Text("No epoch has been finished yet.", is_note=True))
    blocks.append(folds_table(locator.name, locator.folds, {
        "last loss": lambda fold: f"{fold.log[-1].training_loss:.3f}" if fold.log else "",
        "cases located": lambda fold: str(sum(row.part == "whole" for row in fold.rows)) if fold.rows else ""}))
    for flags, what in (((), f"This finds {target} in new images:"),
                        (("--crop",), "This writes the found slice of each as an image, too (--crop MM: a slab around it):")):
        if (line := command_apart(found, LOCATION, locator, *flags)) is not None:
            blocks += [Text(what), Command(line)]
    return blocks


def _made_of(locator: Locator) -> list[Block]:
    """Its network and settings; nothing where model.json could not be read."""
    its = locator.description
    if its is None:
        return []
    marked = f"a band of {number(its.band)} pixels, {number(its.band * its.plans.pixel_mm)} mm"
    return [
        Explanations([Explained("Finds", _target(its.plans.target), f"along {AXES[its.plans.axis]}"),
                      Explained("Recipe", its.recipe), Explained("Network", network_in_words(its.network)),
                      Explained("Sees", _sees(its)), Explained("Marks", marked),
                      Explained("Found", f"from a confidence of {its.location.threshold:g}"),
                      Explained("Set by you", set_by_user(its.flags))]),
        all_settings(locator.name, its.settings)]


def _sees(its: LocatorDescription) -> str:
    channels = f"{its.plans.channels} channels of a projection"
    return f"{channels}, and how far each row is from the scan's ends" if its.position else channels


def _values(plans: ProjectionPlans) -> dict[str, str]:
    extent = times([pixels * plans.pixel_mm for pixels in plans.size])
    return {
        "target": _target(plans.target), "axis": AXES[plans.axis], "project": AXES[plans.project],
        "slab": f"the middle {plans.slab:.0%} of the extent", "seen": ", ".join(plans.seen),
        "windows": windows_in_words(plans.channel_names, plans.windows), "pixel_mm": f"{number(plans.pixel_mm)} mm, square",
        "size": f"{times(plans.size)} pixels, {extent} mm",
        "position": "seen by the network" if plans.position else "not seen by the network",
        "network": network_in_words(plans.network),
        "batch_size": f"{plans.batch_size} projections in each step", "epochs": str(plans.epochs)}


def _target(target: Target) -> str:
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
