"""Segmentations that were written, read again by other ways than that of writing, and compared in the world.

The file's frames are read by hand (see `segments`), which shares no code with the library that wrote it, and where dcmqi is
installed, its `segimage2itkimage` reads them, too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Geometry
from autoseg.image_io.dicom.segments import Placement, SegmentFile, open_segments
from autoseg.image_io.dicom.structures import Structure, voxels_by_plane

DCMQI = "segimage2itkimage"
PATIENCE_S = 600
HIGHEST_NUMBER = 2**16 - 1  # of a segment
Pieces = Iterator[tuple[np.ndarray, np.ndarray]]  # numbers of segments that were read, and the labels of the same voxels


def require_as_written(file: Path, path: Path, labels: np.ndarray, geometry: Geometry, structures: Sequence[Structure]) -> None:
    """Raise AutosegError where a file does not hold each structure in the voxels that it should.

    file: that was written. path: what it is to be called. labels: (Z, Y, X) on a grid. structures: of segments 1, 2, ..., or of
    those that have the number of their label value in a label map.
    """
    try:
        written = open_segments(file)
        numbers = [structure.values[0] if written.kind == "LABELMAP" else index for index, structure in enumerate(structures, 1)]
        if numbers != (found := [segment.number for segment in written.segments]):
            raise AutosegError(f"its segments are {found}")
        _require_same(_by_hand(written, labels, geometry), "by hand", labels, structures, numbers)
        if program := dcmqi():
            with TemporaryDirectory(prefix="autoseg-") as folder:
                pieces = _by_dcmqi(program, file, Path(folder), labels, geometry)
                _require_same(pieces, f"by {DCMQI}", labels, structures, numbers)
    except AutosegError as error:
        said = str(error).replace(str(file), "the file").rstrip(".")
        raise AutosegError(f"{path} was written, but is not read as it was meant, so it was removed: {said}. Please report this, "
                           "and choose another kind of output.") from error


def dcmqi() -> str | None:
    """Return where dcmqi's reader is: on PATH, or beside this Python; None where it is not installed."""
    return shutil.which(DCMQI) or shutil.which(DCMQI, path=str(Path(sys.executable).parent))


def _require_same(
    pieces: Pieces, how: str, labels: np.ndarray, structures: Sequence[Structure], numbers: Sequence[int]
) -> None:
    """Raise AutosegError where voxels of a segment lie where their structure is not, or are fewer or more than its own."""
    counts = voxels_by_plane(labels, structures).sum(0)
    row_of = np.zeros(HIGHEST_NUMBER + 2, np.intp)  # 0 for what is no segment
    row_of[list(numbers)] = np.arange(1, len(numbers) + 1)
    is_of = np.zeros((len(numbers) + 1, np.iinfo(labels.dtype).max + 1), bool)
    for row, structure in enumerate(structures, 1):
        is_of[row, list(structure.values)] = True
    read_voxels = np.zeros(len(numbers) + 1, np.int64)
    for read, there in pieces:
        inside = read != 0
        numbers_read = read[inside]
        rows = row_of[np.clip(numbers_read, 0, HIGHEST_NUMBER + 1)]
        right = is_of[rows, there[inside]]
        if not right.all():
            raise AutosegError(f"read {how}, voxels of segment {int(numbers_read[~right][0])} lie where it is not")
        read_voxels += np.bincount(rows, minlength=len(read_voxels))
    for row, (number, structure) in enumerate(zip(numbers, structures, strict=True), 1):
        if read_voxels[row] != (wanted := int(counts[list(structure.values)].sum())):
            raise AutosegError(f"read {how}, segment {number} ({structure.name}) has {read_voxels[row]} voxels in place of "
                               f"{wanted}")


def _by_hand(written: SegmentFile, labels: np.ndarray, geometry: Geometry) -> Pieces:
    placement = Placement.of(written, (geometry, labels.shape))
    for frame in written.frames:
        pixels = written.pixels(frame)
        yield pixels if frame.segment is None else pixels.astype(np.uint16) * frame.segment, placement.view(labels, frame)


def _by_dcmqi(program: str, file: Path, folder: Path, labels: np.ndarray, geometry: Geometry) -> Pieces:
    from autoseg.image_io import read_label

    command = [program, "--inputDICOM", str(file), "--outputDirectory", str(folder), "--outputType", "nrrd", "--mergeSegments"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False)
        attributes = json.loads((folder / "meta.json").read_bytes())["segmentAttributes"]
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        raise AutosegError(f"{program} cannot read it") from error
    if done.returncode:
        raise AutosegError(f"{program} cannot read it, and ends with {done.returncode}")
    for index in range(1, len(attributes) + 1):
        image = read_label(folder / f"{index}.nrrd")
        shape = image.array.shape[1:]
        first = (np.linalg.inv(geometry.affine()) @ [*image.geometry.origin_mm, 1.0])[2::-1]
        begin = np.rint(first).astype(int)
        part = labels[tuple(slice(start, start + size) for start, size in zip(begin, shape, strict=True))]
        apart = image.geometry.differences(geometry.from_voxel((int(begin[0]), int(begin[1]), int(begin[2]))), shape)
        if apart or part.shape != shape or begin.min() < 0:
            raise AutosegError(f"read by {DCMQI}, it lies elsewhere: {'; '.join(apart)}")
        yield from zip(image.array[0], part, strict=True)
