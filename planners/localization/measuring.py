"""Reading a dataset's cases once before their projections are planned: what is wrong with them, and what is planned from."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.image import Image
from autoseg.intensities import is_ct
from autoseg.parallel import run_parallel
from autoseg.planners.segmentation.fingerprint import sample_intensities
from autoseg.projections.level import Known, known_level, middle_half, values_of
from autoseg.projections.placement import Placement
from autoseg.projections.plan import Target, WorldAxis
from autoseg.projections.projecting import no_volume, place
from autoseg.verification.case import ONE_VALUE, CheckedCase, check_case, lost_case, memory_per_case, without_cases
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.verification.inspection import in_case_order
from autoseg.verification.whole import check_dataset_level


@dataclass(frozen=True)
class View:
    """What is found, along which axis of the patient, and the one that is projected away."""

    target: Target
    axis: WorldAxis
    project: WorldAxis


@dataclass(frozen=True)
class Measured:
    """What projections are planned from.

    channels: of the image. placement: of its projection. known: of the level. slab: share of the extent along the projected axis,
    in its middle, that holds the middle half of what is found; None where that is not known. samples: (C, 10 000) float32,
    intensities of non-zero voxels, where a channel is CT; else None.
    """

    channels: int
    placement: Placement
    known: Known
    slab: float | None
    samples: np.ndarray | None

    @property
    def extents_mm(self) -> tuple[float, float]:
        """Of the non-zero box along rows and columns."""
        rows, columns = (
            (self.placement.box[axis][1] - self.placement.box[axis][0]) * self.placement.geometry.spacing_mm[axis]
            for axis in (self.placement.axes.rows, self.placement.axes.columns))
        return rows, columns

    @property
    def spacings_mm(self) -> tuple[float, float]:
        """Of voxels along rows and columns."""
        spacing_mm, axes = self.placement.geometry.spacing_mm, self.placement.axes
        return spacing_mm[axes.rows], spacing_mm[axes.columns]

    @property
    def height_mm(self) -> float | None:
        """Of what is found, along the axis; None where it is not there or only a point is known."""
        level = self.known.level
        return (level.last - level.first + 1) * self.placement.slice_mm if level and level.last > level.first else None


@dataclass(frozen=True)
class ProjectionInspection:
    """measured: None for cases with errors. digest: of the image, as `check_case` gives it."""

    case: Case
    findings: list[Finding] = field(default_factory=list)
    digest: str | None = None
    measured: Measured | None = None


def run_projection_inspection(dataset: Dataset, view: View, workers: int | None = None) -> Iterator[ProjectionInspection]:
    """Inspect every training and test case, in parallel by free memory; yields each as it is finished."""
    inspect = functools.partial(inspect_projection, dataset=without_cases(dataset), view=view)
    for outcome in run_parallel(inspect, [*dataset.training, *dataset.test], memory_per_case(dataset), workers):
        yield outcome.value or ProjectionInspection(outcome.item, lost_case(outcome))


def inspect_projection(case: Case, dataset: Dataset, view: View) -> ProjectionInspection:
    """Check a case and measure it, in one reading. Never raises for what is wrong with its files."""
    checked = check_case(case, dataset)
    image = checked.image
    if image is None:
        return ProjectionInspection(case, checked.findings, checked.digest)
    if problem := no_volume(image, view.axis, view.project):
        checked.note(case.images[0], "error", problem, f"Give a volume, {LEAVE_OUT}.")
        return ProjectionInspection(case, checked.findings, checked.digest)
    if all(channel.min() == channel.max() for channel in image.array):
        checked.findings[:] = [finding for finding in checked.findings if finding.problem != ONE_VALUE]
        checked.note(case.images[0], "error", ONE_VALUE, f"Look whether it was exported correctly, {LEAVE_OUT}.")
        return ProjectionInspection(case, checked.findings, checked.digest)
    return ProjectionInspection(case, checked.findings, checked.digest, _measure(checked, image, dataset, view))


def _measure(checked: CheckedCase, image: Image, dataset: Dataset, view: View) -> Measured:
    case, target = checked.case, view.target
    placement = place(image, view.axis, view.project, min(image.geometry.spacing_mm))
    label = None if checked.label is None else checked.label.array[0]
    known = known_level(target, dataset.labels, case.name, label, placement)
    mm = target.points.get(case.name)
    if mm is not None and not target.labels and known.level is None:
        ends = sorted((placement.mm_of(0), placement.mm_of(placement.slices - 1)))
        checked.note(case.images[0], "error", f"its point, {mm:g} mm, lies outside of it: along {view.axis} it reaches from "
                     f"{ends[0]:.4g} to {ends[1]:.4g} mm", f"Correct the point, {LEAVE_OUT}.")
    elif known.level is not None and not -0.5 <= placement.row_of(known.level.slice) <= placement.pixels[0] - 0.5:
        checked.note(case.images[0], "error", f"{target.name} lies where the image holds nothing but zeros, at slice "
                     f"{known.level.slice:g} along {view.axis}", f"Look whether the {'label' if target.labels else 'point'} "
                     f"belongs to the image, {LEAVE_OUT}.")
    if known.level is not None and known.level.is_cut_off:
        checked.note(case.label or case.images[0], "warning", f"{target.name} reaches the end of the image along {view.axis}, so "
                     "that its true middle may lie elsewhere", "Leave the case out where that is so.")
    slab = None
    if label is not None and target.labels and known.level is not None:
        half = middle_half(label, values_of(dataset.labels, target), placement.axes)
        slab = None if half is None else share_around_middle(half, placement.box[placement.axes.projected])
    needs_samples = any(map(is_ct, dataset.channel_names))
    samples = sample_intensities(image.array, None, placement.box, None)[0] if needs_samples else None
    return Measured(len(image.array), placement, known, slab, samples)


def share_around_middle(span: tuple[float, float], box: tuple[int, int]) -> float:
    """Share of a box's extent, in its middle, that holds the voxels from one index to another (half open box), at most 1."""
    start, stop = box
    middle = (start + stop - 1) / 2
    farthest = max(abs(index - middle) + 0.5 for index in span)
    return min(1.0, 2 * farthest / (stop - start))


def projection_findings(dataset: Dataset, inspections: Sequence[ProjectionInspection]) -> list[Finding]:
    """Every finding, in case order, then those of the dataset as a whole."""
    by_case = {entry.case: entry.findings for entry in inspections}
    return in_case_order(dataset, by_case) + check_dataset_level(dataset, {entry.case: entry.digest for entry in inspections})
