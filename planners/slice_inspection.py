"""Reading a dataset's cases once before their slices are planned: what is wrong with them, and what is planned from."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError, some
from autoseg.evaluation.roc import Truth
from autoseg.image import Geometry
from autoseg.intensities import is_ct
from autoseg.parallel import run_parallel
from autoseg.planners.fingerprint import sample_intensities
from autoseg.preprocessing.crop import nonzero_box
from autoseg.slices.cutting import is_gray, is_picture
from autoseg.slices.plan import Axis, NormalBy
from autoseg.slices.truth import slice_truths
from autoseg.verification.case import ONE_VALUE, check_case, lost_case, memory_per_case, without_cases
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.verification.verify import in_case_order
from autoseg.verification.whole import check_dataset_level

GRAY, COLOUR = ("gray",), ("red", "green", "blue")


@dataclass(frozen=True)
class Measured:
    """What slices are planned from. channels, shape (Z, Y, X): of the image. picture: whether it is a single slice.

    gray: whether a picture has no colour. constant: whether it has one value everywhere. truths: of the slices along each array
    axis. samples: (C, 10 000) float32, intensities of non-zero voxels, where a channel is CT; else None.
    """

    geometry: Geometry
    channels: int
    shape: tuple[int, int, int]
    picture: bool
    gray: bool
    constant: bool
    truths: tuple[list[Truth | None], list[Truth | None], list[Truth | None]]
    samples: np.ndarray | None


@dataclass(frozen=True)
class SliceInspection:
    """measured: None for cases with errors. digest: of the image, as `check_case` gives it."""

    case: Case
    findings: list[Finding] = field(default_factory=list)
    digest: str | None = None
    measured: Measured | None = None


@dataclass(frozen=True)
class Kind:
    """What the cases of a dataset have in common: pictures or volumes, and their channels."""

    pictures: bool
    channel_names: tuple[str, ...]


def run_slice_inspection(dataset: Dataset, normal_by: NormalBy, workers: int | None = None) -> Iterator[SliceInspection]:
    """Inspect every training and test case, in parallel by free memory; yields each as it is finished."""
    inspect = functools.partial(inspect_slices, dataset=without_cases(dataset), normal_by=normal_by)
    for outcome in run_parallel(inspect, [*dataset.training, *dataset.test], memory_per_case(dataset), workers):
        yield outcome.value or SliceInspection(outcome.item, lost_case(outcome))


def inspect_slices(case: Case, dataset: Dataset, normal_by: NormalBy) -> SliceInspection:
    """Check a case and measure it, in one reading. Never raises for what is wrong with its files."""
    checked = check_case(case, dataset)
    if checked.image is None:
        return SliceInspection(case, checked.findings, checked.digest)
    array, geometry = checked.image.array, checked.image.geometry
    z, y, x = array.shape[1:]
    label = None if checked.label is None or not dataset.labels.foreground else checked.label.array[0]
    along_z, along_y, along_x = (
        slice_truths(label, dataset.case_labels.get(case.name), axis, count, normal_by, dataset.labels.ignore)
        for axis, count in enumerate((z, y, x)))
    picture, needs_samples = is_picture(array), any(map(is_ct, dataset.channel_names))
    measured = Measured(
        geometry=geometry, channels=len(array), shape=(z, y, x), picture=picture, gray=picture and is_gray(array),
        constant=all(channel.min() == channel.max() for channel in array), truths=(along_z, along_y, along_x),
        samples=sample_intensities(array, None, nonzero_box(array), None)[0] if needs_samples else None)
    return SliceInspection(case, checked.findings, checked.digest, measured)


def common_kind(dataset: Dataset, inspections: Sequence[SliceInspection], axis: Axis | None) -> Kind:
    """Pictures or volumes, gray or colour: as dataset.json says, else as most training cases are.

    axis: that was asked for. Raises AutosegError where it was, and all cases are pictures.
    """
    training = set(dataset.training)
    measured = [entry.measured for entry in inspections if entry.measured and entry.case in training]
    pictures = sum(case.picture for case in measured)
    if axis is not None and measured and pictures == len(measured):
        raise AutosegError(
            f"{dataset.name} holds pictures, which are one slice each, but --axis asks for {axis} slices of volumes. Leave it "
            "out.")
    are_pictures = axis is None and 2 * pictures > len(measured)
    return Kind(are_pictures, dataset.channel_names or _channels_of([case for case in measured if case.picture == are_pictures]))


def _channels_of(cases: Sequence[Measured]) -> tuple[str, ...]:
    """Those of most cases; pictures without colour are gray, however many channels their files have."""
    counts = Counter(1 if case.gray else case.channels for case in cases)
    channels = counts.most_common(1)[0][0] if counts else 1
    if channels == 1:
        return GRAY
    if channels == 3 and all(case.picture for case in cases):
        return COLOUR
    return tuple(f"channel_{number}" for number in range(channels))


def slice_inspection_findings(dataset: Dataset, inspections: Sequence[SliceInspection], kind: Kind) -> list[Finding]:
    """Every finding, in case order, then those of the dataset as a whole. What a detector cannot take is an error here."""
    training = set(dataset.training)
    by_case = {}
    for entry in inspections:
        by_case[entry.case] = entry.findings
        if entry.measured and entry.case in training and (misfit := _misfit(entry.case, entry.measured, kind)):
            by_case[entry.case] = [misfit, *(finding for finding in entry.findings if finding.problem != ONE_VALUE)]
    digests = {entry.case: entry.digest for entry in inspections}
    return in_case_order(dataset, by_case) + check_dataset_level(dataset, digests)


def _misfit(case: Case, found: Measured, kind: Kind) -> Finding | None:
    """Why a case cannot be cut like the others."""
    planned = len(kind.channel_names)
    if found.constant:
        problem, remedy = ONE_VALUE, "Look whether it was exported correctly"
    elif found.picture and not kind.pictures:
        problem, remedy = "it is a picture of one slice, and the others are volumes", "Keep pictures in a dataset of their own"
    elif kind.pictures and not found.picture:
        problem = f"it is a volume of shape {found.shape} (z, y, x), and most others are pictures of one slice"
        remedy = "Keep volumes in a dataset of their own"
    elif found.channels == planned or (planned == 1 and found.gray):
        return None
    elif found.picture and {found.channels, planned} == {1, 3}:
        is_colour = found.channels == 3
        problem = f"it is a {'colour' if is_colour else 'gray'} picture, and most others are {'gray' if is_colour else 'colour'}"
        remedy = f"Give it in {'gray where colour means nothing' if is_colour else 'colour'}"
    else:
        problem = f"the image has {found.channels} channel(s), and most others have {planned} ({some(kind.channel_names)})"
        remedy = "Give the same channels for each case"
    return Finding(
        case=case.name, file=str(case.images[0]), severity="error", problem=problem, remedy=f"{remedy}, {LEAVE_OUT}.")
