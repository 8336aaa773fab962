"""Plans that follow a trained model, which a training is to start from: its grid, patch, network and normalization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.plan import Configuration, Plans
from autoseg.planners.segmentation.sides import sides_of
from autoseg.planners.segmentation.spacing import resampled_shape
from autoseg.tasks.segmentation.pretrained import Pretrained


def in_order_of(model: Pretrained, fingerprint: Fingerprint, measured: Sequence[tuple[str, CaseFingerprint]]) -> Fingerprint:
    """Return the fingerprint with the axes of its cases in the order that the model brings images to.

    measured: each case along the axes of its file. A model that knows no orientation takes images as they are stored; where all
    are stored alike, that is an order, too.
    """
    order = model.description.plans.orientation or (fingerprint.orientation if len(fingerprint.orientations) == 1 else None)
    return fingerprint.model_copy(update={
        "orientation": order, "cases": {name: case.in_order(order) for name, case in measured}})


def following(plans: Plans, model: Pretrained, fingerprint: Fingerprint) -> Plans:
    """Return the plans with the model's configuration alone, as the model has it; what is measured stays the dataset's.

    plans: of the dataset's own planning, whose normalization counts for channels that the model does not have. fingerprint: as
    `in_order_of` has it. Raises AutosegError where the dataset has no such configuration, as its images are single slices.
    """
    its, theirs = model.description, model.configuration
    own = plans.configurations.get(its.configuration_name) or next(iter(plans.configurations.values()))
    if theirs.dimensions == 3 and "3d_fullres" not in plans.configurations:
        raise AutosegError(f"The model of --from sees volumes ({its.configuration_name}), but the images of {plans.dataset} are "
                           "too flat for that. Start from a 2d model.")
    places = model.channels_of(fingerprint.channel_names)
    sources = [(own, channel) if place is None else (theirs, place) for channel, place in enumerate(places)]
    given = theirs.model_copy(update={
        "median_shape": _median_shape(theirs, its.plans.transpose, fingerprint), "visibility": {},
        "normalization": tuple(of.normalization[channel] for of, channel in sources),
        "normalize_inside_mask": tuple(of.normalize_inside_mask[channel] for of, channel in sources),
        "reasons": _reasons(model, own, fingerprint.channel_names, places)})
    intensities = {str(channel): of for channel, place in enumerate(places)
                   if (of := None if place is None else its.plans.foreground_intensities.get(str(place)))}
    return plans.model_copy(update={
        "orientation": its.plans.orientation, "transpose": its.plans.transpose, "pretrained": model.path,
        "foreground_intensities": plans.foreground_intensities | intensities, "sides": sides_of(fingerprint, its.plans.transpose),
        "empty": None,
        "configurations": {its.configuration_name: given}})


def _median_shape(its: Configuration, transpose: Sequence[int], fingerprint: Fingerprint) -> tuple[int, ...]:
    """Return the median shape of the cases on the configuration's grid, voxels, axes as the patch's."""
    axes = list(transpose)[3 - its.dimensions:]
    shapes = [resampled_shape(tuple(case.shape_after_crop[axis] for axis in axes), tuple(case.spacing_mm[axis] for axis in axes),
                              its.spacing_mm) for case in fingerprint.cases.values()]
    return tuple(round(float(size)) for size in np.median(shapes, axis=0))


def _reasons(model: Pretrained, own: Configuration, names: Sequence[str], places: Sequence[int | None]) -> dict[str, str]:
    """Return why each decision was made."""
    why = f"As in the model {model.in_words}, which the training starts from."
    reasons = dict.fromkeys(("spacing_mm", "patch_size", "network", "batch_size", "normalization"), why)
    others = [(name, model.description.channel_names[place]) for name, place in zip(names, places, strict=True)
              if place is not None and model.description.channel_names[place].casefold() != name.casefold()]
    new = [name for name, place in zip(names, places, strict=True) if place is None]
    if others:
        reasons["normalization"] += f" {', '.join(f'{name} is taken for its {other}' for name, other in others)}, by position."
    if new:
        reasons["normalization"] += (f" It does not have {', '.join(new)}, normalized by the planner's rule: "
                                     f"{own.reasons.get('normalization', '')}")
    return reasons
