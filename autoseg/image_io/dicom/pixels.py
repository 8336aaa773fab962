"""Voxels of a volume, read from its files: unpacked, scaled slice by slice, bright where the file means bright."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.checks import damaged
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.volume import DicomVolume, Frame
from autoseg.image_io.foreign import ask
from autoseg.image_io.opening import check_announced

RAW = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")  # little endian, implicit and explicit; big endian


def read_frames(volume: DicomVolume) -> np.ndarray:
    """Return the voxels (C, frames, Y, X) of a volume's frames, in their order, `volume.dtype`, the slope of each applied.

    Raises AutosegError, naming the file, for files that are damaged or changed since their headers were read.
    """
    array: np.ndarray | None = None
    kept: dict[Path, tuple[Any, np.ndarray]] = {}
    for path, its in groupby(enumerate(volume.frames), key=lambda entry: entry[1].path):
        if path not in kept:
            kept = {path: read_file(path)}  # one file at a time: all frames of a file that holds several
        with dicom_library(path):  # elements of a header are understood when they are asked for
            for z, frame in its:
                values = _values(frame, *kept[path], np.dtype(volume.dtype))
                if array is None:
                    array = _empty(volume, values)
                if values.shape[:2] != array.shape[2:]:
                    raise damaged(path, f"its slices have the shape {values.shape[:2]}, those of other files {array.shape[2:]}")
                array[:, z] = values if volume.components == 1 else np.moveaxis(values, -1, 0)
    if array is None:
        raise ValueError("a volume without frames")
    return array


def _values(frame: Frame, dataset: Any, stored: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if frame.instance != str(dataset.get("SOPInstanceUID", "")).strip() or frame.number >= len(stored):
        raise AutosegError(f"{frame.path} was changed while it was read. Try again.")
    return _meant(frame.path, stored[frame.number], dataset, frame.number, dtype)


def _empty(volume: DicomVolume, values: np.ndarray) -> np.ndarray:
    """Return an empty array (C, frames, Y, X), once it is clear that memory can hold it. values: of a frame."""
    shape = (volume.components, len(volume.frames), *values.shape[:2])
    needed = math.prod(shape) * np.dtype(volume.dtype).itemsize
    check_announced(volume.frames[0].path, needed, needed)
    return np.empty(shape, volume.dtype)


def read_file(path: Path) -> tuple[Any, np.ndarray]:
    """Return the header of a file (pydicom's Dataset) and its stored voxels (frames, Y, X), or (frames, Y, X, 3)."""
    import pydicom
    from pydicom.uid import UID

    with dicom_library(path):
        dataset = pydicom.dcmread(path, force=True)
        meta = getattr(dataset, "file_meta", None)
        if meta is None or "TransferSyntaxUID" not in meta:  # a file of the time before preambles
            dataset.ensure_file_meta()
            dataset.file_meta.TransferSyntaxUID = UID(RAW[0] if dataset.original_encoding[0] else RAW[1])
        if str(dataset.file_meta.TransferSyntaxUID) in RAW:
            stored = frames_of(dataset)
        else:
            _, stored = ask("dicom.decode", "frames", path)
            del dataset.PixelData
        return dataset, stored


def announced_bytes(dataset: Any) -> int:
    """Return the bytes of voxels that a header announces."""
    names = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
    return math.prod(int(dataset.get(name) or 1) for name in names) // 8


def frames_of(dataset: Any) -> np.ndarray:
    """Return the stored voxels (frames, Y, X), or (frames, Y, X, 3), RGB, of a header that was read with its voxels."""
    from pydicom.pixels import pixel_array

    stored = pixel_array(dataset)
    count = int(dataset.get("NumberOfFrames") or 1)
    return stored.reshape(count, *stored.shape[-3:] if int(dataset.get("SamplesPerPixel") or 1) > 1 else stored.shape[-2:])


def _meant(path: Path, stored: np.ndarray, dataset: Any, number: int, dtype: np.dtype) -> np.ndarray:
    """Return the values of one frame: light where the file means light, slope and intercept applied."""
    if stored.ndim == 3:
        if dtype != stored.dtype:
            raise AutosegError(f"{path} holds colours of {8 * stored.dtype.itemsize} bits, where 8 are read. Convert it.")
        return stored
    slope, intercept = _scaling(dataset, number)
    if str(dataset.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        bits = int(dataset.get("BitsStored") or 8 * stored.dtype.itemsize)
        whole = -1 if stored.dtype.kind == "i" else 2**bits - 1
        stored = (whole - stored.astype(np.int64)).astype(np.int64)
    if dtype.kind == "f":
        return np.asarray(stored * slope + intercept, dtype)
    if intercept == 0 and stored.dtype == dtype:
        return stored
    values = stored.astype(np.int64) + round(intercept)
    if values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max:
        raise damaged(path, f"it holds values from {values.min()} to {values.max()}, beyond the bits that its header announces")
    return values.astype(dtype)


def _scaling(dataset: Any, number: int) -> tuple[float, float]:
    """Return the slope and intercept of a frame."""
    places = [dataset]
    for name, index in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", number)):
        if groups := dataset.get(name):
            places += groups[index].get("PixelValueTransformationSequence") or ()
    slopes = [place.get("RescaleSlope") for place in places if place.get("RescaleSlope") is not None]
    intercepts = [place.get("RescaleIntercept") for place in places if place.get("RescaleIntercept") is not None]
    return float(slopes[-1]) if slopes else 1.0, float(intercepts[-1]) if intercepts else 0.0
