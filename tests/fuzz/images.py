"""Images as targets. The reader is an argument: `module:function`, a function of a path that returns `Found`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from autoseg.image import Geometry
from autoseg.image_io import read_geometry, read_image, read_label
from tests.fuzz import announced
from tests.fuzz.attempt import Change, Target
from tests.fuzz.formats import FORMATS, Format, change


@dataclass(frozen=True)
class Found:
    """What reading a file gave. array: (C, Z, Y, X). contradiction: where two ways to read it differ; else ""."""

    array: np.ndarray
    geometry: Geometry
    contradiction: str = ""


Reader = Callable[[Path], Found]


def read_twice(path: Path) -> Found:
    """Return an image as `read_image` gives it; its header, read alone, must say the same."""
    shape, geometry, _ = read_geometry(path)
    image = read_image(path)
    if shape != image.array.shape or geometry != image.geometry:
        return Found(
            image.array,
            image.geometry,
            f"the header alone says {shape}, {geometry}; with voxels {image.array.shape}, {image.geometry}",
        )
    return Found(image.array, image.geometry)


def read_as_label(path: Path) -> Found:
    """Return a label file as `read_label` gives it."""
    image = read_label(path)
    return Found(image.array, image.geometry)


def sane(found: Found) -> str:
    """Return what is wrong with any image: "" where it has four axes, numbers, and a place in space."""
    array, geometry = found.array, found.geometry
    numbers = np.array([*geometry.spacing_mm, *geometry.origin_mm, *geometry.direction])
    if found.contradiction:
        return found.contradiction
    if array.ndim != 4 or array.dtype.kind not in "iuf" or 0 in array.shape:
        return f"an array of shape {array.shape} and type {array.dtype} was read"
    if not np.isfinite(numbers).all() or min(geometry.spacing_mm) <= 0:
        return f"a place that is none was read: {geometry}"
    return ""


def same(good: Found, found: Found) -> str:
    """Return "" where values, type and geometry are those of the good file."""
    if good.geometry != found.geometry:
        return f"{found.geometry} was read in place of {good.geometry}"
    if good.array.shape != found.array.shape or good.array.dtype != found.array.dtype:
        return f"{found.array.shape} {found.array.dtype} was read in place of {good.array.shape} {good.array.dtype}"
    wrong = int((good.array != found.array).sum())
    return f"{wrong} of {good.array.size} values are others" if wrong else ""


def judged(kind: Format, other: Callable[[], Found], good: Found, path: Path, found: Found, done: Change) -> str:
    """Return what is wrong with what was read of a changed file (see `formats`)."""
    if wrong := sane(found):
        return wrong
    if not same(good, found) or not same(other(), found):  # a change of nothing, or the splice is the other file
        return ""
    if done.is_sealed:
        return same(good, found)
    if kind.name.startswith("png"):
        return announced.picture_png(path, found.array)
    if kind.name.startswith("jpeg"):
        return announced.jpeg(good.array, found.array, other().array)
    if kind.seals == "values":
        if "tiles" in kind.name and not announced.same_tiles(good.array, found.array):
            return ""
        return announced.same_values(good.array, other().array, found.array)
    rules: dict[str, Callable[[Path, np.ndarray], str]] = {
        "nii": announced.nifti,
        "hdr": announced.nifti,
        "mgh": announced.mgh,
        "mgz": announced.mgh,
        "nrr": announced.nrrd,
        "nhd": announced.nrrd,
        "mha": announced.meta,
        "mhd": announced.meta,
        "bmp": announced.bmp,
        "tif": announced.tiff,
    }
    return rules[kind.name[:3]](path, found.array)


def image_targets(reader: Reader, formats: tuple[Format, ...] = FORMATS) -> dict[str, Target]:
    """Return a target for each format, by name."""
    return {kind.name: _target(kind, reader) for kind in formats}


def _target(kind: Format, reader: Reader) -> Target:
    known: dict[str, Any] = {}

    def make(folder: Path) -> Path:
        path = folder / f"image{kind.ending}"
        kind.write(path, 0)
        with TemporaryDirectory() as place:
            second = Path(place) / f"image{kind.ending}"
            kind.write(second, 1)
            known["found"] = reader(second)
            known["bytes"] = {
                ending: (second if ending == kind.ending else second.with_suffix(ending)).read_bytes()
                for ending in filter(None, (kind.ending, kind.beside))
            }
        return path

    def mutate(random: Random, path: Path) -> Change:
        return change(kind, random, path, known["bytes"])

    return Target(kind.name, make, reader, mutate, partial(judged, kind, lambda: known["found"]))
