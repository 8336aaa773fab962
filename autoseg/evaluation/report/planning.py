"""The plan, and which rule gave which number."""

from __future__ import annotations

from autoseg.evaluation.report.elements import Explained, Explanations, Heading, Section, Text
from autoseg.evaluation.report.words import listed, times
from autoseg.plan import Configuration, Plans

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
        section.blocks += [Heading(name), Explanations(_decisions(configuration))]
    return section


def _decisions(configuration: Configuration) -> list[Explained]:
    values = _values(configuration)
    entries = [Explained(title, values[key], configuration.reasons.get(key, "")) for key, title in DECISIONS.items()]
    others = [Explained(key, "", why) for key, why in configuration.reasons.items() if key not in DECISIONS]
    return entries + others


def _values(its: Configuration) -> dict[str, str]:
    features = f"{its.network.features[0]} to {its.network.features[-1]} features"
    schemes = [NORMALIZATIONS.get(scheme, scheme) for scheme in dict.fromkeys(its.normalization)]
    extent = times([size * mm for size, mm in zip(its.patch_size, its.spacing_mm, strict=True)])
    return {
        "spacing_mm": f"{times(its.spacing_mm)} mm; the median case then has {times(its.median_shape)} voxels",
        "patch_size": f"{times(its.patch_size)} voxels, {extent} mm",
        "batch_size": f"{its.batch_size} patches in each step",
        "network": f"{its.network.name}, {len(its.network.features)} stages, {features}",
        "normalization": ", ".join(schemes)}
