"""Measuring the fingerprint: each case once, in parallel, and all of them together."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint, Fingerprint, LabelOfDataset
from autoseg.parallel import run_parallel
from autoseg.plan import IntensityStatistics
from autoseg.planners.segmentation.anatomy import measure_labels, range_over
from autoseg.preprocessing.crop import Box, crop, nonzero_box
from autoseg.verification.case import check_case, lost_case, memory_per_case, without_cases
from autoseg.verification.findings import Finding
from autoseg.verification.inspection import in_case_order
from autoseg.verification.whole import check_dataset_level
from autoseg.versions import versions
from autoseg.voxels import slabs

SAMPLES_PER_CASE = 10_000
SEED = 1234


@dataclass
class Inspection:
    """What one reading of a case gave: findings and digest for `verify`, measurements for the fingerprint.

    fingerprint: None for cases with errors, and for test cases. samples: (C, 10 000) float32, intensities of foreground
    voxels, or where the case has none (in_foreground False) of non-zero ones; None with fingerprint.
    """

    case: Case
    findings: list[Finding] = field(default_factory=list)
    digest: str | None = None
    fingerprint: CaseFingerprint | None = None
    samples: np.ndarray | None = None
    in_foreground: bool = False


def run_inspection(dataset: Dataset, workers: int | None = None) -> Iterator[Inspection]:
    """Inspect every training and test case, in parallel by free memory; yields each as it is finished."""
    inspect = functools.partial(inspect_case, dataset=without_cases(dataset))
    for outcome in run_parallel(inspect, [*dataset.training, *dataset.test], memory_per_case(dataset), workers):
        yield outcome.value or Inspection(outcome.item, lost_case(outcome))


def inspect_case(case: Case, dataset: Dataset) -> Inspection:
    """Check a case and measure it, in one reading. Never raises for what is wrong with its files."""
    checked = check_case(case, dataset)
    found = Inspection(case, checked.findings, checked.digest)
    is_test = case.label is None and bool(dataset.labels.foreground)
    if checked.image is None or is_test:
        return found
    array, geometry = checked.image.array, checked.image.geometry
    labels = None if checked.label is None else checked.label.array[0]
    box = nonzero_box(array)
    shape, cropped = array.shape[1:], tuple(stop - start for start, stop in box)
    measured, components = ({}, 0) if labels is None else measure_labels(labels, geometry.spacing_mm, dataset.labels.ignore)
    found.fingerprint = CaseFingerprint(
        spacing_mm=geometry.spacing_mm, shape=shape, shape_after_crop=cropped,
        share_kept=round(float(np.prod(cropped) / np.prod(shape)), 6), orientation=geometry.orientation,
        labels=measured, foreground_components=components)
    found.samples, found.in_foreground = sample_intensities(array, labels, box, dataset.labels.ignore)
    return found


def sample_intensities(
    array: np.ndarray, labels: np.ndarray | None, box: Box, ignore: int | None, count: int = SAMPLES_PER_CASE
) -> tuple[np.ndarray, bool]:
    """Intensities of `count` foreground voxels per channel, drawn with replacement, always by the same seed.

    array: (C, Z, Y, X). labels: (Z, Y, X), or None. box: only voxels inside it are drawn. Returns (C, count) float32,
    and whether they come from foreground; without foreground, they come from the non-zero voxels, or from all.
    With the same count, the draws are nnU-Net's (`RandomState(1234).choice`); ignored voxels are not foreground here.
    """
    image = crop(array, box)
    if labels is not None:
        inner = crop(labels, box)
        wanted = [(inner[part] > 0) & (inner[part] != (0 if ignore is None else ignore)) for part in slabs(inner.shape)]
        if any(mask.any() for mask in wanted):
            return _drawn(image, wanted, count), True
    wanted = [image[:, part].any(axis=0) for part in slabs(image.shape[1:])]
    if not any(mask.any() for mask in wanted):
        wanted = [~mask for mask in wanted]
    return _drawn(image, wanted, count), False


def _drawn(image: np.ndarray, wanted: Sequence[np.ndarray], count: int) -> np.ndarray:
    """image: (C, Z, Y, X). wanted: a mask (z, Y, X) for each slab of it."""
    random = np.random.RandomState(SEED)
    ends = np.cumsum([np.count_nonzero(mask) for mask in wanted])
    ranks = np.stack([random.randint(0, ends[-1], count) for _ in image])  # the r-th wanted voxel in C order
    samples = np.empty(ranks.shape, np.float32)
    for part, mask, end in zip(slabs(image.shape[1:]), wanted, ends, strict=True):
        start = end - np.count_nonzero(mask)
        positions = np.flatnonzero(mask)
        for channel, of_channel in enumerate(ranks):
            here = (of_channel >= start) & (of_channel < end)
            at = np.unravel_index(positions[of_channel[here] - start], mask.shape)
            samples[channel, here] = image[channel, part][at]
    return samples


def inspection_findings(dataset: Dataset, inspections: Sequence[Inspection]) -> list[Finding]:
    """Every finding, in case order, then those of the dataset as a whole; the same as `verify_dataset` gives, and each case
    without a label, though the dataset may call it normal or abnormal."""
    findings = in_case_order(dataset, {inspection.case: inspection.findings for inspection in inspections})
    return findings + check_dataset_level(dataset, {inspection.case: inspection.digest for inspection in inspections}, False)


def build_fingerprint(dataset: Dataset, inspections: Sequence[Inspection]) -> Fingerprint:
    """The fingerprint over those training cases of `dataset` that have no errors; more may have been inspected.

    Intensities are pooled over the cases' samples; cases without foreground count only where none has any. Raises
    AutosegError where no case is left.
    """
    by_case = {inspection.case: inspection for inspection in inspections if inspection.fingerprint}
    good = [by_case[case] for case in dataset.training if case in by_case]
    if not good:
        raise AutosegError(f"{dataset.name} has no training case without errors. `autoseg verify` lists what is wrong.")
    cases = {entry.case.name: entry.fingerprint for entry in good if entry.fingerprint is not None}
    return Fingerprint(
        dataset=dataset.name, versions=versions(), channel_names=dataset.channel_names,
        foreground_intensities=_pooled_intensities(good),
        orientations=dict(Counter(case.orientation for case in cases.values()).most_common()),
        foreground_components=range_over([case.foreground_components for case in cases.values() if case.labels]),
        labels=_pooled_labels(list(cases.values()), dataset.labels), cases=cases)


def _pooled_intensities(inspections: Sequence[Inspection]) -> dict[str, IntensityStatistics]:
    chosen = [entry for entry in inspections if entry.in_foreground] or inspections
    pooled = np.concatenate([entry.samples for entry in chosen if entry.samples is not None], axis=1)
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
