"""Preprocessed cases of a segmentation: image, labels with sampled foreground voxels, and how they are made.

A case is `<case>.b2nd` (image), `seg/<case>.b2nd` (labels, with the samples in its metadata) and `<case>.json`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from pydantic import model_validator
from scipy import ndimage

from autoseg.bounds import Count
from autoseg.dataset import Case, Dataset, Labels, read_case
from autoseg.errors import AutosegError
from autoseg.image import axis_order
from autoseg.parallel import Outcome
from autoseg.plan import Configuration, Plans
from autoseg.preprocessing import store
from autoseg.preprocessing.crop import Box, labelled_outside
from autoseg.preprocessing.pipeline import OUTSIDE, preprocess_case, target_spacing_mm
from autoseg.preprocessing.resample import resampled_shape
from autoseg.preprocessing.store import CaseProperties, CaseToMake, Part, StoredCase, StoredDescription
from autoseg.provenance import Origin

FORMAT = 2  # of the stored arrays; a higher number makes every case be preprocessed again
LABELS = "seg"  # folder of the labels' files
PREVIOUS = "previous"  # the previous stage's predictions, which lie elsewhere
SAMPLES_PER_CLASS = 10_000
ANNOTATED = -1  # key of the sample over all voxels that are not to be ignored
MEMORY_BESIDES_VOLUMES = 150 * 2**20  # bytes: slabs, matrices, compression


class VolumeDescription(StoredDescription):
    """`<case>.json`. foreground_counts: voxels of each class or region. cropped_away: labelled voxels of the original grid
    where preprocessing crops."""

    properties: CaseProperties
    foreground_counts: dict[int, Count]
    cropped_away: Count = 0

    @model_validator(mode="after")
    def _of_one_grid(self) -> VolumeDescription:
        its = self.properties
        if self.case != its.case or any(shape[1:] != its.shape_resampled for shape in self.shapes.values()):
            raise ValueError("shapes and case must be those of properties")
        return self


@dataclass(frozen=True)
class StoredVolume(StoredCase[VolumeDescription]):
    """A preprocessed image with its labels. Boxes are half open, in voxels of the resampled grid, and clipped to it.

    previous: the previous stage's prediction on the same grid, (1, Z, Y, X) label values; None where the model needs none.
    """

    parts = ("", LABELS)
    previous: StoredCase[Any] | None = None

    def array(self, part: str = "") -> blosc2.NDArray:
        """Return an array, not read yet: the image, LABELS, or PREVIOUS."""
        return self.previous.array() if part == PREVIOUS and self.previous is not None else super().array(part)

    @property
    def label_parts(self) -> tuple[str, ...]:
        """Return the parts that hold label values."""
        return (LABELS,) if self.previous is None else (LABELS, PREVIOUS)

    @property
    def properties(self) -> CaseProperties:
        return self.description.properties

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (Z, Y, X) of the resampled grid."""
        return self.properties.shape_resampled

    def read_data(self, box: Box | None = None) -> np.ndarray:
        """Return (C, z1 - z0, y1 - y0, x1 - x0) float32 inside `box`, or all."""
        return self.array()[_slices(box)]

    def read_seg(self, box: Box | None = None) -> np.ndarray:
        """Return (1, z1 - z0, y1 - y0, x1 - x0) int8 or int16 label values inside `box`, or all; background outside of the mask
        is -1 where a channel is normalized inside it."""
        return self.array(LABELS)[_slices(box)]

    @property
    def foreground_counts(self) -> dict[int, int]:
        """Return the number of voxels of each class (by label value) or region (by its place among the foreground regions) that
        occurs. Datasets with an ignore label have one entry more, ANNOTATED (-1): all voxels with another label."""
        return self.description.foreground_counts

    def voxels_of(self, key: int) -> np.ndarray:
        """Return (N, 3) int32 (z, y, x): at most 10 000 voxels of a class or region, drawn evenly; none where it is absent."""
        if key not in self.foreground_counts:
            return np.zeros((0, 3), np.int32)
        seg = self.array(LABELS)  # its metadata lives as long as it does
        if _vlmeta_key(key) not in seg.schunk.vlmeta:
            path = store.description_path(self.folder, self.name)
            raise AutosegError(f"case {self.name}: {path} counts voxels of {key}, which its labels do not hold. Delete it and "
                               "run autoseg_plan_and_preprocess again.")
        flat = np.frombuffer(seg.schunk.vlmeta[_vlmeta_key(key)], "<i8")
        return np.stack(np.unravel_index(flat, self.shape), axis=1).astype(np.int32)


def write_volume(
    folder: Path, data: np.ndarray, seg: np.ndarray, properties: CaseProperties, labels: Labels,
    patch_size: Sequence[int] = (128, 128, 128), origin: str = "", plans: str = "", cropped_away: int = 0,
) -> None:
    """Store a preprocessed case; an older version of it is replaced.

    data: (C, Z, Y, X) float32. seg: (1, Z, Y, X) int8 or int16. patch_size: voxels, 2 or 3 entries; the files are laid
    out for reading patches of about this size. origin, plans: as in `StoredDescription`. cropped_away: as in `VolumeDescription`.
    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    samples = dict(sample_foreground(seg[0], properties.case, labels))
    metadata = {_vlmeta_key(key): voxels.astype("<i8").tobytes() for key, (_, voxels) in samples.items()}
    description = VolumeDescription(
        case=properties.case, shapes={}, origin=origin, plans=plans, properties=properties,
        foreground_counts={key: count for key, (count, _) in samples.items()}, cropped_away=cropped_away)
    store.write_case(folder, description, [Part("", data, patch_size), Part(LABELS, seg, patch_size, metadata)])


def open_volume(folder: Path, case: str) -> StoredVolume:
    """Return a stored case. Raises AutosegError where it is not complete or its files do not fit each other."""
    return store.opened(described_volume(folder, case))


def described_volume(folder: Path, case: str) -> StoredVolume:
    """Return a stored case as `open_volume` does, but do not look at its arrays."""
    return StoredVolume(folder, store.read_description(folder, case, VolumeDescription))


def plans_digest(labels: Labels, plans: Plans, configuration: Configuration) -> str:
    """Return the digest of what all stored cases of a configuration have in common: labels and plans, and no file."""
    return Origin.of(
        format=FORMAT, labels=labels, orientation=plans.orientation, transpose=plans.transpose,
        spacing_mm=configuration.spacing_mm, normalization=configuration.normalization,
        normalize_inside_mask=configuration.normalize_inside_mask,
        **({"outside": OUTSIDE} if any(configuration.normalize_inside_mask) else {}),
        intensities={channel: plans.foreground_intensities.get(str(channel))
                     for channel, scheme in enumerate(configuration.normalization) if scheme == "ct"}).digest


def doing(plans: Plans, configurations: Sequence[str]) -> str:
    """Return the title of the progress bar."""
    return f"Preprocessing for {', '.join(configurations)}"


def preprocess(
    dataset: Dataset, plans: Plans, folders: Mapping[str, Path], workers: int | None = None
) -> Iterator[Outcome[Case]]:
    """Preprocess and store every training case, each read once for all configurations (see `make_cases`).

    folders: of the preprocessed cases, by configuration.
    """
    without_cases = dataset.model_copy(update={"training": (), "test": ()})  # goes to the workers with each case
    return store.make_cases(
        dataset.training, folders, partial(case_origin, dataset=without_cases, plans=plans),
        partial(_preprocess_and_store, dataset=without_cases, plans=plans, folders=folders),
        partial(_memory_bytes, plans=plans), workers)


def case_origin(case: Case, configuration: str, dataset: Dataset, plans: Plans) -> str:
    """Return the digest of all that a stored case is made from: its files, and the plans."""
    return store.case_origin(case, plans_digest(dataset.labels, plans, plans.configurations[configuration]))


def _preprocess_and_store(job: CaseToMake, dataset: Dataset, plans: Plans, folders: Mapping[str, Path]) -> list[str]:
    image, label = read_case(job.case, dataset)
    if label is None:
        raise AutosegError(f"{job.case} has no label, but training needs one. Add it, or take the image away.")
    for name, origin in job.origins.items():
        configuration = plans.configurations[name]
        data, seg, properties = preprocess_case(image, label, job.case.name, plans, configuration)
        write_volume(folders[name], data, seg, properties, dataset.labels, configuration.patch_size, origin,
                     plans_digest(dataset.labels, plans, configuration),
                     labelled_outside(properties.order.of(label.array[0]), properties.crop_box, dataset.labels.ignore))
        del data, seg  # before the next configuration's arrays are made
    return list(job.origins)


def _memory_bytes(job: CaseToMake, plans: Plans) -> int:
    """Return what a case takes at its peak: raw image and label, one channel as float32, and the result."""
    header = store.read_header(job.case)
    if header is None:
        return 0
    order = axis_order(header.geometry.orientation, plans.orientation, header.shape).then(plans.transpose)
    transposed = [header.geometry.spacing_mm[axis] for axis in order.axes]
    shape_transposed = [header.shape[axis] for axis in order.axes]
    raw = header.voxels * (header.channels * header.bytes_per_voxel + 2)
    results = []
    for name in job.origins:
        target = target_spacing_mm(transposed, plans.configurations[name])
        results.append(int(np.prod(resampled_shape(shape_transposed, transposed, target))) * (4 * header.channels + 2))
    return raw + max(raw, 4 * header.voxels + max(results)) + MEMORY_BESIDES_VOLUMES


def sample_foreground(seg: np.ndarray, case: str, labels: Labels) -> Iterator[tuple[int, tuple[int, np.ndarray]]]:
    """Yield for each class or region that occurs its key, its voxel count, and up to 10 000 of its voxels.

    seg: (Z, Y, X) label values. Keys as in `StoredCase.foreground_counts`. Voxels are flat indices (N,) int64 into
    seg, ascending, drawn without replacement; the same for the same case name, on every machine.
    """
    whole = tuple(slice(0, size) for size in seg.shape)
    boxes = {value: box for value, box in enumerate(ndimage.find_objects(seg), start=1) if box is not None}
    sought: list[tuple[int, tuple[int, ...]]] = []
    for index, values in enumerate(labels.foreground.values()):
        sought.append((index if labels.has_regions else values[0], values))
    if labels.ignore is not None:
        sought.append((ANNOTATED, (OUTSIDE, *(value for value in labels.known_values if value != labels.ignore))))
    for key, values in sought:
        box = whole if 0 in values else _union([boxes[value] for value in values if value in boxes])
        if box is not None:
            count, voxels = _sample(seg, values, box, np.random.default_rng([zlib.crc32(case.encode()), key + 1]))
            if count:
                yield key, (count, voxels)


def _sample(
    seg: np.ndarray, values: tuple[int, ...], box: tuple[slice, ...], rng: np.random.Generator
) -> tuple[int, np.ndarray]:
    """Return how many voxels hold one of `values`, and the flat indices of some; one slice at a time."""

    def mask(z: int) -> np.ndarray:
        plane = seg[z, box[1], box[2]]
        return plane == values[0] if len(values) == 1 else np.isin(plane, values)

    slices = range(box[0].start, box[0].stop)
    ends = np.cumsum([np.count_nonzero(mask(z)) for z in slices])
    total = int(ends[-1])
    ranks = np.sort(rng.choice(total, min(total, SAMPLES_PER_CLASS), replace=False, shuffle=False))
    found = []
    for z, end, start in zip(slices, ends, (0, *ends[:-1]), strict=True):
        here = ranks[np.searchsorted(ranks, start):np.searchsorted(ranks, end)] - start
        if len(here):
            y, x = np.nonzero(mask(z))
            position = (z, y[here] + box[1].start, x[here] + box[2].start)
            found.append(np.ravel_multi_index(np.broadcast_arrays(*position), seg.shape))
    return total, np.concatenate(found) if found else np.zeros(0, np.int64)


def _union(boxes: Iterable[tuple[slice, ...]]) -> tuple[slice, ...] | None:
    axes = list(zip(*boxes, strict=True))
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in axes) or None


def _slices(box: Box | None) -> Any:
    return slice(None) if box is None else (slice(None), *(slice(max(0, start), stop) for start, stop in box))


def _vlmeta_key(key: int) -> str:
    return f"voxels_{key}"
