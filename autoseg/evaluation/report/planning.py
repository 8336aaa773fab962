"""The plan, and which rule gave which number."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.evaluation.report.elements import Heading, Section, Text, decisions
from autoseg.evaluation.report.words import counted, listed, times
from autoseg.intensities import IntensityWindow
from autoseg.plan import Configuration, Plans, Topology

NORMALIZATIONS = {
    "ct": "CT (clipped, then the dataset's mean and deviation)", "zscore": "z-score (mean 0, deviation 1)",
    "rescale_0_1": "rescaled to 0 to 1", "rgb": "divided by 255", "none": "none"}
DECISIONS = {
    "spacing_mm": "Voxel size", "patch_size": "Patch", "batch_size": "Batch", "network": "Network",
    "normalization": "Normalization"}


def plan_section(plans: Plans) -> Section:
    """Every configuration's decisions with their reasons."""
    section = Section("plan", "The plan, and why")
    count = len(plans.configurations)
    section.blocks.append(Text(
        f"Planner “{plans.planner}” made {'one configuration' if count == 1 else f'{count} configurations'}: "
        f"{listed(list(plans.configurations))}. A configuration is one way to look at the images: slice by slice (2d), in "
        "three dimensions at full resolution (3d_fullres) or on a coarser grid (3d_lowres). Each number follows from a rule."))
    for name, configuration in plans.configurations.items():
        section.blocks += [Heading(name), decisions(DECISIONS, _values(configuration), configuration.reasons)]
    return section


def _values(its: Configuration) -> dict[str, str]:
    schemes = [NORMALIZATIONS.get(scheme, scheme) for scheme in dict.fromkeys(its.normalization)]
    extent = times([size * mm for size, mm in zip(its.patch_size, its.spacing_mm, strict=True)])
    return {
        "spacing_mm": f"{times(its.spacing_mm)} mm; the median case then has {times(its.median_shape)} voxels",
        "patch_size": f"{times(its.patch_size)} voxels, {extent} mm",
        "batch_size": f"{its.batch_size} patches in each step",
        "network": network_in_words(its.network),
        "normalization": ", ".join(schemes)}


def network_in_words(network: Topology) -> str:
    """ "unet, 6 stages, 32 to 320 features"."""
    return f"{network.name}, {counted(network.stages, 'stage')}, {network.features[0]} to {network.features[-1]} features"


def windows_in_words(channel_names: Sequence[str], windows: Sequence[IntensityWindow | None]) -> str:
    """ "CT: -150 to 350; MR: case by case"."""
    return "; ".join(f"{name}: {'case by case' if window is None else f'{window.low:g} to {window.high:g}'}"
                     for name, window in zip(channel_names, windows, strict=True))
