"""Images of other libraries, and arrays, in memory: into an `Image`, and what is computed of them back into the same kind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import IDENTITY_DIRECTION, Geometry, Image

ORDER = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 1, 0)}  # nibabel's axes x, y, z, channel reversed


@dataclass(frozen=True)
class Placement:
    """The place of an array's voxels: spacing_mm (z, y, x), mm; direction, 9 numbers as SimpleITK gives them, or None where it
    is not known; origin_mm (x, y, z), mm."""

    spacing_mm: Sequence[float] | None = None
    direction: Sequence[float] | None = None
    origin_mm: Sequence[float] | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was said."""
        return self.spacing_mm is None and self.direction is None and self.origin_mm is None


def is_image(value: object) -> bool:
    """Tell whether a value is a nibabel or SimpleITK image, without importing either."""
    return _is_nibabel(value) or _is_itk(value)


def image_of(value: Any, placement: Placement) -> Image:
    """Return an `Image` (C, Z, Y, X) of an array (Z, Y, X) or (C, Z, Y, X), or of a nibabel or SimpleITK image.

    placement: of an array; of an image it must be empty. Raises AutosegError where shape, spacing or direction do not fit.
    """
    if not is_image(value):
        return _of_array(value, placement)
    if not placement.is_empty:
        raise AutosegError("The image says its spacing and direction itself. Leave out spacing_mm=, direction= and origin_mm=.")
    array, geometry = _of_nibabel(value) if _is_nibabel(value) else _of_itk(value)
    if array.dtype.kind not in "iufb":
        raise AutosegError(f"The image holds voxels of type {array.dtype}, but numbers were expected.")
    return Image(array, geometry)


def like(value: Any, array: np.ndarray) -> Any:
    """Return an array (Z, Y, X) as a nibabel or SimpleITK image on the grid of `value` where that is one, else as it is."""
    if _is_nibabel(value):
        turned = array.T if len(value.shape) > 2 else array[0].T
        nibabel = sys.modules["nibabel"]
        if not isinstance(value, nibabel.Nifti1Image):
            return nibabel.Nifti1Image(turned, value.affine)
        header = value.header.copy()
        header.set_data_dtype(array.dtype)
        return type(value)(turned, value.affine, header)
    if not _is_itk(value):
        return array
    dimensions, itk = value.GetDimension(), sys.modules["SimpleITK"]
    image = itk.GetImageFromArray(array[0] if dimensions == 2 else array)
    count = min(dimensions, 3)
    image.SetSpacing(value.GetSpacing()[:count])
    image.SetOrigin(value.GetOrigin()[:count])
    image.SetDirection(np.reshape(value.GetDirection(), (dimensions, dimensions))[:count, :count].ravel().tolist())
    return image


def _is_nibabel(value: object) -> bool:
    return "nibabel" in sys.modules and isinstance(value, sys.modules["nibabel"].spatialimages.SpatialImage)


def _is_itk(value: object) -> bool:
    return "SimpleITK" in sys.modules and isinstance(value, sys.modules["SimpleITK"].Image)


def _of_array(value: Any, placement: Placement) -> Image:
    if not isinstance(value, np.ndarray):
        raise AutosegError(f"The image is a {type(value).__name__}. Expected an array, a nibabel or SimpleITK image, or a path.")
    image = value[None] if value.ndim == 3 else value
    if image.ndim != 4 or image.size == 0:
        raise AutosegError(f"The array has shape {value.shape}. Expected (C, Z, Y, X), or (Z, Y, X) for one channel.")
    spacing, origin = placement.spacing_mm, placement.origin_mm
    if spacing is None:
        raise AutosegError("An array needs spacing_mm=(z, y, x), the distance of its voxels in mm.")
    if len(spacing) != 3 or not all(0 < mm < np.inf for mm in spacing):
        raise AutosegError(f"spacing_mm is {tuple(spacing)}. Expected three positive numbers, (z, y, x), in mm.")
    if origin is not None and (len(origin) != 3 or not np.isfinite(origin).all()):
        raise AutosegError(f"origin_mm is {tuple(origin)}. Expected three numbers, (x, y, z), in mm.")
    direction = IDENTITY_DIRECTION if placement.direction is None else _direction(placement.direction)
    z, y, x = map(float, spacing)
    a, b, c = map(float, (0, 0, 0) if origin is None else origin)
    return Image(image, Geometry((z, y, x), (a, b, c), direction, has_direction=placement.direction is not None))


def _direction(given: Sequence[float]) -> tuple[float, ...]:
    axes = np.asarray(given, float).ravel()
    if axes.size != 9 or not np.isfinite(axes).all() or abs(np.linalg.det(axes.reshape(3, 3))) < 1e-6:
        raise AutosegError(f"direction is {tuple(axes)}. Expected the 9 numbers of a 3 × 3 matrix, whose axes differ.")
    return tuple(map(float, axes))


def _of_nibabel(value: Any) -> tuple[np.ndarray, Geometry]:
    stored = np.asanyarray(value.dataobj)
    if stored.dtype == np.float64 and value.get_data_dtype() != np.float64:
        stored = stored.astype(np.float32)  # a slope was applied, as `read_image` does it
    if stored.ndim not in ORDER:
        raise AutosegError(f"The image has {stored.ndim} axes. Expected (x, y, z), or (x, y, z, channel).")
    array = stored.transpose(ORDER[stored.ndim])
    array = array if stored.ndim == 4 else array[(None,) * (4 - stored.ndim)]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ value.affine  # RAS to LPS
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0):
        raise AutosegError("The image's affine is not finite, or two of its axes are the same. Correct it.")
    x, y, z = map(float, lengths)
    a, b, c = map(float, affine[:3, 3])
    codes = [int(value.header[name]) for name in ("sform_code", "qform_code") if name in value.header]
    return array, Geometry((z, y, x), (a, b, c), tuple(map(float, (affine[:3, :3] / lengths).ravel())),
                           has_direction=not codes or any(code > 0 for code in codes))


def _of_itk(value: Any) -> tuple[np.ndarray, Geometry]:
    dimensions = value.GetDimension()
    array = sys.modules["SimpleITK"].GetArrayFromImage(value)
    if value.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    if dimensions == 2:
        array = array.reshape(*array.shape[:-2], 1, *array.shape[-2:])
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4:
        raise AutosegError(f"The image has {dimensions} axes and {value.GetNumberOfComponentsPerPixel()} components. Expected "
                           "two or three axes, or a fourth one that holds the channels.")
    count = min(dimensions, 3)
    axes, spacing, origin = np.eye(3), [1.0] * 3, [0.0] * 3
    axes[:count, :count] = np.reshape(value.GetDirection(), (dimensions, dimensions))[:count, :count]
    spacing[:count], origin[:count] = value.GetSpacing()[:count], value.GetOrigin()[:count]
    x, y, z = spacing if dimensions > 2 else (*spacing[:2], max(spacing[:2]))
    a, b, c = origin
    return array, Geometry((z, y, x), (a, b, c), tuple(map(float, axes.ravel())), has_direction=dimensions > 2)
