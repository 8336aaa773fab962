"""Preprocessed cases on disk, of every task: made once, compressed, and whole or not there.

A case is one or more arrays, `<case>.b2nd` (a further one in a folder of its own: `<part>/<case>.b2nd`, so that no case's file
can be another's, whatever they are called), and `<case>.json`, which describes them and is written last: where it is there, the
case is complete. Arrays are compressed in small blocks, so that a random patch is read without reading the rest.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import blosc2
import numpy as np
from pydantic import model_validator

from autoseg import image_io
from autoseg.bounds import Count, Permutation, PositiveMm, Voxels
from autoseg.dataset import Case
from autoseg.digests import content_stamps, file_digest
from autoseg.errors import AutosegError, many, some
from autoseg.files import atomic_path, remove_leftovers, require_regular_file, write_json
from autoseg.image import AxisOrder, Geometry
from autoseg.parallel import Outcome, run_parallel
from autoseg.plan import Frozen
from autoseg.provenance import Origin
from autoseg.workspace import read_model

BLOCK_BYTES = 128 * 2**10  # decompressed at once: fits a core's cache
CHUNK_BYTES = 4 * 2**20
MAPPED = {} if os.name == "nt" else {"mmap_mode": "r"}

Size = tuple[Voxels, Voxels, Voxels]
Spacing = tuple[PositiveMm, PositiveMm, PositiveMm]
SpanOfBox = tuple[Count, Voxels]


class CaseProperties(Frozen):
    """The steps of a case from the original grid to the resampled one; prediction takes them back.

    shape_original, spacing_mm: (z, y, x) of the image as it was read, voxels and mm.
    transpose: axis of the image as read that became axis 0, 1, 2. flipped: whether it runs backwards. All that follows is in the
    transposed and flipped frame:
    crop_box: ((z0, z1), (y0, y1), (x0, x1)), half open, voxels of the image before cropping.
    shape_cropped, shape_resampled: voxels. spacing_resampled_mm: of the resampled grid, mm.
    """

    case: str
    shape_original: Size
    spacing_mm: Spacing
    transpose: Permutation
    flipped: tuple[bool, bool, bool] = (False, False, False)
    crop_box: tuple[SpanOfBox, SpanOfBox, SpanOfBox]
    shape_cropped: Size
    shape_resampled: Size
    spacing_resampled_mm: Spacing
    versions: dict[str, str]

    @model_validator(mode="after")
    def _box_lies_in_the_image(self) -> CaseProperties:
        whole = [self.shape_original[axis] for axis in self.transpose]
        sizes = tuple(stop - start for start, stop in self.crop_box)
        if sizes != self.shape_cropped or any(stop > size for (_, stop), size in zip(self.crop_box, whole, strict=True)):
            raise ValueError("crop_box must lie in the image and be of shape_cropped")
        return self

    @property
    def order(self) -> AxisOrder:
        """Return how the axes of the image as read become those of the transposed frame."""
        return AxisOrder(self.transpose, self.flipped)

    @property
    def spacing_transposed_mm(self) -> Spacing:
        """Return the original spacing, mm, in the transposed frame."""
        first, second, third = self.transpose
        return self.spacing_mm[first], self.spacing_mm[second], self.spacing_mm[third]


class StoredDescription(Frozen):
    """The content of `<case>.json`. shapes: of the arrays, by part ("" for `<case>.b2nd`); digests: of their files.
    origin: digest of all that the case was made from. plans: digest of the plans among that. Each task adds what it knows."""

    remedy: ClassVar[str] = "Remove it: autoseg_plan_and_preprocess {dataset} makes it again."

    case: str
    shapes: dict[str, tuple[Voxels, ...]]
    digests: dict[str, str] = {}
    origin: str
    plans: str


class AnyDescription(StoredDescription, extra="ignore"):
    """The description of a stored case of any task."""


DescriptionType = TypeVar("DescriptionType", bound=StoredDescription)
OpenedType = TypeVar("OpenedType", bound="StoredCase[Any]")


@dataclass(frozen=True)
class StoredCase(Generic[DescriptionType]):
    """A preprocessed case on disk. `opened` checks its files once. parts: of the names of its arrays' files.

    Each read opens its file (0.1 ms): nothing is held open, and threads and processes may read the same case.
    """

    folder: Path
    description: DescriptionType
    parts: ClassVar[tuple[str, ...]] = ("",)

    @property
    def name(self) -> str:
        """Return the case's name."""
        return self.description.case

    @property
    def origin(self) -> str:
        """Return the digest of all that it was made from: files and plans."""
        return self.description.origin

    def array(self, part: str = "") -> blosc2.NDArray:
        """Return an array, not read yet. Raises AutosegError where its file is missing or damaged, or of another shape."""
        return open_array(array_path(self.folder, self.name, part), self.description.shapes[part])


class Part(NamedTuple):
    """An array of four axes to be stored. part: that of the file name. patch_size: voxels, 2 or 3 entries; the file is laid out
    for reading patches of about this size. metadata: kept in the file."""

    part: str
    array: np.ndarray
    patch_size: Sequence[int]
    metadata: Mapping[str, bytes] = {}


def write_case(folder: Path, description: StoredDescription, parts: Sequence[Part]) -> None:
    """Store a case; an older version of it is replaced. Shapes and digests in `description` are taken from the arrays.

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    forget(folder, description.case)
    for part in parts:
        write_array(array_path(folder, description.case, part.part), part.array, part.patch_size, part.metadata)
    files = {part.part: array_path(folder, description.case, part.part) for part in parts}
    write_json(description_path(folder, description.case), description.model_copy(update={
        "shapes": {part.part: tuple(map(int, part.array.shape)) for part in parts},
        "digests": {part: file_digest(file) for part, file in files.items()}}))


def read_description(folder: Path, case: str, description: type[DescriptionType]) -> DescriptionType:
    """Return the description of a stored case. Raises AutosegError where the case is not complete."""
    path = description_path(folder, case)
    if not path.is_file():
        raise AutosegError(f"case {case}: {folder} holds no complete preprocessed data of it. "
                           "Run autoseg_plan_and_preprocess again; it continues where it stopped.")
    there = read_model(path, description)
    if there.case != case:
        raise AutosegError(f"{path} describes the case {there.case}, but {case} is expected. Delete it and run "
                           "autoseg_plan_and_preprocess again.")
    return there


def opened(stored: OpenedType) -> OpenedType:
    """Return a stored case whose files are as they were written: what is damaged is better named now than in a training.

    Files whose size and times are as they were are not read again (see `autoseg.digests`). Raises AutosegError that names case
    and file where one is missing or damaged.
    """
    its = stored.description
    if not {*stored.parts} == its.shapes.keys() == its.digests.keys():
        raise AutosegError(f"case {its.case}: {description_path(stored.folder, its.case)} does not describe the arrays of a "
                           "case. Delete it and run autoseg_plan_and_preprocess again.")
    for part in stored.parts:
        path = array_path(stored.folder, its.case, part)
        if path.is_file() and file_digest(path) != its.digests[part]:  # before the library looks at it
            raise AutosegError(f"case {its.case}: {path} is damaged: it is not what was written there (its digest is not that in "
                               f"{its.case}.json). Delete it and run autoseg_plan_and_preprocess again.")
        stored.array(part)
    return stored


def is_complete(folder: Path, case: str, origin: str | None = None) -> bool:
    """Tell whether a case is stored complete and, where `origin` is given, was made from the same."""
    path = description_path(folder, case)
    if not path.is_file():
        return False
    try:
        there = read_model(path, AnyDescription)
    except AutosegError:
        return False
    return origin in (None, there.origin) and there.shapes.keys() == there.digests.keys() and all(
        array_path(folder, case, part).is_file() for part in there.shapes)


def forget(folder: Path, case: str) -> None:
    """Make a case incomplete."""
    description_path(folder, case).unlink(missing_ok=True)


def description_path(folder: Path, case: str) -> Path:
    """Return the path of `<case>.json`."""
    return folder / f"{case}.json"


def array_path(folder: Path, case: str, part: str = "") -> Path:
    """Return the path of an array, `<case>.b2nd` or `<part>/<case>.b2nd`."""
    return folder / part / f"{case}.b2nd"


def stored_cases(folder: Path, cases: Sequence[Case], open_case: Callable[[Path, str], StoredType]) -> list[StoredType]:
    """Return those of the cases that are stored complete, opened by the task's function."""
    return [open_case(folder, case.name) for case in cases if is_complete(folder, case.name)]


StoredType = TypeVar("StoredType")


@dataclass(frozen=True)
class CaseToMake:
    """A case to preprocess, and the origin to store it with, by configuration."""

    case: Case
    origins: dict[str, str]

    def __str__(self) -> str:
        return str(self.case)


def case_origin(case: Case, plans: str, **more: object) -> str:
    """Return the digest of all that a stored case is made from: its files (see `files_digest`), then the plans and `more`."""
    return f"{files_digest(case)}-{Origin.of(plans=plans, **more).digest}"


def files_digest(case: Case) -> str:
    """Return the digest of a case's images and label: of names and content."""
    return Origin.of(files=content_stamps((*case.images, case.label))).digest


def is_from_files_of(case: Case, origin: str) -> bool:
    """Tell whether what has this origin was made from the images and label that the case has today, whatever the plans."""
    return origin.startswith(f"{files_digest(case)}-")


def require_unchanged(
    cases: Sequence[Case], origins: Mapping[str, str], origin: Callable[[Case], str], command: str
) -> None:
    """Raise AutosegError, with the names of the cases, where cases were made from other files than there are now, or files of
    theirs are gone.

    origins: of the cases that are stored, by name; others are not looked at. origin: that of today. command: that makes them
    again.
    """
    stored = [case for case in cases if case.name in origins]
    gone = {case.name: path for case in stored for path in (*case.images, case.label) if path and not image_io.exists(path)}
    changed = [case.name for case in stored if case.name not in gone and origin(case) != origins[case.name]]
    found = [f"the images or labels of {many(len(changed), 'case')} have changed ({some(changed)})"] if changed else []
    if gone:
        named = some(f"{name}: {path}" for name, path in gone.items())
        found.append(f"files of {many(len(gone), 'case')} are gone ({named})")
    if found:
        raise AutosegError(f"Since planning, {' and '.join(found)}. Put the files back as they were, or plan again with those of "
                           f"today: {command}")


def make_cases(
    cases: Sequence[Case], folders: Mapping[str, Path], origin: Callable[[Case, str], str],
    make: Callable[[CaseToMake], list[str]], memory_bytes: Callable[[CaseToMake], int], workers: int | None = None,
) -> Iterator[Outcome[Case]]:
    """Make what is not there yet; yield one outcome per case, in the order in which they finish.

    folders: by configuration. origin: digest of all that a case is made from for a configuration. make: reads a case once,
    stores it for each configuration of its `origins`, in a process of its own, and returns their names. memory_bytes: that a
    case takes at its peak. workers: at most so many processes; fewer where memory does not allow it.
    Cases that are there already, complete and from the same files and plans, are left as they are and yield an empty list.
    """
    for folder in folders.values():
        for inside in (folder, *folder.glob("*/")):
            remove_leftovers(inside)
    pending = []
    for case in cases:
        origins = {name: origin(case, name) for name in folders}
        missing = {name: of for name, of in origins.items() if not is_complete(folders[name], case.name, of)}
        if missing:
            pending.append(CaseToMake(case, missing))
        else:
            yield Outcome(case, value=[])
    memory = max(map(memory_bytes, pending), default=0)
    for outcome in run_parallel(partial(_call, make), pending, memory, workers):
        yield Outcome(outcome.item.case, outcome.value, outcome.error)


def _call(make: Callable[[CaseToMake], list[str]], job: CaseToMake) -> list[str]:
    return make(job)


def forget_outdated(cases: Sequence[Case], folder: Path, origin: Callable[[Case], str]) -> None:
    """Make cases incomplete that were made from other files or by other plans.

    Call it before these plans are written: a planning that is killed, or a case that then cannot be made, must not leave
    what is not so any more.
    """
    for case in cases:
        if not is_complete(folder, case.name, origin(case)):
            forget(folder, case.name)


class Header(NamedTuple):
    """The content of the header of a case's first image. channels: of all its files together."""

    channels: int
    shape: Size
    geometry: Geometry
    bytes_per_voxel: int

    @property
    def voxels(self) -> int:
        """Return the number of voxels of one channel."""
        return math.prod(self.shape)


def read_header(case: Case) -> Header | None:
    """Return what memory is estimated from; None where it cannot be read: reading the case will fail too, and say why."""
    try:
        (channels, z, y, x), geometry, bytes_per_voxel = image_io.read_geometry(case.images[0])
    except AutosegError:
        return None
    return Header(max(channels, len(case.images)), (z, y, x), geometry, bytes_per_voxel)


def layout(shape: Sequence[int], patch_size: Sequence[int], bytes_per_voxel: int) -> tuple[tuple[int, ...], ...]:
    """Return chunks and blocks, each (1, z, y, x) voxels, for arrays (C, Z, Y, X) that are read in patches at random places.

    A block is decompressed at once: the patch, halved along its longest side until it takes 128 KiB. A chunk gathers blocks up to
    about a patch, but 4 MiB at most.
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


def write_array(path: Path, array: np.ndarray, patch_size: Sequence[int], metadata: Mapping[str, bytes]) -> None:
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
    """Open a plain array on disk; blosc2's other objects (lazy expressions, proxies) are refused.

    Raises AutosegError where it is missing or damaged, or has another shape.
    """
    require_regular_file(path)
    try:
        array = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **MAPPED)
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise AutosegError(f"{path} cannot be read ({str(error) or type(error).__name__}). Delete it and run "
                           "autoseg_plan_and_preprocess again.") from error
    if not isinstance(array, blosc2.NDArray) or array.shape != shape:
        found = f"shape {array.shape}" if isinstance(array, blosc2.NDArray) else type(array).__name__
        raise AutosegError(f"{path} holds {found}, but an array of shape {shape} is expected. "
                           "Delete it and run autoseg_plan_and_preprocess again.")
    return array
