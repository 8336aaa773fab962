"""DICOM as targets: series, files of several frames, segments and contours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import JPEGLSLossless, RLELossless

from autoseg.image import Image
from autoseg.image_io import read_image, read_label, series_of
from autoseg.image_io.dicom.rtstruct import write_rtstruct
from autoseg.image_io.dicom.segmentation import write_segmentation
from autoseg.image_io.dicom.structure_sets import mask_of, read_structure_set
from autoseg.image_io.dicom.structures import Maker, structures_of
from autoseg.image_io.dicom.study import volume_at
from tests.dicom.multiframe import write_multiframe
from tests.dicom.series import oblique, write_series
from tests.fuzz.attempt import Change, Target
from tests.fuzz.mutators import changed_bytes

SHAPE = (4, 16, 18)
ARRAY = (np.arange(4 * 16 * 18) % 601).astype(np.int16).reshape(SHAPE)
LABELS = np.where(np.indices(SHAPE).sum(0) % 7 < 3, np.indices(SHAPE)[0] % 2 + 1, 0).astype(np.uint8)


def dicom_targets() -> dict[str, Target]:
    """Return the targets of this file, by name."""
    found = (
        Target("dicom_series", _series, read_image, _changing("*.dcm"), _is_a_volume),
        Target("dicom_jpegls", lambda folder: _compressed(folder, JPEGLSLossless), read_image, _changing("*.dcm"), _is_a_volume),
        Target("dicom_rle", lambda folder: _compressed(folder, RLELossless), read_image, _changing("*.dcm"), _is_a_volume),
        Target("dicom_frames", _frames, read_image, _changing("*.dcm"), _is_a_volume),
        Target("dicom_seg", _segments, lambda folder: read_label(folder / "seg.dcm", series_of(folder / "series")),
               _changing("seg.dcm"), _is_a_label),
        Target("dicom_rtstruct", _contours, _read_contours, _changing("rtstruct.dcm"), lambda good, path, found, done: ""),
    )
    return {target.name: target for target in found}


def _series(folder: Path) -> Path:
    write_series(folder / "series", ARRAY, oblique())
    return folder / "series"


def _compressed(folder: Path, syntax: str) -> Path:
    for path in write_series(folder / "series", ARRAY, oblique(), PixelRepresentation=0):
        image = pydicom.dcmread(path)
        image.compress(syntax)
        image.save_as(path)
    return folder / "series"


def _frames(folder: Path) -> Path:
    return write_multiframe(folder / "series/frames.dcm", ARRAY, oblique()).parent


def _segments(folder: Path) -> Path:
    like = read_image(_series(folder))
    write_segmentation(folder / "seg.dcm", LABELS, like, structures_of({"a": 1, "b": 2}), Maker())
    return folder


def _contours(folder: Path) -> Path:
    like = read_image(_series(folder))
    write_rtstruct(folder / "rtstruct.dcm", LABELS, like, structures_of({"a": 1, "b": 2}), Maker())
    return folder


def _read_contours(folder: Path) -> list[np.ndarray]:
    path, volume = folder / "rtstruct.dcm", volume_at(series_of(folder / "series"))
    return [mask_of(region, path, volume)[0] for region in read_structure_set(path).regions]


def _changing(pattern: str) -> Callable[[Random, Path], Change]:
    """Return a mutator of one of the files that match."""

    def mutate(random: Random, path: Path) -> Change:
        file = random.choice(sorted(path.rglob(pattern)))
        data, words = changed_bytes(random, file.read_bytes(), 2000)
        file.write_bytes(data)
        return Change(f"{file.name}: {words}")

    return mutate


def _is_a_volume(good: Image, path: Path, found: Image, done: Change) -> str:
    """Say why what was read contradicts itself: nothing protects a header, so that it may be another volume than was written."""
    header = found.header
    if found.array.shape[1:] != header.shape or str(found.array.dtype) != header.dtype:
        return f"an array of {found.array.shape}, {found.array.dtype}, for a volume of {header.shape}, {header.dtype}"
    return "" if len(header.frames) >= 3 and np.isfinite(found.geometry.affine()).all() else "a volume that is none"


def _is_a_label(good: Image, path: Path, found: Any, done: Change) -> str:
    return "" if found.array.shape == good.array.shape else f"a label of {found.array.shape}, not {good.array.shape}"
