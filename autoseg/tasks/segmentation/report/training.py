"""Sections of the report about the plan and the training of segmentation models."""

from __future__ import annotations

import math

from autoseg.evaluation.summary import Summary
from autoseg.plan import Configuration, Plans
from autoseg.reporting.artefacts import FoldArtefacts
from autoseg.reporting.blocks import (
    Block,
    Command,
    Explained,
    Explanations,
    Folded,
    Heading,
    Section,
    Table,
    Text,
    decisions,
)
from autoseg.reporting.training import curve_figures, folds_table, last_loss, network_in_words, recipe_and_settings
from autoseg.sides import Mirroring, pairs_in_words
from autoseg.tasks.segmentation.report.artefacts import Model, SegmentationArtefacts, missing_steps
from autoseg.tasks.segmentation.report.fine_tuning import before_and_after
from autoseg.tasks.segmentation.risk import percent, risks_in_words
from autoseg.wording import counted, fixed, listed, number, times

NORMALIZATIONS = {
    "ct": "CT (clipped, then the dataset's mean and deviation)", "zscore": "z-score (mean 0, deviation 1)",
    "rescale_0_1": "rescaled to 0 to 1", "rgb": "divided by 255", "none": "none"}
CLASSES_SHOWN = 12
DECISIONS = {
    "spacing_mm": "Voxel size", "patch_size": "Patch", "batch_size": "Batch", "network": "Network",
    "normalization": "Normalization", "previous_stage": "Goes on from"}


def training_section(found: SegmentationArtefacts) -> Section:
    """Show each model's losses and Dice over the epochs, and how long they took."""
    section = Section("training", "Training")
    if not found.models:
        step = missing_steps(found)[0]
        section.blocks += [Text("No model has been trained yet. This trains one:", is_note=True), Command(step.line)]
        return section
    section.blocks.append(Text(
        "The data are divided into folds: each fold's model is trained on the others' cases and validated on its own. The "
        "loss is what training makes smaller. Dice (0 to 1, more is better) is measured on patches of validation cases, as a "
        "sign of how the training goes; the whole images count in the cross-validation above."))
    for model in found.models:
        section.blocks += [Heading(model.name), *_recipe(model), *before_and_after(model, found.troubles), *curve_figures(model)]
        if model.begun:
            section.blocks.append(folds_table(model.name, model.folds, {
                "last loss": last_loss, "validation Dice": _validation_dice, "cases validated": _cases_validated}))
    return section


def _validation_dice(fold: FoldArtefacts[Summary]) -> str:
    return fixed(fold.results.foreground_mean.get("Dice")) if fold.results else ""


def _cases_validated(fold: FoldArtefacts[Summary]) -> str:
    return counted(len(fold.results.metric_per_case), "case") if fold.results else ""


def _recipe(model: Model) -> list[Block]:
    """Show the recipe, network and settings as model.json holds them; return no block where that could not be read."""
    its = model.description
    if its is None or its.plans is None or model.folder.configuration not in its.plans.configurations:
        return []
    configuration = its.plans.configurations[model.folder.configuration]
    batch = f"{counted(configuration.batch_size, 'patch', 'patches')} of {times(configuration.patch_size)} voxels in each step"
    return recipe_and_settings(
        model.name, its, *_previous(configuration),
        Explained("Network", network_in_words(configuration.network)), Explained("Batch", batch),
        Explained("Mirrored", Mirroring(its.mirror_axes, its.swap_axes, its.swapped).in_words, "In training and in prediction."))


def _previous(configuration: Configuration) -> list[Explained]:
    """Name the stage that a model goes on from; nothing where it sees the image alone."""
    stage = configuration.previous_stage
    return [Explained("Goes on from", f"the segmentation by {stage}", "One more channel for each label.")] if stage else []


def plan_section(plans: Plans) -> Section:
    """Show the decisions of every configuration with their reasons."""
    section = Section("plan", "The plan, and why")
    count = len(plans.configurations)
    section.blocks.append(Text(
        f"Planner “{plans.planner}” made {'one configuration' if count == 1 else f'{count} configurations'}: "
        f"{listed(list(plans.configurations))}. A configuration is one way to look at the images: slice by slice (2d), in "
        "three dimensions at full resolution (3d_fullres) or on a coarser grid (3d_lowres), or at full resolution with what "
        "the coarser one segmented beside the image (3d_cascade_fullres). Each number follows from a rule."))
    if risks := risks_in_words(plans):
        section.blocks.append(Text(risks, is_note=True))
    for name, configuration in plans.configurations.items():
        values = _values(configuration)
        titles = {key: title for key, title in DECISIONS.items() if key in values}
        section.blocks += [Heading(name), decisions(titles, values, configuration.reasons),
                           *_visibility(configuration)]
    if plans.sides is not None and plans.sides.reason:
        section.blocks += [Heading("Left and right"), Explanations([Explained(
            "Change places when mirrored", pairs_in_words(plans.sides.pairs) or "none", plans.sides.reason)])]
    return section


def _visibility(its: Configuration) -> list[Block]:
    """Show how much of each class patches show, those of which they show least first."""
    voxels = math.prod(its.patch_size)
    seen = sorted(its.visibility.items(), key=lambda entry: entry[1].training_share * entry[1].voxels)
    rows = [[name, percent(of_class.random_share), percent(of_class.training_share), number(of_class.voxels),
             percent(of_class.training_share * of_class.voxels / voxels)] for name, of_class in seen]
    at_risk = frozenset(row for row, (_, of_class) in enumerate(seen) if of_class.at_risk)
    caption = f"What patches show of each class (marked: at risk of never being found); a patch has {voxels:,} voxels"
    columns = ("class", "in random patches", "in training's patches", "voxels in such a patch", "of all voxels in training")
    tables: list[Block] = [Table(caption, columns, rows, marked=at_risk)] if rows else []
    return tables if len(rows) <= CLASSES_SHOWN else [Folded("What patches show of each class", tables)]


def _values(its: Configuration) -> dict[str, str]:
    schemes = [NORMALIZATIONS.get(scheme, scheme) for scheme in dict.fromkeys(its.normalization)]
    extent = times([size * mm for size, mm in zip(its.patch_size, its.spacing_mm, strict=True)])
    return {
        "spacing_mm": f"{times(its.spacing_mm)} mm; the median case then has {times(its.median_shape)} voxels",
        "patch_size": f"{times(its.patch_size)} voxels, {extent} mm",
        "batch_size": f"{its.batch_size} patches in each step",
        "network": network_in_words(its.network),
        "normalization": ", ".join(schemes),
        **({"previous_stage": f"the segmentation by {its.previous_stage}"} if its.previous_stage else {})}
