"""ITK, in the process that reads files with other people's C code: what headers say, and compressions that only it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from autoseg.image_io.checks import damaged
from autoseg.image_io.foreign_process import named


def header(path: Path, text: str, kind: str) -> tuple[dict[str, Any], None]:
    """Return what ITK makes of a header: size and spacing_mm (x, y, ...), origin_mm, direction, components, dtype, has_space."""
    with named(text.encode("ascii")) as name:
        reader = sitk.ImageFileReader()
        reader.SetFileName(name)
        reader.SetImageIO(kind)
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise damaged(path, f"its header cannot be understood ({_reason(error)})") from error
    pixel = sitk.Image([1] * 2, reader.GetPixelID(), reader.GetNumberOfComponents())
    return {
        "size": reader.GetSize(), "spacing_mm": reader.GetSpacing(), "origin_mm": reader.GetOrigin(),
        "direction": reader.GetDirection(), "components": reader.GetNumberOfComponents(),
        "dtype": sitk.GetArrayViewFromImage(pixel).dtype.str, "has_space": reader.HasMetaDataKey("NRRD_space"),
    }, None


def pixels(path: Path, name: str, kind: str) -> np.ndarray:
    """Return the pixels (..., Y, X[, C]) of the file that is found under a plain name."""
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(name, imageIO=kind))
    except RuntimeError as error:
        raise damaged(path, f"its pixels cannot be unpacked ({_reason(error)})") from error


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).replace("/proc/self/fd/", "").splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


