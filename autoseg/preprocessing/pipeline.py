"""A case from its raw grid to the one the network sees, and back. The same code for training and prediction.

    raw (C, Z, Y, X)  ->  transposed  ->  cropped to its non-zero box  ->  normalized  ->  resampled
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoseg import image_io
from autoseg.dataset import Case, Dataset, Labels, read_case
from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.parallel import Outcome, run_parallel
from autoseg.plan import Configuration, Plans
from autoseg.preprocessing import store
from autoseg.preprocessing.crop import crop, nonzero_box, nonzero_mask
from autoseg.preprocessing.normalize import normalize
from autoseg.preprocessing.properties import CaseProperties, Spacing
from autoseg.preprocessing.resample import anisotropic_axis, resampled_shape, resize, resize_labels
from autoseg.versions import versions
from autoseg.workspace import remove_leftovers

FORMAT = 1  # of the stored arrays; a higher number makes every case be preprocessed anew
IMAGE_ORDER = 3
MEMORY_BESIDES_VOLUMES = 150 * 2**20  # bytes: slabs, matrices, compression


def preprocess_image(
    image: Image, case_name: str, plans: Plans, configuration: Configuration
) -> tuple[np.ndarray, CaseProperties]:
    """An image as the network sees it.

    image: (C, Z, Y, X) as read; it is left as it is. Returns (C, Z', Y', X') float32 in the transposed, cropped,
    normalized, resampled grid, and what was done. Besides its input and output it takes one channel as float32.
    Values are nnU-Net's, but for labelled voxels outside the non-zero mask where a channel is normalized inside it: an
    image does not depend on its label here, so that training sees what prediction will see.
    Raises AutosegError where the channels do not fit the plans, a value is NaN or infinite, or a normalization does not
    fit the values.
    """
    channels = len(configuration.normalization)
    if len(image.array) != channels:
        raise AutosegError(
            f"case {case_name}: {len(image.array)} channels were found, but the plans were made for {channels}. "
            "Give one image per channel, in the order of the training dataset."
        )
    properties = _properties(image, case_name, plans, configuration)
    raw = crop(image.array.transpose(0, *(axis + 1 for axis in plans.transpose)), properties.crop_box)
    masked = any(_inside_mask(configuration, channel) for channel in range(channels))
    mask = nonzero_mask(raw) if masked else None
    apart = anisotropic_axis(properties.spacing_transposed_mm, properties.spacing_resampled_mm)
    same_grid = properties.shape_cropped == properties.shape_resampled
    data = np.empty((channels, *properties.shape_resampled), np.float32)
    for channel, values in enumerate(raw):
        volume = data[channel] if same_grid else np.empty(properties.shape_cropped, np.float32)
        volume[...] = values
        _normalize_channel(volume, channel, case_name, plans, configuration, mask)
        if not same_grid:
            resize(volume, properties.shape_resampled, IMAGE_ORDER, apart, out=data[channel])
    return data, properties


def preprocess_case(
    image: Image, label: Image, case_name: str, plans: Plans, configuration: Configuration
) -> tuple[np.ndarray, np.ndarray, CaseProperties]:
    """An image and its label as training sees them.

    image: (C, Z, Y, X). label: (1, Z, Y, X) integers >= 0 of the same grid. Both are left as they are.
    Returns data (C, Z', Y', X') float32, seg (1, Z', Y', X') int8 (int16 where a value is above 127) and the
    properties. Labels outside the non-zero voxels stay what they are: 0 is background there as elsewhere.
    Raises AutosegError, naming the case.
    """
    if label.array.shape[1:] != image.array.shape[1:]:
        raise AutosegError(
            f"case {case_name}: label has shape {label.array.shape[1:]} but its image {image.array.shape[1:]}. "
            "Correct the label or leave the case out with --skip-bad-cases."
        )
    data, properties = preprocess_image(image, case_name, plans, configuration)
    cropped = crop(label.array[0].transpose(plans.transpose), properties.crop_box)
    highest = int(cropped.max())
    if highest > np.iinfo(np.int16).max:
        raise AutosegError(f"case {case_name}: label value {highest} is too high, at most 32767 can be stored.")
    labels = cropped.astype(np.int8 if highest <= 127 else np.int16, order="C")
    apart = anisotropic_axis(properties.spacing_transposed_mm, properties.spacing_resampled_mm)
    return data, resize_labels(labels, properties.shape_resampled, apart)[np.newaxis], properties


def to_original_grid(labels: np.ndarray, properties: CaseProperties) -> np.ndarray:
    """Put labels back where the image came from.

    labels: (Z, Y, X) in the transposed, cropped grid (already resampled back to `properties.shape_cropped`).
    Returns (Z, Y, X) of the same dtype in the original grid; 0 outside the crop box.
    """
    original = np.zeros(properties.shape_original, labels.dtype)
    crop(original.transpose(properties.transpose), properties.crop_box)[...] = labels
    return original


def target_spacing_mm(spacing_mm: Sequence[float], configuration: Configuration) -> Spacing:
    """The spacing to resample to, (z, y, x) mm. spacing_mm: the case's own, transposed: 2D keeps its slice distance."""
    z, y, x = (*spacing_mm[: 3 - len(configuration.spacing_mm)], *configuration.spacing_mm)
    return z, y, x


def preprocess_dataset(
    dataset: Dataset,
    plans: Plans,
    configurations: Sequence[str],
    folder_of: Callable[[str], Path],
    workers: int | None = None,
) -> Iterator[Outcome[Case]]:
    """Preprocess and store every training case, each read once for all configurations.

    folder_of: configuration name to the folder of its preprocessed cases. workers: at most so many processes; fewer
    where memory does not allow it.
    Yields one outcome per case, in the order in which they finish: its value lists the configurations that were made;
    cases that are there already, whole and from the same files and plans, are left as they are and yield an empty list.
    """
    folders = {name: folder_of(name) for name in configurations}
    for folder in folders.values():
        remove_leftovers(folder)
    pending = []
    for case in dataset.training:
        digests = {name: case_digest(case, dataset.labels, plans, plans.configurations[name]) for name in folders}
        missing = {name: d for name, d in digests.items() if not store.is_complete(folders[name], case.name, d)}
        if missing:
            pending.append(_Job(case, missing))
        else:
            yield Outcome(case, value=[])
    without_cases = dataset.model_copy(update={"training": (), "test": ()})  # goes to the workers with each case
    work = partial(_preprocess_and_store, dataset=without_cases, plans=plans, folders=folders)
    memory = max((_memory_bytes(job, plans) for job in pending), default=0)
    for outcome in run_parallel(work, pending, memory, workers):
        yield Outcome(outcome.item.case, outcome.value, outcome.error)


def case_digest(case: Case, labels: Labels, plans: Plans, configuration: Configuration) -> str:
    """SHA-256 of all that a stored case is made from: its files (name, size, time), the labels, and the plans."""
    files = [file_identity(path) for path in (*case.images, case.label) if path is not None]
    return digest_of({**_facts_of_plans(labels, plans, configuration), "files": files})


def plans_digest(labels: Labels, plans: Plans, configuration: Configuration) -> str:
    """SHA-256 of what all stored cases of a configuration have in common: labels and plans, and no file."""
    return digest_of(_facts_of_plans(labels, plans, configuration))


def _facts_of_plans(labels: Labels, plans: Plans, configuration: Configuration) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "labels": labels.model_dump(mode="json"),
        "transpose": plans.transpose,
        "spacing_mm": configuration.spacing_mm,
        "normalization": configuration.normalization,
        "normalize_inside_mask": configuration.normalize_inside_mask,
        "intensities": {key: value.model_dump() for key, value in plans.foreground_intensities.items()},
    }


def digest_of(facts: dict[str, Any]) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Job:
    """A case to preprocess, and for each configuration that lacks it the digest to store it with."""

    case: Case
    digests: dict[str, str]

    def __str__(self) -> str:
        return str(self.case)


def _preprocess_and_store(job: _Job, dataset: Dataset, plans: Plans, folders: dict[str, Path]) -> list[str]:
    image, label = read_case(job.case, dataset)
    if label is None:
        raise AutosegError(f"{job.case} has no label, but training needs one. Add it, or take the image away.")
    name = job.case.name
    for made, digest in job.digests.items():
        configuration = plans.configurations[made]
        data, seg, properties = preprocess_case(image, label, name, plans, configuration)
        store.write_case(
            folders[made], name, data, seg, properties, dataset.labels, configuration.patch_size, digest,
            plans_digest(dataset.labels, plans, configuration))
        del data, seg  # before the next configuration's arrays are made
    return list(job.digests)


def _properties(image: Image, case_name: str, plans: Plans, configuration: Configuration) -> CaseProperties:
    """Where the image lies in the transposed frame, what is kept of it, and the grid it goes to."""
    first, second, third = plans.transpose
    box, spacing = nonzero_box(image.array), image.geometry.spacing_mm
    z, y, x = box[first], box[second], box[third]
    shape_cropped = (z[1] - z[0], y[1] - y[0], x[1] - x[0])
    spacing_transposed = (spacing[first], spacing[second], spacing[third])
    target = target_spacing_mm(spacing_transposed, configuration)
    return CaseProperties(
        case=case_name,
        shape_original=image.array.shape[1:],
        spacing_mm=spacing,
        transpose=plans.transpose,
        crop_box=(z, y, x),
        shape_cropped=shape_cropped,
        shape_resampled=resampled_shape(shape_cropped, spacing_transposed, target),
        spacing_resampled_mm=target,
        versions=versions(),
    )


def _inside_mask(configuration: Configuration, channel: int) -> bool:
    return configuration.normalization[channel] == "zscore" and configuration.normalize_inside_mask[channel]


def _normalize_channel(
    volume: np.ndarray,
    channel: int,
    case_name: str,
    plans: Plans,
    configuration: Configuration,
    mask: np.ndarray | None,
) -> None:
    if not (np.isfinite(volume.min()) and np.isfinite(volume.max())):
        raise AutosegError(
            f"case {case_name}: channel {channel} holds NaN or infinite values, but numbers are expected. "
            "Correct the image or leave it out."
        )
    statistics = plans.foreground_intensities.get(str(channel))
    try:
        normalize(
            volume, configuration.normalization[channel], statistics,
            mask if _inside_mask(configuration, channel) else None,
        )
    except AutosegError as error:
        raise AutosegError(f"case {case_name}, channel {channel}: {error}") from error


def file_identity(path: Path) -> list[Any]:
    """What changes when a file does; a missing file has none, and is reported when it is read."""
    try:
        status = path.stat()
    except OSError:
        return [path.name]
    return [path.name, status.st_size, status.st_mtime_ns]


def _memory_bytes(job: _Job, plans: Plans) -> int:
    """What a case takes at its peak, from its header: raw image and label, one channel as float32, and the result."""
    try:
        (channels, *shape), geometry, bytes_per_voxel = image_io.read_geometry(job.case.images[0])
    except AutosegError:
        return 0  # reading it will fail too, and say why
    channels = max(channels, len(job.case.images))
    transposed = [geometry.spacing_mm[axis] for axis in plans.transpose]
    shape_transposed = [shape[axis] for axis in plans.transpose]
    voxels = int(np.prod(shape))
    raw = voxels * (channels * bytes_per_voxel + 2)
    results = []
    for name in job.digests:
        target = target_spacing_mm(transposed, plans.configurations[name])
        results.append(int(np.prod(resampled_shape(shape_transposed, transposed, target))) * (4 * channels + 2))
    return raw + max(raw, 4 * voxels + max(results)) + MEMORY_BESIDES_VOLUMES
