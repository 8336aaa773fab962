"""The rules of nnU-Net v2 (Isensee et al. 2021) for each configuration: what all planners share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Configuration, Normalization, Plans
from autoseg.planners.segmentation import reasons
from autoseg.planners.segmentation.emptiness import emptiness
from autoseg.planners.segmentation.memory import Budget, Fit, batch_size, fit_patch, memory_values
from autoseg.planners.segmentation.sides import sides_of
from autoseg.planners.segmentation.spacing import coarser, resampled_shape, slice_axis_first, target_spacing
from autoseg.versions import versions

NORMALIZATION_OF_CHANNEL: dict[str, Normalization] = {  # any other channel name: z-score
    "ct": "ct", "nonorm": "none", "zscore": "zscore", "rescale_to_0_1": "rescale_0_1", "rgb_to_0_1": "rgb",
}
MASK_BELOW_SHARE_KEPT = 0.75
LOWRES_BELOW_SHARE = 0.25
LOWRES_SAVES_AT_LEAST = 2


@dataclass(frozen=True)
class _Given:
    """The facts that all configurations share. classes: entries of dataset.json's labels, background and ignore included."""

    cases: int
    classes: int
    budget: Budget
    normalization: tuple[Normalization, ...]
    normalize_inside_mask: tuple[bool, ...]
    normalization_reason: str


@dataclass(frozen=True)
class _Grid:
    """The grid of a resampled dataset. spacing_mm, median_shape: slice axis first, (z, y, x) or (y, x); voxels, unrounded."""

    spacing_mm: np.ndarray
    median_shape: np.ndarray
    spacing_reason: str


def plan(dataset: Dataset, fingerprint: Fingerprint, budget: Budget, planner: str) -> Plans:
    """Plan `2d`, and for volumes `3d_fullres` and, where its patch sees too little of them, `3d_lowres` and the cascade of both.

    A configuration whose images are too small to be halved once is left out.

    budget: what the network may cost on the GPU that the plan is for. planner: the name that the plans carry.
    Raises AutosegError where no case is left, the memory is too small, or the images are too small for any network.
    """
    cases = list(fingerprint.cases.values())
    spacings_mm = np.array([case.spacing_mm for case in cases], dtype=float)
    shapes = np.array([case.shape_after_crop for case in cases])
    target = target_spacing(spacings_mm, shapes)
    resampled = [resampled_shape(case.shape_after_crop, case.spacing_mm, target.spacing_mm) for case in cases]
    median_shape = np.median(resampled, axis=0)
    transpose = slice_axis_first(target.spacing_mm, median_shape)
    order = list(transpose)
    fullres = _Grid(
        np.array(target.spacing_mm)[order], median_shape[order], reasons.fullres_spacing(target, transpose)
    )
    given = _given(dataset, fingerprint, budget)
    configurations = _configure_all(given, fullres)
    if not configurations:
        raise AutosegError(f"The images are too small for a network: their median shape is {_shape(median_shape)} "
                           "voxels after resampling, and two axes of 8 voxels, or one of 12, are needed.")
    return Plans(
        dataset=dataset.name,
        planner=planner,
        orientation=fingerprint.orientation,
        transpose=transpose,
        versions=versions(),
        foreground_intensities=fingerprint.foreground_intensities,
        images=fingerprint.images,
        sides=sides_of(fingerprint, transpose),
        empty=emptiness(dataset, fingerprint, given.normalization),
        configurations=configurations,
    )


def _given(dataset: Dataset, fingerprint: Fingerprint, budget: Budget) -> _Given:
    schemes = tuple(NORMALIZATION_OF_CHANNEL.get(name.casefold(), "zscore") for name in dataset.channel_names)
    share_kept = float(np.median([case.share_kept for case in fingerprint.cases.values()]))
    inside_mask = tuple(scheme == "zscore" and share_kept < MASK_BELOW_SHARE_KEPT for scheme in schemes)
    return _Given(
        cases=len(fingerprint.cases),
        classes=len(dataset.labels.values),
        budget=budget,
        normalization=schemes,
        normalize_inside_mask=inside_mask,
        normalization_reason=reasons.normalization(dataset.channel_names, schemes, inside_mask, share_kept),
    )


def _configure_all(given: _Given, fullres: _Grid) -> dict[str, Configuration]:
    """Return all configurations that make sense for images on this grid, by name."""
    slices_reason = f"{fullres.spacing_reason} Slices keep the distance that they have."
    slices = _Grid(fullres.spacing_mm[1:], fullres.median_shape[1:], slices_reason)
    voxels_of_dataset = float(np.prod(fullres.median_shape) * given.cases)
    found = {"2d": _configure(given, slices, _fit(given, slices), voxels_of_dataset, batch_dice=True)}
    if fullres.median_shape[0] != 1:
        fit = _fit(given, fullres)
        lowres, why = _configure_lowres(given, fullres, fit)
        found["3d_fullres"] = _configure(given, fullres, fit, voxels_of_dataset, why, batch_dice=lowres is not None)
        found["3d_lowres"] = lowres
        found["3d_cascade_fullres"] = _second_stage(found["3d_fullres"], lowres)
    return {name: configuration for name, configuration in found.items() if configuration is not None}


def _configure_lowres(given: _Given, fullres: _Grid, fullres_fit: Fit) -> tuple[Configuration | None, str]:
    """Return 3d_lowres, or None where it is not needed, and why."""
    spacing_mm, patch_size, steps = fullres.spacing_mm, fullres_fit.pooling.patch_size, 0
    fullres_voxels = voxels = float(np.prod(fullres.median_shape))
    share = math.prod(patch_size) / fullres_voxels
    fit, grid = fullres_fit, fullres
    while math.prod(patch_size) / voxels < LOWRES_BELOW_SHARE:
        steps += 1
        spacing_mm = coarser(spacing_mm)
        shape = fullres.spacing_mm / spacing_mm * fullres.median_shape
        voxels = float(np.prod(shape))
        grid = _Grid(spacing_mm, np.maximum(1, np.round(shape)), reasons.lowres_spacing(fullres.spacing_mm, steps))
        fit = _fit(given, grid)
        patch_size = fit.pooling.patch_size
    covers = reasons.covers(share, LOWRES_BELOW_SHARE)
    if steps == 0:
        return None, f"{covers}, so there is no 3d_lowres."
    if fullres_voxels / voxels < LOWRES_SAVES_AT_LEAST:
        return None, f"{covers}, but a grid coarse enough would save less than half of the voxels: no 3d_lowres."
    why = f"{covers}, so 3d_lowres shows more of the image at once."
    return _configure(given, grid, fit, voxels * given.cases, why), why


def _second_stage(fullres: Configuration | None, lowres: Configuration | None) -> Configuration | None:
    """Return the cascade's second stage, which is as 3d_fullres, where there is a first one."""
    if fullres is None or lowres is None:
        return None
    why = fullres.reasons | {"previous_stage": reasons.PREVIOUS_STAGE}
    return fullres.model_copy(update={"previous_stage": "3d_lowres", "reasons": why})


def _fit(given: _Given, grid: _Grid) -> Fit:
    return fit_patch(grid.spacing_mm.tolist(), grid.median_shape.tolist(), given.classes, given.budget)


def _configure(
    given: _Given, grid: _Grid, fit: Fit, voxels_of_dataset: float, lowres_reason: str | None = None, batch_dice: bool = False
) -> Configuration | None:
    """Return the configuration for one grid; None where no axis can be halved."""
    if fit.pooling.stages == 1:
        return None
    spacing_mm, median_shape = grid.spacing_mm.tolist(), grid.median_shape.tolist()
    why = {
        "spacing_mm": grid.spacing_reason,
        "patch_size": reasons.patch_size(fit, spacing_mm, median_shape, given.budget),
        "network": reasons.network(fit),
        "batch_size": reasons.batch_size(fit, given.budget, voxels_of_dataset),
        "normalization": given.normalization_reason,
    }
    return Configuration(
        spacing_mm=tuple(spacing_mm),
        median_shape=tuple(round(n) for n in median_shape),
        patch_size=fit.pooling.patch_size,
        batch_size=batch_size(fit, given.budget, voxels_of_dataset),
        batch_dice=batch_dice,
        memory_values=memory_values(len(spacing_mm), given.budget),
        normalization=given.normalization,
        normalize_inside_mask=given.normalize_inside_mask,
        network=fit.topology,
        reasons=why | ({"3d_lowres": lowres_reason} if lowres_reason else {}),
    )


def _shape(shape: np.ndarray) -> str:
    return " × ".join(f"{n:g}" for n in shape)
