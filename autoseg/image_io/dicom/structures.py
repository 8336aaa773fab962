"""Structures of a segmentation and who made it: what the writers of DICOM objects are told besides the voxels."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg import __version__
from autoseg.image_io.dicom.codes import Coding, coding_of

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
FIRST_COLOURS: tuple[Colour, ...] = (  # far apart on an image in gray; neighbours in the list most of all
    (230, 60, 50), (60, 180, 75), (70, 130, 245), (250, 200, 40), (200, 80, 220),
    (60, 205, 215), (250, 140, 40), (190, 225, 60), (245, 150, 190), (150, 110, 60),
)
GOLDEN_ANGLE = 0.381966  # of a turn: so that every next hue lies between those before it


@dataclass(frozen=True)
class Structure:
    """A structure of a segmentation. name: as dataset.json has it. values: label values whose union it is. rgb: its colour.
    coding: what it is."""

    name: str
    values: tuple[int, ...]
    rgb: Colour
    coding: Coding


@dataclass(frozen=True)
class Maker:
    """The maker of a segmentation. model: the model in words, such as "Dataset004_Hippocampus, 3d_fullres, default, fold 0"; ""
    for none. algorithm, version: of the program."""

    model: str = ""
    algorithm: str = "autoseg"
    version: str = __version__


def structures_of(
    values: Mapping[str, int | tuple[int, ...]], codings: Mapping[str, Coding] | None = None
) -> tuple[Structure, ...]:
    """Return the structures of a segmentation, in the order of the smallest label value of each.

    values: name to label value (a class), or to several (a region: their union); without background. codings: of those names
    whose codes are known (dataset.json's `dicom_codes`); the others get theirs by name.
    """
    unions = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}
    known = codings or {}
    return tuple(
        Structure(name, union, colour(index), known.get(name) or coding_of(name))
        for index, (name, union) in enumerate(sorted(unions.items(), key=lambda entry: (min(entry[1]), -len(entry[1])))))


def colour(index: int) -> Colour:
    """Return the colour of structure `index`, from 0: bright enough for an image in gray, and unlike those before it."""
    if index < len(FIRST_COLOURS):
        return FIRST_COLOURS[index]
    hue, saturation, value = index * GOLDEN_ANGLE % 1, (0.85, 0.5, 0.7)[index % 3], (0.95, 0.85, 0.65)[index // 3 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def voxels_by_plane(labels: np.ndarray, structures: Sequence[Structure]) -> np.ndarray:
    """Return (Z, values) int64: how many voxels of each label value, up to the highest of a structure, each plane has."""
    values = max(max(structure.values) for structure in structures) + 1
    return np.stack([np.bincount(plane.ravel(), minlength=values)[:values] for plane in labels])
