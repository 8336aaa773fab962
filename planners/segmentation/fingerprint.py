"""Measuring the fingerprint: each case once, and all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.dataset import Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint, Fingerprint, LabelOfDataset
from autoseg.image import UNKNOWN, AxisOrder, axis_order, most_frequent_orientation
from autoseg.plan import IntensityStatistics
from autoseg.planners.request import Request, measured_cases
from autoseg.planners.sampling import sample_intensities
from autoseg.planners.segmentation.anatomy import measure_labels, range_over
from autoseg.planners.segmentation.emptiness import near_labels
from autoseg.planners.segmentation.sides import centres_mm, side_pairs, sided_values
from autoseg.planners.segmentation.visibility import Points, sample_points
from autoseg.preprocessing.crop import nonzero_box
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.training_images import ImageMeasures, measure_image, pooled
from autoseg.verification.case import CheckedCase
from autoseg.verification.inspection import Inspection
from autoseg.versions import versions


@dataclass(frozen=True)
class MeasuredVolume:
    """The measures of one case that the fingerprint is made from.

    samples: (C, 10 000) float32, intensities of foreground voxels, or where the case has none (in_foreground False) of non-zero
    ones. image: what prediction compares. points: voxels of each label value, axes as in the file.
    """

    fingerprint: CaseFingerprint
    samples: np.ndarray
    in_foreground: bool
    image: ImageMeasures
    points: Points = field(default_factory=dict)

    def points_in(self, orientation: str | None) -> Points:
        """Return the points along the axes of an orientation (see `CaseFingerprint.in_order`)."""
        axes = axis_order(self.fingerprint.orientation, orientation, self.fingerprint.shape).axes
        return {value: its.along(axes) for value, its in self.points.items()}


def measure(checked: CheckedCase, dataset: Dataset, request: Request[PlanOptions] | None = None) -> MeasuredVolume | None:
    """Measure a case; None for test cases. request: None where intensities are drawn in the file's own axis order."""
    is_test = checked.case.label is None and bool(dataset.labels.foreground)
    if checked.image is None or is_test:
        return None
    array, geometry = checked.image.array, checked.image.geometry
    labels = None if checked.label is None else checked.label.array[0]
    order = AxisOrder() if request is None else request.order_of(checked.image)
    turned, box = order.of(array), nonzero_box(order.of(array))
    shape, extents = array.shape[1:], [stop - start for start, stop in box]
    z, y, x = (extents[order.axes.index(axis)] for axis in range(3))
    cropped = (z, y, x)
    measured, components = ({}, 0) if labels is None else measure_labels(labels, geometry.spacing_mm, dataset.labels.ignore)
    centres = {} if labels is None else centres_mm(labels, geometry, sided_values(dataset.labels))
    measured |= {value: measured[value].model_copy(update={"centre_mm": centre}) for value, centre in centres.items()}
    fingerprint = CaseFingerprint(
        spacing_mm=geometry.spacing_mm, shape=shape, shape_after_crop=cropped,
        share_kept=round(float(np.prod(cropped) / np.prod(shape)), 6), orientation=geometry.orientation,
        labels=measured, foreground_components=components,
        near_labels=() if labels is None else near_labels(array, labels, geometry.spacing_mm))
    samples, in_foreground = sample_intensities(
        turned, None if labels is None else order.of(labels), box, dataset.labels.ignore)
    points = {} if labels is None else sample_points(
        order.of(labels), box, checked.label_counts, dataset.labels.ignore)
    as_stored = [order.axes.index(axis) for axis in range(3)]
    return MeasuredVolume(
        fingerprint, samples, in_foreground, measure_image(checked.image),
        {value: its.along(as_stored) for value, its in points.items()})


def build_fingerprint(dataset: Dataset, inspections: Sequence[Inspection[MeasuredVolume]]) -> Fingerprint:
    """Build the fingerprint over those training cases of `dataset` that have no errors; more may have been inspected.

    Intensities are pooled over the cases' samples; cases without foreground count only where none has any. Raises
    AutosegError where no case is left.
    """
    measured = measured_cases(dataset, inspections)
    if not measured:
        raise AutosegError(f"{dataset.name} has no training case without errors. `autoseg verify` lists what is wrong.")
    orientations = Counter(case.fingerprint.orientation or UNKNOWN for case in measured.values())
    orientation = most_frequent_orientation(orientations)
    cases = {name: case.fingerprint.in_order(orientation) for name, case in measured.items()}
    return Fingerprint(
        dataset=dataset.name, versions=versions(), channel_names=dataset.channel_names,
        foreground_intensities=_pooled_intensities(list(measured.values())),
        orientations=dict(orientations.most_common()), orientation=orientation,
        foreground_components=range_over([case.foreground_components for case in cases.values() if case.labels]),
        labels=_pooled_labels(list(cases.values()), dataset.labels),
        images=pooled([case.image for case in measured.values()]), sides=side_pairs(list(cases.values()), dataset.labels),
        cases=cases)


def _pooled_intensities(measured: Sequence[MeasuredVolume]) -> dict[str, IntensityStatistics]:
    chosen = [case for case in measured if case.in_foreground] or measured
    pooled = np.concatenate([case.samples for case in chosen], axis=1)
    statistics = {}
    for channel, values in enumerate(pooled):
        low, median, high = np.percentile(values, (0.5, 50.0, 99.5))
        statistics[str(channel)] = IntensityStatistics(
            mean=float(values.mean(dtype=np.float64)), std=float(values.std(dtype=np.float64)), median=float(median),
            percentile_00_5=float(low), percentile_99_5=float(high))
    return statistics


def _pooled_labels(cases: Sequence[CaseFingerprint], labels: Labels) -> dict[str, LabelOfDataset]:
    names = {str(values[0]): name for name, values in labels.foreground.items() if len(values) == 1}
    pooled = {}
    for value in sorted({value for case in cases for value in case.labels}, key=int):
        holding = [case.labels[value] for case in cases if value in case.labels]
        components = sum(label.components for label in holding)
        others = sorted({other for label in holding for other in label.touches}, key=int)
        volume_ml = range_over([label.volume_ml for label in holding])
        per_case = range_over([label.components for label in holding])
        if volume_ml is None or per_case is None:
            continue
        pooled[value] = LabelOfDataset(
            name=names.get(value, value), cases=len(holding), volume_ml=volume_ml, components=per_case,
            smallest_ml=min(label.smallest_ml for label in holding),
            touches={other: round(sum(label.touches.get(other, 0) for label in holding) / components, 4) for other in others},
            inside=tuple(other for other in others if all(other in label.inside for label in holding)))
    return pooled
