"""Preprocessed cases on disk: compressed in small blocks, so that a random patch is read without reading the rest.

A case is `<case>.b2nd` (image), `<case>_seg.b2nd` (labels, with sampled foreground voxels in its metadata) and
`<case>.json`, which is written last: where it is there, the case is whole.
"""

from __future__ import annotations

import math
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from scipy import ndimage

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.plan import Frozen
from autoseg.preprocessing.crop import Box
from autoseg.preprocessing.properties import CaseProperties
from autoseg.workspace import atomic_path, read_model, write_json

SAMPLES_PER_CLASS = 10_000
ANNOTATED = -1  # key of the sample over all voxels that are not to be ignored
BLOCK_BYTES = 128 * 2**10  # decompressed at once: fits a core's cache
CHUNK_BYTES = 4 * 2**20
MAPPED = {} if os.name == "nt" else {"mmap_mode": "r"}


class StoredCaseDescription(Frozen):
    """`<case>.json`. foreground_counts: voxels of each class or region.

    digest: of all that the arrays were made from. plans_digest: of the plans among that; empty in files of versions before
    it was stored.
    """

    properties: CaseProperties
    digest: str
    plans_digest: str = ""
    channels: int
    foreground_counts: dict[int, int]


@dataclass(frozen=True)
class StoredCase:
    """A preprocessed case on disk. Boxes are half open, in voxels of the resampled grid, and clipped to it.

    Each read opens its file (0.1 ms): nothing is held open, and threads and processes may read the same case.
    """

    folder: Path
    description: StoredCaseDescription

    @property
    def name(self) -> str:
        return self.properties.case

    @property
    def digest(self) -> str:
        """Of all that it was made from."""
        return self.description.digest

    @property
    def properties(self) -> CaseProperties:
        return self.description.properties

    def is_of_plans(self, plans_digest: str) -> bool:
        """Whether these plans made it (see `pipeline.plans_digest`), as far as is known: earlier versions did not store it."""
        return self.description.plans_digest in (plans_digest, "")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X) of the resampled grid."""
        return self.properties.shape_resampled

    def read_data(self, box: Box | None = None) -> np.ndarray:
        """(C, z1 - z0, y1 - y0, x1 - x0) float32 inside `box`, or all."""
        return self._data()[_slices(box)]

    def read_seg(self, box: Box | None = None) -> np.ndarray:
        """(1, z1 - z0, y1 - y0, x1 - x0) int8 or int16 label values inside `box`, or all."""
        return self._seg()[_slices(box)]

    @property
    def foreground_counts(self) -> dict[int, int]:
        """Voxels of each class (by label value) or region (by its place among the foreground regions) that occurs.

        Datasets with an ignore label have one entry more, ANNOTATED (-1): all voxels with another label.
        """
        return self.description.foreground_counts

    def voxels_of(self, key: int) -> np.ndarray:
        """(N, 3) int32 (z, y, x): at most 10 000 voxels of a class or region, drawn evenly; none where it is absent."""
        if key not in self.foreground_counts:
            return np.zeros((0, 3), np.int32)
        seg = self._seg()  # its metadata lives as long as it does
        flat = np.frombuffer(seg.schunk.vlmeta[_vlmeta_key(key)], "<i8")
        return np.stack(np.unravel_index(flat, self.shape), axis=1).astype(np.int32)

    @property
    def foreground_voxels(self) -> dict[int, np.ndarray]:
        """`voxels_of` every class or region that occurs."""
        return {key: self.voxels_of(key) for key in self.foreground_counts}

    def _data(self) -> blosc2.NDArray:
        return open_array(self.folder / f"{self.name}.b2nd", (self.description.channels, *self.shape))

    def _seg(self) -> blosc2.NDArray:
        return open_array(self.folder / f"{self.name}_seg.b2nd", (1, *self.shape))


def write_case(
    folder: Path,
    case: str,
    data: np.ndarray,
    seg: np.ndarray,
    properties: CaseProperties,
    labels: Labels,
    patch_size: Sequence[int] = (128, 128, 128),
    digest: str = "",
    plans_digest: str = "",
) -> None:
    """Store a preprocessed case; an older version of it is replaced.

    data: (C, Z, Y, X) float32. seg: (1, Z, Y, X) int8 or int16. patch_size: voxels, 2 or 3 entries; the files are laid
    out for reading patches of about this size. digest, plans_digest: as in `StoredCaseDescription`.
    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    description_path(folder, case).unlink(missing_ok=True)  # from here on the case is incomplete
    samples = dict(sample_foreground(seg[0], case, labels))
    metadata = {_vlmeta_key(key): voxels.astype("<i8").tobytes() for key, (_, voxels) in samples.items()}
    write_array(folder / f"{case}.b2nd", data, patch_size, {})
    write_array(folder / f"{case}_seg.b2nd", seg, patch_size, metadata)
    counts = {key: count for key, (count, _) in samples.items()}
    description = StoredCaseDescription(
        properties=properties, digest=digest, plans_digest=plans_digest, channels=len(data), foreground_counts=counts
    )
    write_json(description_path(folder, case), description)


def open_case(folder: Path, case: str) -> StoredCase:
    """A stored case. Raises AutosegError where it is not whole or its files do not fit each other."""
    stored = described_case(folder, case)
    stored._data(), stored._seg()  # what cannot be read is better named now than in the middle of a training
    return stored


def described_case(folder: Path, case: str) -> StoredCase:
    """As `open_case`, but its arrays are not looked at."""
    path = description_path(folder, case)
    if not path.is_file():
        raise AutosegError(f"case {case}: {folder} holds no complete preprocessed data of it. "
                           "Run autoseg_plan_and_preprocess again; it goes on where it stopped.")
    return StoredCase(folder, read_model(path, StoredCaseDescription))


def is_complete(folder: Path, case: str, digest: str | None = None) -> bool:
    """Whether a case is stored whole and, where `digest` is given, was made from the same."""
    path = description_path(folder, case)
    arrays = (folder / f"{case}.b2nd", folder / f"{case}_seg.b2nd")
    if not all(file.is_file() for file in (path, *arrays)):
        return False
    try:
        return digest is None or read_model(path, StoredCaseDescription).digest == digest
    except AutosegError:
        return False


def stored_cases(folder: Path) -> list[str]:
    """Names of the cases that are stored whole in `folder`, sorted."""
    names = (path.name.removesuffix(".json") for path in folder.glob("*.json"))
    return sorted(name for name in names if is_complete(folder, name))


def description_path(folder: Path, case: str) -> Path:
    """`<case>.json`."""
    return folder / f"{case}.json"


def sample_foreground(seg: np.ndarray, case: str, labels: Labels) -> Iterator[tuple[int, tuple[int, np.ndarray]]]:
    """For each class or region that occurs: its key, its voxel count, and up to 10 000 of its voxels.

    seg: (Z, Y, X) label values. Keys as in `StoredCase.foreground_counts`. Voxels are flat indices (N,) int64 into
    seg, ascending, drawn without replacement; the same for the same case name, on every machine.
    """
    whole = tuple(slice(0, size) for size in seg.shape)
    boxes = {value: box for value, box in enumerate(ndimage.find_objects(seg), start=1) if box is not None}
    sought: list[tuple[int, tuple[int, ...]]] = []
    for index, values in enumerate(labels.foreground.values()):
        sought.append((index if labels.has_regions else values[0], values))
    if labels.ignore is not None:
        sought.append((ANNOTATED, tuple(value for value in labels.known_values if value != labels.ignore)))
    for key, values in sought:
        box = whole if 0 in values else _union([boxes[value] for value in values if value in boxes])
        if box is not None:
            count, voxels = _sample(seg, values, box, np.random.default_rng([zlib.crc32(case.encode()), key + 1]))
            if count:
                yield key, (count, voxels)


def layout(shape: Sequence[int], patch_size: Sequence[int], bytes_per_voxel: int) -> tuple[tuple[int, ...], ...]:
    """Chunks and blocks, each (1, z, y, x) voxels, for arrays (C, Z, Y, X) that are read in patches at random places.

    A block is what is decompressed at once: the patch, halved along its longest side until it takes 128 KiB. A chunk
    gathers blocks up to about a patch, but 4 MiB at most.
    """
    patch = [1] * (3 - len(patch_size)) + [int(size) for size in patch_size]
    limits = [min(size, side) for size, side in zip(shape[1:], patch, strict=True)]
    block = list(limits)
    while math.prod(block) * bytes_per_voxel > BLOCK_BYTES and max(block) > 1:
        longest = block.index(max(block))
        block[longest] = -(-block[longest] // 2)
    chunk = list(block)
    while True:
        grown = [i for i in range(3) if chunk[i] < limits[i]]
        if not grown or 2 * math.prod(chunk) * bytes_per_voxel > CHUNK_BYTES:
            return (1, *chunk), (1, *block)
        axis = min(grown, key=lambda i: chunk[i] / limits[i])
        chunk[axis] = min(2 * chunk[axis], limits[axis])


def _sample(
    seg: np.ndarray, values: tuple[int, ...], box: tuple[slice, ...], rng: np.random.Generator
) -> tuple[int, np.ndarray]:
    """How many voxels hold one of `values`, and the flat indices of some; one slice at a time."""

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


def write_array(path: Path, array: np.ndarray, patch_size: Sequence[int], metadata: dict[str, bytes]) -> None:
    """Store an array of four axes, compressed, whole or not at all. patch_size: see `layout`. metadata: kept beside it.

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    chunks, blocks = layout(array.shape, patch_size, array.itemsize)
    compression = {
        "codec": blosc2.Codec.LZ4, "clevel": 1, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1,
    }
    with atomic_path(path) as temporary:
        try:
            stored = blosc2.asarray(
                np.ascontiguousarray(array), urlpath=str(temporary), mode="w", chunks=chunks, blocks=blocks,
                cparams=compression,
            )
            for key, value in metadata.items():
                stored.schunk.vlmeta[key] = value
        except RuntimeError as error:
            free = shutil.disk_usage(path.parent).free
            raise AutosegError(
                f"{path} could not be written; {free / 2**20:.0f} MiB are free there, up to "
                f"{array.nbytes / 2**20:.0f} MiB are needed. Free some space, or choose another disk with --workspace."
            ) from error


def open_array(path: Path, shape: tuple[int, ...]) -> blosc2.NDArray:
    """A plain array on disk; blosc2's other objects (lazy expressions, proxies) are refused.

    Raises AutosegError where it is missing or damaged, or has another shape.
    """
    try:
        opened = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **MAPPED)
    except (OSError, RuntimeError, ValueError) as error:
        raise AutosegError(f"{path} cannot be read ({error}). Delete it and run autoseg_plan_and_preprocess again.") \
            from error
    if not isinstance(opened, blosc2.NDArray) or opened.shape != shape:
        found = f"shape {opened.shape}" if isinstance(opened, blosc2.NDArray) else type(opened).__name__
        raise AutosegError(f"{path} holds {found}, but an array of shape {shape} is expected. "
                           "Delete it and run autoseg_plan_and_preprocess again.")
    return opened
