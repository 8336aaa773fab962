"""Volumes of DICOM series as images."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.image import Geometry, Image
from autoseg.image_io.dicom import segments
from autoseg.image_io.dicom.pixels import read_frames
from autoseg.image_io.dicom.repairing import on_grid
from autoseg.image_io.dicom.study import is_segments, volume_at
from autoseg.image_io.dicom.volume import DicomVolume


def read(path: Path, file: BinaryIO | None) -> Image:
    """Read the volume (C, Z, Y, X) that a path stands for; its header is the `DicomVolume`."""
    return read_volume(volume_at(path))


def read_volume(volume: DicomVolume) -> Image:
    """Read the voxels (C, Z, Y, X) of a volume that was found; its header is the `DicomVolume`."""
    frames = read_frames(volume)
    return Image(on_grid(volume, frames) if volume.repairs else frames, volume.geometry, volume)


def read_geometry(path: Path, file: BinaryIO | None) -> tuple[tuple[int, int, int, int], Geometry, int]:
    """Return (C, Z, Y, X), geometry and bytes per voxel and channel of what `read` gives; only headers are read. Also of
    a file with segments: those of its own grid."""
    if is_segments(path):
        geometry, (z, y, x) = segments.open_segments(path).grid()
        return (1, z, y, x), geometry, 1
    volume = volume_at(path)
    return (volume.components, *volume.shape), volume.geometry, np.dtype(volume.dtype).itemsize


def read_label(path: Path, like: Path | None) -> Image:
    """Read a DICOM SEG as labels (1, Z, Y, X) on the grid of an image or another SEG, or on its own."""
    from autoseg.image_io import read_geometry as geometry_of

    if like is None:
        return segments.read_label(path)
    if is_segments(like):
        return segments.read_label(path, segments.joint_grid(path, like))
    shape, geometry, _ = geometry_of(like)
    return segments.read_label(path, (geometry, (shape[1], shape[2], shape[3])))


def label_names(path: Path) -> dict[int, str]:
    """Return the labels of segments by their numbers."""
    return {segment.number: segment.label for segment in segments.read_segments(path)}
