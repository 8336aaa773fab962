"""Errors that every reader raises for a file that it cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Geometry

SMALLEST_MM, LARGEST_MM = 1e-9, 1e9  # of a voxel: beyond any microscope's and any telescope's
GET_IT_AGAIN = "Copy or download it again, or leave the case out."


def truncated(path: Path, found: str) -> AutosegError:
    """Return the message for a file that ends too early; `found` is a clause on what was expected and what is there."""
    return AutosegError(f"{path} is truncated: {found}. {GET_IT_AGAIN}")


def damaged(path: Path, reason: object) -> AutosegError:
    """Return the message for a file whose content contradicts itself."""
    return AutosegError(f"{path} is damaged: {reason}. {GET_IT_AGAIN}")


def not_an_image(path: Path, expected: str, start: bytes) -> AutosegError:
    """Return the message for a file that is something else than its name says."""
    return AutosegError(
        f"{path} is not {expected}: it starts with {start[:12]!r}. Check how the file was made, rename it if its "
        "ending is wrong, or leave the case out."
    )


def complex_values(path: Path) -> AutosegError:
    """Return the message for complex voxels, which no network here takes."""
    return AutosegError(
        f"{path} holds complex numbers, but images must be real. Save the magnitude (or magnitude and phase as two "
        "channels) and use that."
    )


def checked_geometry(
    path: Path, spacing_mm: tuple[float, ...], origin_mm: tuple[float, ...], direction: tuple[float, ...],
    has_direction: bool = True,
) -> Geometry:
    """Return a Geometry (spacing (z, y, x); origin and direction x first, LPS) of finite numbers and independent axes."""
    if not all(SMALLEST_MM <= v <= LARGEST_MM for v in spacing_mm):  # NaN is neither
        raise AutosegError(
            f"{path}: its header gives voxels of {_numbers(spacing_mm)} mm (z, y, x), but sizes must be positive "
            "numbers (from 1e-9 to 1e9). Correct the header (or convert the image again from its source), or leave the case out."
        )
    finite = bool(np.isfinite(origin_mm).all() and np.isfinite(direction).all())
    if not finite or abs(np.linalg.det(np.reshape(direction, (3, 3)))) < 1e-6:
        raise AutosegError(
            f"{path}: its header places the voxels at origin {_numbers(origin_mm)} along axes {_numbers(direction)}, "
            "which is no position in space: numbers must be finite and the three axes must differ. Correct the header "
            "(or convert the image again from its source), or leave the case out."
        )
    z, y, x = (float(v) for v in spacing_mm)
    a, b, c = (float(v) for v in origin_mm)
    return Geometry((z, y, x), (a, b, c), tuple(float(v) for v in direction), has_direction)


def flat_spacing_mm(spacing_yx_mm: tuple[float, float]) -> tuple[float, float, float]:
    """Return the spacing (z, y, x) of a 2D image: its slice is as thick as its pixels are long, so that z is never finest."""
    return (max(spacing_yx_mm), *spacing_yx_mm)


def channels_and_grid(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return (C, Z, Y, X) of an array with axes (x, y[, z[, further axes]]), at most one further axis longer than 1."""
    if len(shape) < 2 or min(shape) < 1:
        raise AutosegError(
            f"{path} has shape {shape} (x, y, ...), but an image needs two axes or more, none of them empty. "
            "Convert it again from its source, or leave the case out."
        )
    x, y, z = (*shape, 1)[:3]
    further = [size for size in shape[3:] if size > 1]
    if len(further) > 1:
        raise AutosegError(
            f"{path} has shape {shape} (x, y, z, ...), but only one axis beyond z may be longer than 1: it holds the "
            "channels. Save one file per time point or channel."
        )
    return (further[0] if further else 1), z, y, x


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in values) + ")"
