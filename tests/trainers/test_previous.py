"""Changes to what a previous stage segmented, by answers worked out by hand and by acvl-utils' ball."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from acvl_utils.morphology.morphology_helper import generate_ball
from scipy import ndimage

from autoseg.trainers.augmentation import previous
from autoseg.trainers.augmentation.previous import change_previous, drop_component, reshape_label, reshaped

FULL = ndimage.generate_binary_structure(3, 3)


def block(shape: tuple[int, ...], *slices: slice) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[slices] = True
    return mask


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_shapes_change_as_by_a_ball_of_acvl_utils(radius: int, seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((18, 20, 22)), 2) > 0.02
    ball = generate_ball((radius,) * 3).astype(bool)
    dilated = ndimage.binary_dilation(noise, ball)
    eroded = ndimage.binary_erosion(noise, ball, border_value=1)
    assert np.array_equal(reshaped(noise, "dilate", radius), dilated)
    assert np.array_equal(reshaped(noise, "erode", radius), eroded)
    assert np.array_equal(reshaped(noise, "close", radius), ndimage.binary_erosion(dilated, ball, border_value=1))
    assert np.array_equal(reshaped(noise, "open", radius), ndimage.binary_dilation(eroded, ball))


def test_in_a_plane_a_dot_becomes_a_plus_and_back() -> None:
    dot = block((5, 5), slice(2, 3), slice(2, 3))
    plus = reshaped(dot, "dilate", 1.0)
    assert plus.astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert np.array_equal(reshaped(plus, "erode", 1.0), dot)
    assert not reshaped(dot, "open", 1.0).any() and np.array_equal(reshaped(dot, "close", 1.9), dot)
    everywhere = np.ones((5, 5), bool)
    assert reshaped(everywhere, "erode", 8.0).all() and not reshaped(~everywhere, "dilate", 8.0).any()


def test_what_a_label_gains_is_taken_from_the_others_and_what_it_loses_is_background() -> None:
    line = np.zeros((2, 1, 7), bool)
    line[0, 0, :3], line[1, 0, 3:] = True, True
    reshape_label(line, 0, "dilate", 2.0)
    assert line.astype(int).tolist() == [[[1, 1, 1, 1, 1, 0, 0]], [[0, 0, 0, 0, 0, 1, 1]]]
    reshape_label(line, 0, "erode", 1.0)
    assert line.astype(int).tolist() == [[[1, 1, 1, 1, 0, 0, 0]], [[0, 0, 0, 0, 0, 1, 1]]]


def test_one_component_is_dropped_that_covers_little() -> None:
    shape = (10, 10, 10)
    large = block(shape, slice(0, 10), slice(0, 10), slice(0, 2))  # 20 %
    small = block(shape, slice(0, 2), slice(0, 2), slice(6, 8))
    small[2, 2, 8] = True  # joined by a corner
    other = block(shape, slice(8, 10), slice(8, 10), slice(8, 10))
    seen = set()
    for seed in range(12):
        mask = large | small | other
        drop_component(mask, np.random.default_rng(seed))
        assert np.array_equal(mask, large | small) or np.array_equal(mask, large | other)
        seen.add(bool(mask[9, 9, 9]))
    assert seen == {True, False}
    drop_component(large, np.random.default_rng(0))
    assert large.sum() == 200
    nothing = np.zeros(shape, bool)
    drop_component(nothing, np.random.default_rng(0))
    assert not nothing.any()


def test_how_often_each_change_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    operators, radii, dropped = [], [], []
    monkeypatch.setattr(previous, "reshape_label", lambda masks, label, operator, radius: (
        operators.append((label, operator)), radii.append(radius)))
    monkeypatch.setattr(previous, "drop_component", lambda mask, rng: dropped.append(1))
    channels, rng, draws = torch.zeros(3, 1, 1, 1, dtype=torch.bool), np.random.default_rng(0), 4000
    for _ in range(draws):
        change_previous(channels, rng)
    assert len(operators) / draws == pytest.approx(0.4 * 0.5 * 3, rel=0.06)
    assert len(dropped) / draws == pytest.approx(0.2 * 0.5 * 3, rel=0.08)
    for operator in ("erode", "dilate", "open", "close"):
        assert sum(name == operator for _, name in operators) / len(operators) == pytest.approx(0.25, rel=0.15)
    assert {label for label, _ in operators} == {0, 1, 2} and 1 <= min(radii) < 1.1 and 7.9 < max(radii) <= 8


def test_the_channels_that_are_given_stay_as_they_are() -> None:
    channels = torch.zeros(2, 12, 12, 12, dtype=torch.bool)
    channels[0, 2:8, 2:8, 2:8], channels[1, 8:12, 8:12, 8:12] = True, True
    before, changed = channels.clone(), 0
    for seed in range(40):
        made = change_previous(channels, np.random.default_rng(seed))
        assert torch.equal(channels, before) and made.dtype == torch.bool and made.shape == channels.shape
        assert not (made[0] & made[1]).any()
        changed += not torch.equal(made, before)
    assert 8 < changed < 32
