"""What a classifier sees of an image, and the way back to the image's own grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.tasks.classification.framing import frame_image
from autoseg.tasks.classification.plan import ClassPlans

Make = Callable[..., ClassPlans]


def image(array: np.ndarray, **geometry: Any) -> Image:
    return Image(array, Geometry(**{"spacing_mm": (1.0, 1.0, 1.0), **geometry}))


def test_a_picture_fills_what_is_seen_with_its_foreground_and_keeps_its_aspect(class_plans: Make) -> None:
    pixels = np.zeros((1, 1, 40, 60), np.uint8)
    pixels[0, 0, 10:26, 20:52] = np.arange(16)[:, None] * 10 + 10  # 16 × 32: half as high as wide
    framed = frame_image(image(pixels), "a", class_plans())
    assert framed.array.shape == (1, 1, 8, 8)
    rows = framed.array[0, 0].any(1)
    assert rows.tolist() == [False, False, True, True, True, True, False, False]
    assert (np.diff(framed.array[0, 0, 2:6], axis=0) > 0).all() and framed.array.min() == 0 and framed.array.max() <= 1
    assert framed.mean == pytest.approx(pixels[pixels > 0].mean())


def test_colour_is_seen_in_gray_where_that_was_planned_and_other_kinds_are_refused(class_plans: Make) -> None:
    gray = np.repeat(np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8), 3, axis=0)
    assert frame_image(image(gray), "a", class_plans()).array.shape == (1, 1, 8, 8)
    colour = gray * np.array([1, 2, 3], np.uint8)[:, None, None, None]
    assert np.allclose(frame_image(image(colour), "a", class_plans()).array, frame_image(image(gray), "a", class_plans()).array)
    with pytest.raises(AutosegError, match="case a: it is a volume of shape"):
        frame_image(image(np.random.default_rng(0).random((1, 4, 8, 8))), "a", class_plans())
    with pytest.raises(AutosegError, match="case a: it is a picture of one slice, but volumes are expected"):
        frame_image(image(gray[:1]), "a", class_plans("volume"))


def test_a_volume_is_seen_alike_whichever_way_it_is_stored(class_plans: Make) -> None:
    array = np.random.default_rng(0).random((1, 10, 12, 14)).astype(np.float32)
    plans = class_plans("volume", orientation="LPS")
    first = frame_image(image(array), "a", plans)
    turned = frame_image(image(array[..., ::-1], direction=(-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)), "a", plans)
    assert first.array.shape == (1, 8, 8, 8) and np.allclose(first.array, turned.array)
    assert first.frame.resampled == (5, 6, 7)


def test_what_is_seen_goes_back_to_where_it_was_in_the_image(class_plans: Make) -> None:
    """A single bright voxel, in a volume that is stored in another order than the plans', on a grid of half its voxels."""
    array = np.full((1, 8, 12, 16), 1.0, np.float32)
    array[0, 6, 3, 11] = 9
    stored = image(array.transpose(0, 3, 1, 2), spacing_mm=(1.0, 1.0, 1.0), direction=(0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0))
    framed = frame_image(stored, "a", class_plans("volume", orientation="LPS", percentiles=(0.0, 100.0)))
    back = framed.frame.back(framed.array[0])
    assert back.shape == stored.array.shape[1:]
    brightest = np.unravel_index(int(back.argmax()), back.shape)
    assert np.abs(np.array(brightest) - np.argwhere(stored.array[0] == 9)[0]).max() <= 1


def test_the_labelled_region_alone_is_seen_where_that_was_planned(class_plans: Make) -> None:
    array = np.ones((1, 20, 20, 20), np.float32)
    array[0, 5:15, 5:15, 5:15] = 2
    label = (array[0] == 2).astype(np.uint8)
    framed = frame_image(image(array), "a", class_plans("volume", roi="labels"), label)
    assert framed.frame.box == ((4, 16), (4, 16), (4, 16))
    with pytest.raises(AutosegError, match="case a: its label file holds no region"):
        frame_image(image(array), "a", class_plans("volume", roi="labels"), np.zeros_like(label))
