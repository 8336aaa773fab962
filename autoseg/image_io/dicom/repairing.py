"""Volumes whose slices are not stacked straight or not complete, resampled to a grid without gaps."""

from __future__ import annotations

import numpy as np

from autoseg.image_io.dicom.volume import DicomVolume


def on_grid(volume: DicomVolume, frames: np.ndarray) -> np.ndarray:
    """Return the frames (C, frames, Y, X) of a volume on its grid (C, Z, Y, X), the same dtype.

    Each frame is shifted in its plane to its place, and planes between frames are interpolated, both linearly. Where a slice does
    not reach, the volume has its lowest value.
    """
    from scipy import ndimage

    spacing, axes = volume.geometry.spacing_mm, np.reshape(volume.geometry.direction, (3, 3))
    places = (np.array([frame.position_mm for frame in volume.frames]) - volume.geometry.origin_mm) @ axes / spacing[::-1]
    array = np.full((frames.shape[0], *volume.shape), frames.min(), frames.dtype)
    rows, columns = volume.shape[1:]

    def placed(index: int) -> np.ndarray:
        """Return a frame (C, Y, X), float32, on the grid's plane."""
        x, y = places[index, :2].round(4)
        padded = np.full((frames.shape[0], rows, columns), float(frames.min()), np.float32)
        padded[:, :frames.shape[2], :frames.shape[3]] = frames[:, index]
        return np.stack([ndimage.shift(plane, (y, x), order=1, cval=float(frames.min())) for plane in padded])

    along, lower, planes = places[:, 2], 0, {0: placed(0)}
    for z in range(volume.shape[0]):
        while lower + 2 < len(along) and along[lower + 1] <= z:
            lower += 1
        planes = {index: planes[index] if index in planes else placed(index) for index in (lower, lower + 1)}
        share = float(np.clip((z - along[lower]) / (along[lower + 1] - along[lower]), 0, 1))
        values = planes[lower] * np.float32(1 - share) + planes[lower + 1] * np.float32(share)
        array[:, z] = values if frames.dtype.kind == "f" else np.rint(values)
    return array
