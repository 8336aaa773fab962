"""Reading and writing images: the only place that knows SimpleITK, nibabel, pydicom, PNG and TIFF.

A path stands for one file, but for two that stand for a volume of many DICOM files: a folder that holds one series, and a name
with a star in it (`dicom.study.series_path`).


What each format gives is said in docs/formats.md. Every function raises AutosegError, naming the file, for a file that
is missing, empty, truncated, damaged, something else than its name says, or of a kind that is not read.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io.label_values import whole_numbers
from autoseg.image_io.opening import open_regular

# The libraries behind the formats take up to 0.3 s and 50 MB to import: each is, when the first such file is.
MODULES = {
    ".nii.gz": "nifti", ".nii": "nifti", ".hdr": "nifti", ".mgz": "mgh", ".mgh": "mgh",
    ".nrrd": "itk", ".nhdr": "itk", ".mha": "itk", ".mhd": "itk",
    ".tif": "tiff", ".tiff": "tiff", ".png": "flat", ".bmp": "flat", ".jpg": "flat", ".jpeg": "flat",
    ".dcm": "dicom.reading",
}
ENDINGS = tuple(MODULES)
WRITTEN_INSTEAD = {
    ".hdr": ".nii.gz", ".mgz": ".nii.gz", ".mgh": ".nii.gz", ".nhdr": ".nrrd", ".mhd": ".mha",
    ".jpg": ".png", ".jpeg": ".png", ".dcm": ".nii.gz",
}
WITHOUT_FLOATS = (".png", ".bmp")
REMEDIES = {
    ".ima": "Give the folder of the DICOM series.",
    ".img": "Give the .hdr file beside it, which says what its voxels mean.",
    ".gz": "Only .nii.gz is read packed: unpack it.",
    ".mnc": "Convert it to NIfTI, for example with mnc2nii.",
}
GIT_LFS_POINTER = b"version https://git-lfs"


def read_image(path: Path) -> Image:
    """Read an image file as an array (C, Z, Y, X) in the file's own dtype, float32 where the file has a slope.

    C is 1 except for files of several channels: a fourth axis, a colour (transparency is left out), a voxel's components. 2D
    images have Z = 1, and there the spacing along z is that of the longer side of a pixel.
    """
    with _opened(path) as (module, file):
        return module.read(path, file)  # type: ignore[no-any-return]


def read_label(path: Path, like: Path | None = None) -> Image:
    """Read a label file as an array (1, Z, Y, X) of integers: the file's own dtype, or the smallest that holds its whole values.

    Values stored as floating point, or with a slope, must be whole within 0.001. A colour picture must be gray (its channels
    equal). Raises AutosegError where they are not.

    like: the image that it is the label of, or another label of that. DICOM segments leave out planes that hold none of them, and
    are put onto its grid; without it, the label ends where they do. Other files lie on their own grid, whatever this is.
    """
    with _opened(path) as (module, file):
        if file_ending(path) == ".dcm":
            return module.read_label(path, like)  # type: ignore[no-any-return]
        return whole_numbers(path, getattr(module, "read_label", module.read)(path, file))


def label_names(path: Path) -> dict[int, str]:
    """Return the names that a label file itself gives its values; none where its format has no names."""
    return getattr(_module(file_ending(path)), "label_names", lambda path: {})(path)  # type: ignore[no-any-return]


def read_geometry(path: Path) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return shape (C, Z, Y, X), geometry and bytes per voxel and channel that `read_image` would give; only headers are read."""
    with _opened(path) as (module, file):
        return module.read_geometry(path, file)  # type: ignore[no-any-return]


def is_series(path: Path) -> bool:
    """Tell whether a path stands for a series of files, by the star in its name."""
    return "*" in path.name and import_module(f"{__name__}.dicom.study").is_series(path)  # type: ignore[no-any-return]


def holds_dicom(folder: Path) -> bool:
    """Tell whether a DICOM file lies in a folder or below it."""
    return import_module(f"{__name__}.dicom.study").holds_dicom(folder)  # type: ignore[no-any-return]


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a path stands for, sorted: itself, or those of a series; none where it does not exist."""
    if is_series(path):
        return import_module(f"{__name__}.dicom.study").files_of(path)  # type: ignore[no-any-return]
    return (path,) if path.exists() else ()


def exists(path: Path) -> bool:
    """Tell whether the file, or the series, that a path stands for is there."""
    return bool(files_of(path))


def series_of(folder: Path) -> Path:
    """Return the path that stands for the only series in a folder."""
    return import_module(f"{__name__}.dicom.study").series_path(folder)  # type: ignore[no-any-return]


class Scan(NamedTuple):
    """The facts that the header of a DICOM series gives of a scan; empty for other images. repairs: what was resampled in it."""

    modality: str = ""
    body_part: str = ""
    repairs: tuple[str, ...] = ()


def scan_of(image: Image) -> Scan:
    """Return what the image's header says of the scan that it comes from."""
    if f"{__name__}.dicom.volume" not in sys.modules:  # then nothing was read from DICOM
        return Scan()
    from autoseg.image_io.dicom.volume import DicomVolume

    volume = image.header
    if not isinstance(volume, DicomVolume):
        return Scan()
    return Scan(volume.series.modality.upper(), volume.series.body_part.upper(), volume.repairs)


def number_of_voxels(path: Path) -> int:
    """Return the voxels of all channels, by the header; 0 where it cannot be read: whoever reads the file will say so."""
    try:
        return math.prod(map(int, read_geometry(path)[0]))
    except AutosegError:
        return 0


def write_label(path: Path, labels: np.ndarray, like: Image) -> None:
    """Write `labels` (Z, Y, X), uint8 or uint16, on exactly the grid of `like`, in the format of the path's ending.

    Whole or not at all. Between NIfTI files the header is taken over (qform, sform, codes, units, 2D or 3D).
    """
    if labels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"labels must be uint8 or uint16, not {labels.dtype}")
    write_image(path, labels[None], like)


def write_image(path: Path, array: np.ndarray, like: Image) -> None:
    """Write `array` (C, Z, Y, X) on exactly the grid of `like`, in the format of the path's ending.

    Float16 is written as float32. PNG and BMP hold no floating point: AutosegError names what to write instead.
    """
    if array.ndim != 4 or array.shape[1:] != like.array.shape[1:]:
        raise ValueError(f"an array of shape {array.shape} does not fit onto the grid {like.array.shape[1:]}")
    ending = file_ending(path)
    if label_ending(ending) != ending or ending not in ENDINGS:
        raise AutosegError(f"{path}: {ending or 'no ending'} cannot be written. Choose one of {', '.join(_written())}.")
    array = array.astype(np.float32) if array.dtype == np.float16 else array
    _module(ending).write(path, array, like)


@runtime_checkable
class PlacedHeader(Protocol):
    """A file's header that itself says where the grid lies."""

    def from_voxel(self, xyz: tuple[int, int, int]) -> Any:
        """Return the same header for the part of the grid that begins at this voxel."""


def part_of(image: Image, axis: int, start: int, stop: int) -> Image:
    """Return the slices from `start` to `stop` (half open) along an axis of the grid (0, 1, 2 of Z, Y, X); a view.

    Every voxel keeps its place in the world, also in the files that are written from it or on its grid.
    """
    begin = [0, 0, 0]
    begin[axis] = start
    z, y, x = begin
    header = image.header.from_voxel((x, y, z)) if isinstance(image.header, PlacedHeader) else image.header
    part = [slice(None)] * 4
    part[axis + 1] = slice(start, stop)
    return Image(image.array[tuple(part)], image.geometry.from_voxel((z, y, x)), header)


def file_ending(path: str | Path) -> str:
    """Return the ending with its dot, lower case, .nii.gz as a whole; to get the stem, cut as many characters off the name."""
    path = Path(path)
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def label_ending(ending: str) -> str:
    """Return the ending of a prediction for an image with `ending`: the same, unless that is only read (JPEG, MGZ, pairs)."""
    return WRITTEN_INSTEAD.get(ending.lower(), ending.lower())


def float_ending(ending: str) -> str:
    """Return the ending of a floating-point map for an image with `ending`: TIFF where pictures hold whole numbers only."""
    written = label_ending(ending)
    return ".tif" if written in WITHOUT_FLOATS else written


def _written() -> list[str]:
    return [ending for ending in ENDINGS if ending not in WRITTEN_INSTEAD]


def _module(ending: str) -> Any:
    return import_module(f"{__name__}.{MODULES[ending]}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, BinaryIO | None]]:
    """Give the module that reads this file, and the open file (None for a series), after the checks that apply to any file."""
    path, ending = Path(path), file_ending(path)
    if is_series(path) or path.is_dir():
        yield _module(".dcm"), None
        return
    if ending not in MODULES:
        remedy = REMEDIES.get(ending, "Convert the image to one of these, or correct the file's name.")
        raise AutosegError(
            f"{path}: {ending or 'a file without ending'} is not read; these are: {', '.join(ENDINGS)}. {remedy}"
        )
    with open_regular(path) as file:
        start = file.read(len(GIT_LFS_POINTER))
        if not start:
            raise AutosegError(f"{path} is empty (0 bytes). Copy or download it again, or leave the case out.")
        if start == GIT_LFS_POINTER:
            raise AutosegError(f"{path} only points to an image in Git LFS. Run `git lfs pull` where it came from.")
        file.seek(0)
        yield _module(ending), file
