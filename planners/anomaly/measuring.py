"""Measurements that slices are planned from: each case is measured once, and those that do not fit are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError, some
from autoseg.image import Geometry
from autoseg.intensities import is_ct
from autoseg.pictures import COLOUR_NAMES, GRAY_NAMES, is_gray, is_picture
from autoseg.planners.anomaly.request import Request
from autoseg.planners.request import measured_cases
from autoseg.planners.sampling import sample_intensities
from autoseg.preprocessing.crop import nonzero_box
from autoseg.tasks.anomaly.scores import Truth
from autoseg.tasks.anomaly.truth import slice_truths, truths_of
from autoseg.training_images import ImageMeasures, measure_image
from autoseg.verification.case import ONE_VALUE, CheckedCase
from autoseg.verification.findings import LEAVE_OUT, Code, Finding
from autoseg.verification.inspection import Inspection, inspection_findings


@dataclass(frozen=True)
class MeasuredSlices:
    """The measures of one case that slices are planned from.

    channels, shape (Z, Y, X): of the image. picture: whether it is a single slice. gray: whether a picture has no colour.
    constant: whether it has one value everywhere. truths: of the slices along each array axis. samples: (C, 10 000) float32,
    intensities of non-zero voxels, where a channel is CT; else None. image: what predictions are compared with.
    """

    geometry: Geometry
    channels: int
    shape: tuple[int, int, int]
    picture: bool
    gray: bool
    constant: bool
    truths: tuple[list[Truth | None], list[Truth | None], list[Truth | None]]
    samples: np.ndarray | None
    image: ImageMeasures


@dataclass(frozen=True)
class ImageFormat:
    """The common format of a dataset's images: whether they are pictures or volumes, and their channels."""

    pictures: bool
    channel_names: tuple[str, ...]


def measure(checked: CheckedCase, dataset: Dataset, request: Request) -> MeasuredSlices | None:
    """Measure a case for slices in any direction."""
    if checked.image is None:
        return None
    checked.drop("cropped_away")  # slices are cut from the whole image
    array, geometry = checked.image.array, checked.image.geometry
    z, y, x = array.shape[1:]
    label = None if checked.label is None or not dataset.labels.foreground else checked.label.array[0]
    case_label = truths_of(dataset).get(checked.case.name)
    along_z, along_y, along_x = (
        slice_truths(label, case_label, axis, count, request.normal_by, dataset.labels.ignore)
        for axis, count in enumerate((z, y, x)))
    picture, needs_samples = is_picture(array), any(map(is_ct, dataset.channel_names))
    turned = request.order_of(checked.image).of(array)
    return MeasuredSlices(
        geometry=geometry, channels=len(array), shape=(z, y, x), picture=picture, gray=picture and is_gray(array),
        constant=all(channel.min() == channel.max() for channel in array), truths=(along_z, along_y, along_x),
        samples=sample_intensities(turned, None, nonzero_box(turned), None)[0] if needs_samples else None,
        image=measure_image(checked.image))


def common_format(request: Request, inspections: Sequence[Inspection[MeasuredSlices]]) -> ImageFormat:
    """Return whether the images are pictures or volumes, gray or colour: as dataset.json says, else as most training cases are.

    Raises AutosegError where slices along an axis were asked for, and all cases are pictures.
    """
    dataset, axis = request.dataset, request.axis
    measured = measured_cases(dataset, inspections).values()
    pictures = sum(case.picture for case in measured)
    if axis is not None and measured and pictures == len(measured):
        raise AutosegError(
            f"{dataset.name} holds pictures, which are one slice each, but --axis asks for {axis} slices of volumes. Leave it "
            "out.")
    are_pictures = axis is None and 2 * pictures > len(measured)
    alike = [case for case in measured if case.picture == are_pictures]
    return ImageFormat(are_pictures, dataset.channel_names or _channels_of(alike))


def _channels_of(cases: Sequence[MeasuredSlices]) -> tuple[str, ...]:
    """Return the channels of most cases; pictures without colour are gray, however many channels their files have."""
    counts = Counter(1 if case.gray else case.channels for case in cases)
    channels = counts.most_common(1)[0][0] if counts else 1
    if channels == 1:
        return GRAY_NAMES
    if channels == 3 and all(case.picture for case in cases):
        return COLOUR_NAMES
    return tuple(f"channel_{number}" for number in range(channels))


def findings(request: Request, inspections: Sequence[Inspection[MeasuredSlices]]) -> list[Finding]:
    """Return all that is wrong with the dataset. What a detector cannot take is an error here."""
    common, training = common_format(request, inspections), set(request.dataset.training)
    judged = []
    for entry in inspections:
        misfit = _misfit(entry.case, entry.measured, common) if entry.measured and entry.case in training else None
        kept = [finding for finding in entry.findings if not (misfit and finding.code == "one_value")]
        judged.append(replace(entry, findings=[misfit, *kept] if misfit else kept))
    return inspection_findings(request.dataset, judged, classes_are_learned=False)


def _misfit(case: Case, found: MeasuredSlices, common: ImageFormat) -> Finding | None:
    """Return why a case cannot be cut like the others; None where it can."""
    code: Code = "channels"
    planned = len(common.channel_names)
    if found.constant:
        code, problem, remedy = "one_value", ONE_VALUE, "Look whether it was exported correctly"
    elif found.picture and not common.pictures:
        code, remedy = "dimensions", "Keep pictures in a dataset of their own"
        problem = "it is a picture of one slice, and the others are volumes"
    elif common.pictures and not found.picture:
        code, remedy = "dimensions", "Keep volumes in a dataset of their own"
        problem = f"it is a volume of shape {found.shape} (z, y, x), and most others are pictures of one slice"
    elif found.channels == planned or (planned == 1 and found.gray):
        return None
    elif found.picture and {found.channels, planned} == {1, 3}:
        is_colour = found.channels == 3
        code = "colour"
        problem = f"it is a {'colour' if is_colour else 'gray'} picture, and most others are {'gray' if is_colour else 'colour'}"
        remedy = f"Give it in {'gray where colour means nothing' if is_colour else 'colour'}"
    else:
        problem = f"the image has {found.channels} channel(s), and most others have {planned} ({some(common.channel_names)})"
        remedy = "Give the same channels for each case"
    return Finding(
        case=case.name, file=str(case.images[0]), severity="error", code=code, problem=problem,
        remedy=f"{remedy}, {LEAVE_OUT}.")
