"""Measurements that projections are planned from: each case is measured once, and what is wrong with its level is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Dataset
from autoseg.intensities import is_ct
from autoseg.planners.localization.request import Request
from autoseg.planners.sampling import sample_intensities
from autoseg.preprocessing.crop import nonzero_box
from autoseg.tasks.localization.level import Known, known_level, middle_half, values_of
from autoseg.tasks.localization.placement import ProjectionPlacement
from autoseg.tasks.localization.projecting import no_volume, place
from autoseg.training_images import ImageMeasures, measure_image
from autoseg.verification.case import ONE_VALUE, CheckedCase
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.verification.inspection import Inspection, inspection_findings


@dataclass(frozen=True)
class MeasuredProjection:
    """The measures of one case that its projection is planned from.

    channels: of the image. placement: of its projection. known: what is known of the level. slab: the share of the extent along
    the projected axis, in its middle, that holds the middle half of what is found; None where that is not known. samples: (C,
    10 000) float32, intensities of non-zero voxels, where a channel is CT; else None. image: what predictions are compared with.
    """

    channels: int
    placement: ProjectionPlacement
    known: Known
    slab: float | None
    samples: np.ndarray | None
    image: ImageMeasures

    @property
    def extents_mm(self) -> tuple[float, float]:
        """Return the extents of the non-zero box along rows and columns."""
        rows, columns = (
            (self.placement.box[axis][1] - self.placement.box[axis][0]) * self.placement.geometry.spacing_mm[axis]
            for axis in (self.placement.axes.rows, self.placement.axes.columns))
        return rows, columns

    @property
    def spacings_mm(self) -> tuple[float, float]:
        """Return the spacings of voxels along rows and columns."""
        spacing_mm, axes = self.placement.geometry.spacing_mm, self.placement.axes
        return spacing_mm[axes.rows], spacing_mm[axes.columns]

    @property
    def height_mm(self) -> float | None:
        """Return the height along the axis of what is found; None where it is not there or only a point is known."""
        level = self.known.level
        return (level.last - level.first + 1) * self.placement.slice_mm if level and level.last > level.first else None


def measure(checked: CheckedCase, dataset: Dataset, request: Request) -> MeasuredProjection | None:
    """Measure a case; None where it cannot be projected, which is an error."""
    image, file, target = checked.image, checked.case.images[0], request.target
    if image is None:
        return None
    if problem := no_volume(image, request.axis, request.project):
        checked.note(file, "error", "dimensions", problem, f"Give a volume, {LEAVE_OUT}.")
        return None
    if all(channel.min() == channel.max() for channel in image.array):
        checked.drop("one_value")
        checked.note(file, "error", "one_value", ONE_VALUE, f"Look whether it was exported correctly, {LEAVE_OUT}.")
        return None
    placement = place(image, request.axis, request.project, min(image.geometry.spacing_mm))
    label = None if checked.label is None else checked.label.array[0]
    known = known_level(target, dataset.labels, checked.case.name, label, placement)
    _check_level(checked, known, placement, request)
    slab = None
    if label is not None and target.labels and known.level is not None:
        half = middle_half(label, values_of(dataset.labels, target), placement.axes)
        slab = None if half is None else share_around_middle(half, placement.box[placement.axes.projected])
    needs_samples = any(map(is_ct, dataset.channel_names))
    turned = request.order_of(image).of(image.array)
    samples = sample_intensities(turned, None, nonzero_box(turned), None)[0] if needs_samples else None
    return MeasuredProjection(len(image.array), placement, known, slab, samples, measure_image(image))


def _check_level(checked: CheckedCase, known: Known, placement: ProjectionPlacement, request: Request) -> None:
    """Note a point outside of the image, a level where it holds only zeros, and a label that reaches its end."""
    case, target, axis, level = checked.case, request.target, request.axis, known.level
    mm = target.points.get(case.name)
    if mm is not None and not target.labels and level is None:
        ends = sorted((placement.mm_of(0), placement.mm_of(placement.slices - 1)))
        checked.note(case.images[0], "error", "outside", f"its point, {mm:g} mm, lies outside of it: along {axis} it reaches "
                     f"from {ends[0]:.4g} to {ends[1]:.4g} mm", f"Correct the point, {LEAVE_OUT}.")
    elif level is not None and not -0.5 <= placement.row_of(level.slice) <= placement.pixels[0] - 0.5:
        checked.note(case.images[0], "error", "outside", f"{target.name} lies where the image holds nothing but zeros, at slice "
                     f"{level.slice:g} along {axis}", f"Look whether the {'label' if target.labels else 'point'} belongs to the "
                     f"image, {LEAVE_OUT}.")
    if level is not None and level.is_cut_off:
        checked.note(case.label or case.images[0], "warning", "cut_off", f"{target.name} reaches the end of the image along "
                     f"{axis}, so that its true middle may lie elsewhere", "Leave the case out where that is so.")


def share_around_middle(span: tuple[float, float], box: tuple[int, int]) -> float:
    """Return the share of a box (half open), around its middle, that holds the voxels from one index to another, at most 1."""
    start, stop = box
    middle = (start + stop - 1) / 2
    farthest = max(abs(index - middle) + 0.5 for index in span)
    return min(1.0, 2 * farthest / (stop - start))


def findings(request: Request, inspections: Sequence[Inspection[MeasuredProjection]]) -> list[Finding]:
    """Return all that is wrong with the dataset."""
    return inspection_findings(request.dataset, inspections, classes_are_learned=False)
