"""Reading DICOM SEG by hand: headers by pydicom, places and pixels by numpy.

A segmentation is a set of frames in any order, each a plane of one segment (BINARY, FRACTIONAL) or of all (LABELMAP); planes in
which a segment is not may be left out. A FRACTIONAL one counts from half of its maximum on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.errors import AutosegError, some
from autoseg.image import Geometry, Image
from autoseg.image_io.checks import checked_geometry, damaged, truncated
from autoseg.image_io.dicom.codes import ANATOMY, Code, Coding
from autoseg.image_io.dicom.headers import DEFLATED, MAGIC, PREAMBLE, SEGMENTS, meta_of, require_few_items
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.foreign import ask
from autoseg.image_io.inflate import INPUT_BYTES, LARGEST_RATIO, OUTPUT_BYTES
from autoseg.image_io.opening import check_announced, file_bytes, open_regular

if TYPE_CHECKING:
    import pydicom

KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
LITTLE_ENDIAN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # implicit and explicit; their pixels are not compressed
SAME = 1e-4  # up to which elements of frames are equal
SQUARE = 1e-3  # cosine between rows and columns up to which they count as perpendicular
OFF_GRID = 0.1  # of a voxel: how far a plane may lie from the grid's
BACKGROUND = 0
Group = tuple[Any, Any]  # functional groups: of a frame, and of all
Shape = tuple[int, int, int]
Grid = tuple[Geometry, Shape]


@dataclass(frozen=True)
class Segment:
    """A segment that a file describes. number: of it in the file. label: its name there. coding: None where it has no codes."""

    number: int
    label: str
    coding: Coding | None = None

    def __str__(self) -> str:
        return f'{self.number} ("{self.label}")'


@dataclass(frozen=True)
class SegmentFrame:
    """A plane of one segment, or of all (segment None). index: in the file. position_mm: world position (x, y, z) of the centre
    of its first pixel, LPS."""

    index: int
    segment: int | None
    position_mm: tuple[float, float, float]


@dataclass(frozen=True)
class SegmentFile:
    """A segmentation as its file has it. kind: one of KINDS. axes: (2, 3), unit vectors along a row and down a column, LPS.
    pixel_mm: distance of (rows, columns), mm; plane_mm: of planes, or their thickness, where the file says it. shape_yx: of a
    frame. header: the whole file."""

    path: Path
    kind: str
    segments: tuple[Segment, ...]
    frames: tuple[SegmentFrame, ...]
    axes: np.ndarray
    pixel_mm: tuple[float, float]
    plane_mm: float | None
    shape_yx: tuple[int, int]
    header: pydicom.Dataset

    def grid(self) -> Grid:
        """Return the smallest regular grid that all frames lie on. Raises AutosegError where there is none."""
        normal = np.cross(*self.axes)
        positions = np.array([frame.position_mm for frame in self.frames])
        heights = positions @ normal
        steps = np.diff(np.unique(np.round(heights, 4)))
        steps = steps[steps > OFF_GRID * min(self.pixel_mm) / 10]
        spacing = self.plane_mm if self.plane_mm and (not len(steps) or self.plane_mm <= steps.min() * (1 + OFF_GRID)) else (
            float(steps.min()) if len(steps) else max(self.pixel_mm))
        first = int(heights.argmin())
        index = (heights - heights[first]) / spacing
        origin = positions[first]
        apart = positions - origin - np.outer(heights - heights[first], normal)
        if np.abs(index - np.rint(index)).max() > OFF_GRID or np.abs(apart).max() > OFF_GRID * min(self.pixel_mm):
            raise AutosegError(f"{self.path}: its planes are not equally far apart along their normal, so they are no volume. "
                               "Give the images that it was made on, so that it can be put on their grid.")
        direction = tuple(np.stack([*self.axes, normal], 1).ravel().tolist())
        geometry = checked_geometry(self.path, (spacing, *self.pixel_mm), tuple(origin.tolist()), direction)
        return geometry, (int(np.rint(index).max()) + 1, *self.shape_yx)

    def label_array(self, grid: Grid) -> np.ndarray:
        """Return the label values (Z, Y, X), uint8 or uint16, on a grid: the numbers of the segments.

        Raises AutosegError where segments overlap, or the file lies on another grid.
        """
        dtype = np.min_scalar_type(max((segment.number for segment in self.segments), default=0))
        labels, overlapping = new_volume(self.path, grid[1], dtype), set[tuple[int, int]]()
        for frame, there, pixels in self._planes(labels, grid):
            number = frame.segment
            if number is None:
                self._require_described(pixels)
                there[...] = pixels
                continue
            mask = pixels != 0
            others = np.unique(there[mask])
            overlapping |= {(int(other), number) for other in others if other not in (BACKGROUND, number)}
            there[mask] = number
        if overlapping:
            by_number = {segment.number: segment for segment in self.segments}
            pairs = some(f"{by_number[one]} and {by_number[other]}" for one, other in sorted(overlapping))
            raise AutosegError(f"{self.path}: segments overlap, so they are no labels, of which each voxel has one: {pairs}. "
                               "`autoseg convert` makes a dataset of those segments that you name.")
        return labels

    def _require_described(self, pixels: np.ndarray) -> None:
        known = [BACKGROUND, *(segment.number for segment in self.segments)]
        if len(unknown := np.setdiff1d(pixels, known)):
            raise damaged(self.path, f"it holds the number {int(unknown[0])}, which is no segment that it describes")

    def mask(self, number: int, grid: Grid) -> np.ndarray:
        """Return where a segment is, (Z, Y, X) bool, on a grid. Raises AutosegError where the file lies on another grid."""
        mask = new_volume(self.path, grid[1], np.dtype(bool))
        for frame, there, pixels in self._planes(mask, grid, number):
            there |= pixels != 0 if frame.segment is not None else pixels == number
        return mask

    def _planes(
        self, volume: np.ndarray, grid: Grid, number: int | None = None
    ) -> Iterator[tuple[SegmentFrame, np.ndarray, np.ndarray]]:
        """Yield frames with the view of `volume` that each covers, and its pixels, both (Y, X). number: of the only segment that
        is wanted."""
        placement = Placement.of(self, grid)
        for frame in self.frames:
            if number is None or frame.segment in (number, None):
                yield frame, placement.view(volume, frame), self.pixels(frame)

    def pixels(self, frame: SegmentFrame) -> np.ndarray:
        """Return a frame's pixels (Y, X): 0 or 1 for one segment, numbers of segments for all."""
        pixels = self._stored(frame.index)
        if self.kind == "FRACTIONAL":
            return (2 * pixels.astype(np.int64) >= int(self.header.get("MaximumFractionalValue") or 255)).astype(np.uint8)
        return pixels

    def _stored(self, index: int) -> np.ndarray:
        """Return the stored pixels (Y, X) of a frame; bits are unpacked, and compressed files at the first call."""
        if self.decoded is not None:
            return np.asarray(self.decoded[index])
        (rows, columns), bits, pixels = self.shape_yx, int(self.header.BitsAllocated), self.header.PixelData
        size = rows * columns
        if bits not in (1, 8, 16):
            raise damaged(self.path, f"its pixels have {bits} bits, where 1, 8 and 16 are possible")
        if len(pixels) * 8 < len(self.frames) * size * bits:
            raise truncated(self.path, f"{len(self.frames)} frames of {rows} rows and {columns} columns do not fit into "
                                       f"{len(pixels)} bytes of pixels")
        if bits > 1:
            return np.frombuffer(pixels, f"<u{bits // 8}", size, index * size * bits // 8).reshape(rows, columns)
        first, last = index * size, (index + 1) * size
        unpacked = np.unpackbits(np.frombuffer(pixels, np.uint8, -(-last // 8) - first // 8, first // 8), bitorder="little")
        return unpacked[first % 8:first % 8 + size].reshape(rows, columns)

    @cached_property
    def decoded(self) -> np.ndarray | None:
        """Return all stored pixels (frames, Y, X) of a file whose pixels are compressed; None for others."""
        if str(self.header.file_meta.TransferSyntaxUID) in (*LITTLE_ENDIAN, DEFLATED):
            return None
        stored: np.ndarray = ask("dicom.decode", "frames", self.path)[1]
        if stored.shape != (announced := (len(self.frames), *self.shape_yx)):
            raise damaged(self.path, f"its pixels have the shape {stored.shape}, where {announced} is announced")
        return stored


@dataclass(frozen=True)
class Placement:
    """The place of a file's frames on a grid, whose axes may run otherwise. axes: those of the grid (0, 1, 2 of Z, Y, X) that
    planes, rows and columns follow. steps: +1 or -1 along the latter two."""

    file: SegmentFile
    grid: Grid
    to_voxel: np.ndarray
    axes: tuple[int, int, int]
    steps: tuple[int, int]

    @classmethod
    def of(cls, file: SegmentFile, grid: Grid) -> Placement:
        """Raise AutosegError where the pixels of a file are not those of a grid."""
        to_voxel = np.linalg.inv(grid[0].affine())
        down, along = (to_voxel[:3, :3] @ file.axes[axis] * mm for axis, mm in ((1, file.pixel_mm[0]), (0, file.pixel_mm[1])))
        axes, steps = [], []
        for direction, size in ((down, file.shape_yx[0]), (along, file.shape_yx[1])):
            axis = int(np.abs(direction).argmax())
            step = float(np.sign(direction[axis]))
            if np.abs(direction - step * np.eye(3)[axis]).max() * max(size - 1, 1) > OFF_GRID:
                raise other_grid(file.path, "its pixels have another size or direction")
            axes.append(2 - axis)
            steps.append(int(step))
        if axes[0] == axes[1]:
            raise other_grid(file.path, "its pixels have another size or direction")
        return cls(file, grid, to_voxel, (3 - sum(axes), axes[0], axes[1]), (steps[0], steps[1]))

    def plane_of(self, frame: SegmentFrame) -> int:
        """Return which plane of the grid, along `axes[0]`, a frame is."""
        return self._first(frame)[self.axes[0]]

    def view(self, volume: np.ndarray, frame: SegmentFrame) -> np.ndarray:
        """Return the view (Y, X) of a volume on the grid that a frame covers. Raises AutosegError where it is not on it."""
        first, part = self._first(frame), [slice(0)] * 3
        plane = first[self.axes[0]]
        if not 0 <= plane < volume.shape[self.axes[0]]:
            raise other_grid(self.file.path, f"frame {frame.index + 1} lies beyond the first or last plane")
        part[self.axes[0]] = slice(plane, plane + 1)
        for axis, step, size in zip(self.axes[1:], self.steps, self.file.shape_yx, strict=True):
            last = first[axis] + step * (size - 1)
            if min(first[axis], last) < 0 or max(first[axis], last) >= volume.shape[axis]:
                raise other_grid(self.file.path, f"frame {frame.index + 1} reaches beyond the rows or columns")
            part[axis] = slice(first[axis], None if last + step < 0 else last + step, step)
        view: np.ndarray = volume[tuple(part)].transpose(self.axes)[0]
        return view

    def _first(self, frame: SegmentFrame) -> tuple[int, int, int]:
        x, y, z = (self.to_voxel @ [*frame.position_mm, 1.0])[:3]
        first = np.array([z, y, x])
        if not np.isfinite(first).all() or np.abs(first - np.rint(first)).max() > OFF_GRID:
            raise other_grid(self.file.path, f"frame {frame.index + 1} lies between its voxels")
        return int(np.rint(z)), int(np.rint(y)), int(np.rint(x))


def other_grid(path: Path, why: str) -> AutosegError:
    """Return the message for a segmentation that was made on other images."""
    return AutosegError(f"{path} lies on another grid than the images it should belong to: {why}. Give the segmentation that was "
                        "made on these images.")


def new_volume(path: Path, shape: Shape, dtype: np.dtype[Any]) -> np.ndarray:
    """Return zeros (Z, Y, X). Raises AutosegError, before memory is taken, where they do not fit into what is free."""
    size = int(np.prod([int(length) for length in shape], dtype=object)) * dtype.itemsize
    check_announced(path, size, size)
    return np.zeros(shape, dtype)


def read_segments(path: Path) -> tuple[Segment, ...]:
    """Return the segments that a DICOM SEG describes, by number, background not among them. Raises as `open_segments`."""
    return open_segments(path).segments


def read_label(path: Path, grid: Grid | None = None) -> Image:
    """Read a DICOM SEG as labels (1, Z, Y, X), uint8 or uint16: the numbers of its segments.

    grid: geometry and shape (Z, Y, X) of the images that it was made on, whose axes may be in another order; None for the
    smallest grid that holds its planes. Raises AutosegError where it cannot be read, lies on another grid, or segments overlap.
    """
    file = open_segments(path)
    with dicom_library(path):
        geometry, shape = file.grid() if grid is None else grid
        return Image(file.label_array((geometry, shape))[None], geometry)


def joint_grid(path: Path, other: Path) -> Grid:
    """Return the smallest grid that holds the planes of two DICOM SEGs, along the axes of the first.

    Raises AutosegError where they were made on different grids.
    """
    geometry, shape = open_segments(path).grid()
    of_other, shape_of_other = open_segments(other).grid()
    corners = [[x, y, z, 1] for x in (0, shape_of_other[2] - 1) for y in (0, shape_of_other[1] - 1)
               for z in (0, shape_of_other[0] - 1)]
    xyz = (np.linalg.inv(geometry.affine()) @ of_other.affine() @ np.transpose(corners))[:3]
    if np.abs(xyz - np.rint(xyz)).max() > OFF_GRID or not np.allclose(sorted(geometry.spacing_mm), sorted(of_other.spacing_mm)):
        raise other_grid(path, f"its voxels are not those of {other}")
    low = np.minimum(np.rint(xyz).min(1), 0).astype(int)[::-1]
    high = np.maximum(np.rint(xyz).max(1).astype(int)[::-1], np.array(shape) - 1)
    z, y, x = (high - low + 1).tolist()
    return geometry.from_voxel((int(low[0]), int(low[1]), int(low[2]))), (z, y, x)


def open_segments(path: Path) -> SegmentFile:
    """Read what a DICOM SEG says; pixels are unpacked when they are asked for.

    Raises AutosegError where the file is none, is damaged, or segments the image of a slide.
    """
    with dicom_library(path):
        require_few_items(path)
        header = _read(path)
        kind = str(header.get("SegmentationType", ""))
        if header.get("SOPClassUID") not in SEGMENTS or kind not in KINDS:
            found = header.get("SOPClassUID", "")
            raise AutosegError(f"{path} is no DICOM SEG, but of the kind {getattr(found, 'name', found) or 'unknown'}. Give a "
                               "segmentation object.")
        if not header.get("PerFrameFunctionalGroupsSequence"):
            raise AutosegError(f"{path}: its frames do not say where they lie in a patient (as in the segmentation of a slide). "
                               "Only segmentations of volumes are read.")
        return _parsed(path, header, kind)


def _read(path: Path) -> pydicom.Dataset:
    """Read the whole file, its pixels as they are stored; one that unpacks to more than memory holds is refused before."""
    import pydicom

    if not (meta := meta_of(path)):
        raise AutosegError(f"{path} is no DICOM file. Give a segmentation object.")
    with open_regular(path) as file:
        if meta.get("TransferSyntaxUID") == DEFLATED:
            file.seek(PREAMBLE + len(MAGIC))
            pydicom.filereader.read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
            inflated, unpacked = 0, zlib.decompressobj(-zlib.MAX_WBITS)
            while not unpacked.eof and (piece := unpacked.unconsumed_tail or file.read(INPUT_BYTES)):
                inflated += len(unpacked.decompress(piece, OUTPUT_BYTES))
                check_announced(path, inflated, file_bytes(file), LARGEST_RATIO)
        file.seek(0)
        return pydicom.dcmread(file)


def _parsed(path: Path, header: pydicom.Dataset, kind: str) -> SegmentFile:
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    groups = [(frame, shared) for frame in header.PerFrameFunctionalGroupsSequence]
    rows, columns = int(header.Rows), int(header.Columns)
    if rows < 1 or columns < 1 or int(header.get("NumberOfFrames") or 1) != len(groups):
        raise damaged(path, f"it announces {header.get('NumberOfFrames')} frames of {rows} rows and {columns} columns, and "
                            f"describes {len(groups)}")
    segments = sorted((_segment(item) for item in header.SegmentSequence), key=lambda segment: segment.number)
    numbers = frozenset(segment.number for segment in segments)
    frames = tuple(_frame(path, kind, index, group, numbers) for index, group in enumerate(groups))
    axes = _numbers(path, groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    pixel_mm = _numbers(path, groups, "PixelMeasuresSequence", "PixelSpacing", 2)
    along, down = axes[:3] / np.linalg.norm(axes[:3]), axes[3:] / np.linalg.norm(axes[3:])
    if not (abs(float(along @ down)) < SQUARE and pixel_mm.min() > 0):
        raise damaged(path, f"its pixels lie nowhere: orientation {axes.tolist()}, spacing {pixel_mm.tolist()} mm")
    measures = [_value(groups[0], "PixelMeasuresSequence", name) for name in ("SpacingBetweenSlices", "SliceThickness")]
    plane_mm = next((float(value) for value in measures if value and np.isfinite(value) and value > 0), None)
    return SegmentFile(path, kind, tuple(segment for segment in segments if segment.number != BACKGROUND), frames,
                       np.stack([along, down]), (float(pixel_mm[0]), float(pixel_mm[1])), plane_mm, (rows, columns), header)


def _frame(path: Path, kind: str, index: int, group: Group, numbers: frozenset[int]) -> SegmentFrame:
    number = None if kind == "LABELMAP" else _value(group, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    if kind != "LABELMAP" and number not in numbers:
        raise damaged(path, f"frame {index + 1} is of segment {number}, which is not described")
    x, y, z = _numbers(path, [group], "PlanePositionSequence", "ImagePositionPatient", 3).tolist()
    return SegmentFrame(index, None if number is None else int(number), (x, y, z))


def _value(group: Group, sequence: str, keyword: str) -> Any:
    """Return an element of a frame, from its functional groups or those that all share; None where it is not there."""
    return next((items[0].get(keyword) for place in group if (items := place.get(sequence))), None)


def _numbers(path: Path, groups: Sequence[Group], sequence: str, keyword: str, count: int) -> np.ndarray:
    """Return numbers that frames share. Raises AutosegError where they do not."""
    found = [_value(group, sequence, keyword) for group in groups]
    if any(value is None or len(value) != count for value in found):
        raise damaged(path, f"{keyword} is not there for each frame")
    numbers = np.array([[float(number) for number in value] for value in found])
    if not np.abs(numbers - numbers[0]).max() < SAME:  # NaN is not
        raise damaged(path, f"{keyword} is no place, or not the same for all frames")
    return np.asarray(numbers[0])


def _segment(item: pydicom.Dataset) -> Segment:
    types = item.get("SegmentedPropertyTypeCodeSequence")
    kind, category = _code(types), _code(item.get("SegmentedPropertyCategoryCodeSequence"))
    modifier = None if kind is None else _code(types[0].get("SegmentedPropertyTypeModifierCodeSequence"))
    label = str(item.get("SegmentLabel") or item.get("SegmentDescription") or "")
    return Segment(int(item.SegmentNumber), label, None if kind is None else Coding(kind, category or ANATOMY, modifier))


def _code(sequence: Any) -> Code | None:
    item = sequence[0] if sequence else {}
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", ""))) if value else None
