"""Mirroring that swaps left and right: what is called left stays on its side of the patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autoseg.trainers.augmentation import Augmentation, TransformSet, swap, turned_round

STILL = torch.zeros(1, 4, 6, 8)
SWAPPED = ((1, 2), (2, 1))


def sided() -> torch.Tensor:
    """(1, 4, 6, 8): 1 in the half of low x, 2 in the other, 3 in the row of lowest y, -1 in the first slice."""
    label = torch.ones(1, 4, 6, 8, dtype=torch.int16)
    label[..., 4:] = 2
    label[:, :, 0] = 3
    label[:, 0] = -1
    return label


def drawn(swap_axes: tuple[int, ...], axes: tuple[int, ...] = (0, 1, 2)) -> list[torch.Tensor]:
    augmentation = Augmentation((4, 6, 8), axes, swap_axes=swap_axes, swapped=SWAPPED)
    return [augmentation.apply(STILL, sided(), None, seed)[1] for seed in range(40)]


def test_where_the_axis_is_mirrored_left_stays_left_and_the_rest_is_mirrored() -> None:
    """Of all that is drawn there are four labels alone: flips along z and y change it, a flip along x with a swap does not."""
    expected = {str(sided().flip(axes).tolist()) for axes in ([], [1], [2], [1, 2])}
    assert {str(label.tolist()) for label in drawn(swap_axes=(2,))} == expected


def test_without_the_axis_of_the_patch_nothing_is_swapped() -> None:
    expected = {str(sided().flip(axes).tolist()) for axes in ([], [1], [2], [1, 2], [3], [1, 3], [2, 3], [1, 2, 3])}
    assert {str(label.tolist()) for label in drawn(swap_axes=())} == expected


def test_the_draws_are_the_same_with_and_without_swapping() -> None:
    """A swapped label, swapped back, is the label that the same seed gives without."""
    for with_swap, without in zip(drawn(swap_axes=(2,)), drawn(swap_axes=()), strict=True):
        assert torch.equal(with_swap, without) or torch.equal(swap(with_swap, SWAPPED), without)


@pytest.mark.parametrize(("patch", "plane"), [
    ((24, 20), (0, 1)), ((12, 40), ()), ((4, 32, 32), (1, 2)), ((24, 20, 20), ())])
def test_the_plane_in_which_patches_are_turned_all_the_way_round_is_known(
    patch: tuple[int, ...], plane: tuple[int, ...]
) -> None:
    """A half turn reverses both axes of the plane; nothing reverses an axis of other patches."""
    augmentation, rng = Augmentation(patch, ()), np.random.default_rng(0)
    matrices = [draw.matrix for draw in (augmentation.draw_spatial(rng) for _ in range(300)) if draw is not None]
    reversed_axes = tuple(axis for axis in range(len(patch)) if any(matrix[axis, axis] < -0.5 for matrix in matrices))
    assert turned_round(patch) == reversed_axes == plane


def test_a_flip_and_a_half_turn_with_the_other_flip_give_one_label() -> None:
    """They give the same image, so that another label would contradict it."""
    augmentation = Augmentation((8, 8), (0, 1), swap_axes=turned_round((8, 8)), swapped=SWAPPED)
    image = torch.arange(64.0).reshape(1, 8, 8)
    label = (1 + (torch.arange(8) >= 4).to(torch.int16)).expand(1, 8, 8).contiguous()
    still = replace(augmentation, transforms=TransformSet(0, 0, 0, (1, 1), 0))
    labels: dict[str, set[str]] = {}
    for start in ((image, label), (image.flip([1, 2]), label.flip([1, 2]))):
        for seed in range(20):
            moved, its = still.apply(*start, None, seed)
            labels.setdefault(str(moved.tolist()), set()).add(str(its.tolist()))
    assert len(labels) == 4 and all(len(its) == 1 for its in labels.values())


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
def test_values_become_others_and_keep_their_type(dtype: torch.dtype) -> None:
    label = torch.tensor([-1, 0, 7, 32767, 300], dtype=dtype)
    changed = swap(label, ((7, 32767), (32767, 7), (300, 2)))
    assert changed.tolist() == [-1, 0, 32767, 7, 2] and changed.dtype == dtype
