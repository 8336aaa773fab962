"""Volumes of DICOM series as images."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.image import Geometry, Image
from autoseg.image_io.dicom.pixels import read_frames
from autoseg.image_io.dicom.repairing import on_grid
from autoseg.image_io.dicom.study import volume_at


def read(path: Path, file: BinaryIO | None) -> Image:
    """Read the volume (C, Z, Y, X) that a path stands for; its header is the `DicomVolume`."""
    volume = volume_at(path)
    frames = read_frames(volume)
    return Image(on_grid(volume, frames) if volume.repairs else frames, volume.geometry, volume)


def read_geometry(path: Path, file: BinaryIO | None) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only headers are read."""
    volume = volume_at(path)
    return (volume.components, *volume.shape), volume.geometry, np.dtype(volume.dtype).itemsize
