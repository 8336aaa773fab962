"""Compressed voxels of DICOM files, in the process that reads files with other people's C code."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pydicom
import pydicom.pixels

from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.pixels import announced_bytes, frames_of
from autoseg.image_io.foreign_process import Shared, allow, shared
from autoseg.image_io.opening import check_announced

with contextlib.suppress(ImportError):  # here, outside of the bounds for a file: it is large
    import gdcm  # noqa: F401

LARGEST_RATIO = 2**14  # bytes of voxels for one byte of a file: more than any of the codecs reaches for constant slices


def frames(path: Path) -> tuple[dict[str, Any], Shared]:
    """Return the stored voxels (frames, Y, X) of a file, or (frames, Y, X, 3)."""
    with dicom_library(path):
        dataset = pydicom.dcmread(path, force=True)
        check_announced(path, announced_bytes(dataset), path.stat().st_size, LARGEST_RATIO)
        allow(announced_bytes(dataset))
        return {}, shared(frames_of(dataset))
