"""Label files of every kind are read, images in their place are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import write_label
from autoseg.tasks.anomaly.evaluation import read_regions

SIDE = 24


def organs(count: int) -> np.ndarray:
    """Every voxel belongs to the organ whose centre is the closest; no background."""
    centres = np.random.default_rng(0).random((count, 3)) * SIDE
    places = np.indices((SIDE, SIDE, SIDE)).reshape(3, -1).T
    return (cKDTree(centres).query(places)[1] + 1).reshape(SIDE, SIDE, SIDE)


def shell(count: int) -> np.ndarray:
    """Organs on the surface of a ball alone, as the areas of a cortex lie."""
    radius = np.linalg.norm(np.indices((SIDE, SIDE, SIDE)) - (SIDE - 1) / 2, axis=0)
    return np.where((radius > 8.5) & (radius < 11), organs(count), 0)


def cells() -> np.ndarray:
    """A number of its own for each of 256 cells of 3 pixels across."""
    label = np.zeros((1, 80, 80), int)
    for number in range(256):
        y, x = (5 * place for place in divmod(number, 16))
        label[0, y:y + 3, x:x + 3] = 300 + number
    return label


def specks() -> np.ndarray:
    """Ten lesions of one voxel each, all of another class."""
    label = np.zeros((1, SIDE, SIDE), int)
    label[0, ::5, ::12] = np.arange(10).reshape(5, 2) + 1
    return label


def picture(blur: float, background: int | None = None) -> np.ndarray:
    """8 bits; background: of all but a disc."""
    values = gaussian_filter(np.random.default_rng(0).normal(size=(1, 96, 96)), (0, blur, blur))
    values = np.clip(values / values.std() * 50 + 128, 1, 255).astype(int)
    inside = np.linalg.norm(np.indices((96, 96)) - 48, axis=0) < 30
    return values if background is None else np.where(inside, values, background)


def written(path: Path, values: np.ndarray) -> Path:
    array = values.astype(np.uint16)
    write_label(path, array, Image(array[None], Geometry((1.0, 1.0, 1.0))))
    return path


@pytest.mark.parametrize("label", [
    organs(117), organs(40), shell(190), cells(), specks(), np.ones((1, 8, 8), int), np.zeros((1, 8, 8), int)],
    ids=["organs", "few organs", "cortex", "cells", "specks", "all abnormal", "normal"])
def test_labels_are_read_however_many_classes_they_have(tmp_path: Path, label: np.ndarray) -> None:
    assert (read_regions(written(tmp_path / "case.nii.gz", label)).array[0] == label).all()


@pytest.mark.parametrize("image", [picture(0), picture(4), picture(8), picture(2, 0), picture(2, 255)],
                         ids=["noise", "smooth", "very smooth", "on black", "on white"])
@pytest.mark.parametrize("name", ["case.png", "case.nii.gz"])
def test_images_are_refused_with_what_was_found(tmp_path: Path, image: np.ndarray, name: str) -> None:
    with pytest.raises(AutosegError, match=rf"{name} must be an image, and no label file: it holds {len(np.unique(image))} diff"):
        read_regions(written(tmp_path / name, image))
