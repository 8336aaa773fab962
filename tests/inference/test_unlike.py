"""Images that are far from the training images give a warning, and others none."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.inference.unlike import image_warnings
from autoseg.training_images import measure_image, pooled

RNG = np.random.default_rng(7)
CT = RNG.normal(0, 300, (1, 20, 20, 20)).clip(-1024, 1500)
MR = RNG.gamma(2, 100, (1, 20, 20, 20)) + 1


def image(array: np.ndarray, spacing_mm: tuple[float, float, float] = (3, 1, 1)) -> Image:
    return Image(array.astype(np.float32), Geometry(spacing_mm))


def said(unlike: Image, trained: np.ndarray, has_unit: bool, tiles: int = 1) -> str:
    training = pooled([measure_image(image(trained)), measure_image(image(trained * 0.9))])
    return " | ".join(image_warnings(measure_image(unlike), training, [has_unit], tiles))


@pytest.mark.parametrize(("array", "trained", "has_unit"), [(CT * 1.1, CT, True), (MR * 20, MR, False), (MR / 20, MR, False)])
def test_images_like_those_of_the_training_give_no_warning(array: np.ndarray, trained: np.ndarray, has_unit: bool) -> None:
    assert said(image(array), trained, has_unit) == ""
    assert said(image(array, (1, 3, 1)), trained, has_unit) == "", "the order of axes says nothing"


@pytest.mark.parametrize(("array", "trained", "has_unit", "words"), [
    (MR, CT, True, "same kind and in the same unit"), (CT * 1000, CT, True, "same unit"), (CT / 1000, CT, True, "same unit"),
    (CT, MR, False, "are below 0"), (MR * 1000, MR, False, "scaled by itself"),
    (np.full_like(MR, 5), MR, False, "nothing to see"),
    (np.full_like(CT, 5), CT, True, "hardly any value but 5"),
])
def test_other_intensities_are_named(array: np.ndarray, trained: np.ndarray, has_unit: bool, words: str) -> None:
    assert words in said(image(array), trained, has_unit)


def test_spacing_and_number_of_tiles_are_named() -> None:
    found = said(image(MR, (30, 30, 30)), MR, False, tiles=205379)
    assert "spacing is 30 × 30 × 30 mm, and that of the training images is 1 × 1 × 3 to 1 × 1 × 3 mm" in found
    assert "205379 tiles, as it is 2.16e+05 ml large, and the largest training image 24 ml" in found
