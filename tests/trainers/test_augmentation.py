"""Augmentation: rotations move voxels where geometry says, labels follow the image, the same seed gives the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.trainers.augmentation import AUGMENTATIONS, Augmentation, SpatialDraw, warp
from autoseg.trainers.augmentation.intensity import blur, change_intensities, contrast, gamma, low_resolution
from autoseg.trainers.augmentation.spatial import draw_spatial
from autoseg.trainers.augmentation.transforms import TransformSet


def test_warp_by_a_quarter_turn_is_numpys_rot90() -> None:
    image = torch.arange(25.0).reshape(1, 5, 5)
    label = torch.randint(0, 3, (1, 5, 5), dtype=torch.int16)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    warped, warped_label = warp(image, label, turn, (5, 5))
    # patch voxel at offset (y, x) shows the region's voxel at offset (-x, y)
    expected = np.array([[image[0, 2 - (x - 2), 2 + (y - 2)] for x in range(5)] for y in range(5)])
    assert np.allclose(warped[0].numpy(), expected, atol=1e-4)
    expected_label = np.array([[label[0, 2 - (x - 2), 2 + (y - 2)] for x in range(5)] for y in range(5)])
    assert np.array_equal(warped_label[0].numpy(), expected_label)


def test_warp_equals_scipys_affine_transform_in_3d() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(9, 11, 13)).astype(np.float32)
    angle = 0.3
    matrix = 1.1 * np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    patch = (5, 5, 7)
    warped, _ = warp(torch.from_numpy(image)[None], torch.zeros(1, 9, 11, 13, dtype=torch.int16), matrix, patch)
    centre_in, centre_out = (np.array(image.shape) - 1) / 2, (np.array(patch) - 1) / 2
    expected = ndimage.affine_transform(image, matrix, centre_in - matrix @ centre_out, output_shape=patch, order=1)
    assert np.allclose(warped[0].numpy(), expected, atol=1e-4)


def test_the_region_that_is_read_holds_every_voxel_that_the_patch_shows() -> None:
    augmentation = Augmentation((16, 24, 20), (0, 1, 2))
    rng = np.random.default_rng(1)
    draws = [draw for draw in (augmentation.draw_spatial(rng) for _ in range(300)) if draw]
    assert 60 < len(draws) < 160  # p = 1 - 0.8² = 0.36
    for draw in draws:
        ones = torch.ones(1, *draw.region_size)
        warped, _ = warp(ones, ones.to(torch.int16), draw.matrix, (16, 24, 20))
        assert float(warped.min()) > 0.999


def test_flat_patches_are_turned_in_plane_only() -> None:
    augmentation = Augmentation((4, 32, 32), (0, 1, 2))
    rng = np.random.default_rng(2)
    for draw in filter(None, (augmentation.draw_spatial(rng) for _ in range(100))):
        assert draw.matrix[0].tolist() == [1, 0, 0] and draw.region_size[0] == 4


def test_the_same_seed_gives_the_same_patch_and_another_seed_another() -> None:
    augmentation = Augmentation((8, 8, 8), (0, 1, 2))
    image, label = torch.randn(2, 8, 8, 8), torch.randint(0, 3, (1, 8, 8, 8), dtype=torch.int16)
    once, again = (augmentation.apply(image, label, None, 5) for _ in range(2))
    assert torch.equal(once[0], again[0]) and torch.equal(once[1], again[1])
    assert any(not torch.equal(once[0], augmentation.apply(image, label, None, seed)[0]) for seed in range(6, 12))


DRAWS = 3000


def factors_and_angles(patch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, float]:
    """Scaling factors and in-plane angles (degrees) of what the default set draws, and the share of draws that move anything."""
    augmentation, rng = Augmentation(patch, ()), np.random.default_rng(3)
    drawn = [draw for draw in (augmentation.draw_spatial(rng) for _ in range(DRAWS)) if draw is not None]
    in_plane = np.array([draw.matrix[-2:, -2:] for draw in drawn])
    factors = np.sqrt(np.linalg.det(in_plane))
    return factors, np.degrees(np.arctan2(in_plane[:, 1, 0], in_plane[:, 0, 0])), len(drawn) / DRAWS


@pytest.mark.parametrize(("patch", "limit"), [((24, 20), 180), ((12, 40), 15), ((4, 32, 32), 180)])
def test_turning_and_scaling_are_drawn_as_nnunet_draws_them(patch: tuple[int, ...], limit: float) -> None:
    """Each with 0.2; angles even within the limit; scaling even from 0.7 to 1.4 (batchgeneratorsv2 0.3.6, SpatialTransform)."""
    factors, angles, share = factors_and_angles(patch)
    assert share == pytest.approx(1 - 0.8**2, abs=0.03)
    scaled, turned = factors[abs(factors - 1) > 1e-6], angles[abs(angles) > 1e-6]
    assert len(scaled) / DRAWS == pytest.approx(0.2, abs=0.025) and len(turned) / DRAWS == pytest.approx(0.2, abs=0.025)
    assert 0.7 <= scaled.min() < 0.71 and 1.39 < scaled.max() <= 1.4 and scaled.mean() == pytest.approx(1.05, abs=0.03)
    assert (scaled < 1).mean() == pytest.approx(3 / 7, abs=0.06)
    assert abs(turned).max() == pytest.approx(limit, rel=0.02)
    assert np.median(abs(turned)) == pytest.approx(limit / 2, rel=0.12)


def test_a_volume_is_turned_about_its_first_axis_first_as_nnunet_turns_it() -> None:
    """Its matrix is R2 R1 R0, with the sine of the angle about axis 1 from axis 0 to axis 2, and of all three the other way."""
    rng, turns = np.random.default_rng(4), TransformSet(1, np.radians(30), 0, (1, 1), 0)
    drawn = np.array([draw.matrix for draw in (draw_spatial((20, 24, 28), turns, rng) for _ in range(DRAWS)) if draw is not None])
    assert len(drawn) == DRAWS and np.abs(drawn[:, 2, 0]).max() == pytest.approx(0.5, abs=2e-3)
    angles = np.degrees(np.arcsin(drawn[:, 2, 0]))
    assert angles.std() == pytest.approx(30 / np.sqrt(3), rel=0.05)
    assert np.abs(drawn[:, 0, 2]).max() > 0.55  # of all three angles


def test_the_scaling_of_the_elastic_set_is_below_or_above_one_with_equal_chance() -> None:
    """The nnU-Net of 2019 drew it so."""
    scales, rng = replace(AUGMENTATIONS["elastic"], rotation=0, scaling=1, elastic=0), np.random.default_rng(5)
    factors = np.array([draw.matrix[0, 0] for draw in (draw_spatial((8, 8, 8), scales, rng) for _ in range(DRAWS)) if draw])
    assert 0.85 <= factors.min() < 0.86 and 1.24 < factors.max() <= 1.25 and (factors < 1).mean() == pytest.approx(0.5, abs=0.03)


def changed_by(name: str, image: torch.Tensor, count: int = 400, spared: tuple[int, ...] = ()) -> list[torch.Tensor]:
    """The image after one transform that is always drawn, by many seeds."""
    alone = TransformSet(rotation=0, rotation_limit=0, scaling=0, scaling_range=(1, 1), **({"gamma": 0} | {name: 1.0}))
    return [change_intensities(image, np.random.default_rng(seed), alone, spared) for seed in range(count)]


def test_brightness_and_contrast_are_drawn_below_or_above_one_with_equal_chance() -> None:
    by = np.array([float(one.mean()) for one in changed_by("brightness", torch.ones(1, 4, 4))])
    assert 0.75 <= by.min() < 0.76 and 1.24 < by.max() <= 1.25 and (by < 1).mean() == pytest.approx(0.5, abs=0.08)
    wave = torch.cat([torch.full((1, 4, 4), -1.0), torch.full((1, 4, 4), 1.0), torch.zeros(1, 2, 4)], dim=1)
    stretched = np.array([float(one.max()) for one in changed_by("contrast", wave)])
    assert (stretched == 1).mean() == pytest.approx(0.5, abs=0.08) and 0.75 <= stretched.min() < 0.76  # the range is kept


def test_gamma_is_drawn_as_nnunet_draws_it() -> None:
    """Even below or above 1, from 0.7 to 1.5: a ramp bends up or down equally often."""
    ramp = torch.linspace(0, 1, 101)[None, None]
    middles = np.array([float(one[0, 0, 50]) for one in changed_by("gamma", ramp)])
    assert (middles > 0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_low_resolution_spares_the_axis_of_slices_in_flat_patches() -> None:
    """Each slice of a stack is of one value: it stays so where slices keep their resolution, and mixes elsewhere."""
    stack = torch.arange(4.0)[None, :, None, None].expand(1, 4, 20, 20).contiguous()
    assert all(torch.allclose(one, stack) for one in changed_by("low_resolution", stack, 40, spared=(0,)))
    assert any(not torch.allclose(one, stack) for one in changed_by("low_resolution", stack, 40))
    flat = Augmentation((4, 20, 20), (), transforms=TransformSet(0, 0, 0, (1, 1), 0, low_resolution=1.0))
    label = torch.zeros(1, 4, 20, 20, dtype=torch.int16)
    assert all(torch.allclose(flat.apply(stack, label, None, seed)[0], stack) for seed in range(20))


def test_blur_is_drawn_for_each_axis() -> None:
    """A point becomes as wide along one axis as along the other only by chance."""
    point = torch.zeros(1, 15, 15)
    point[0, 7, 7] = 1
    blurred = [one for one in changed_by("blur", point, 60) if not torch.equal(one, point)]
    assert 15 < len(blurred) < 45  # with 0.5 for the channel
    assert sum(abs(float(one[0, 7, 8] - one[0, 8, 7])) > 1e-3 for one in blurred) > 0.8 * len(blurred)


def test_labels_are_warped_as_the_greatest_interpolated_share_however_many_there_are() -> None:
    """Against all shares at once, by scipy."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 40, (3, 4, 5)).repeat(3, 0).repeat(3, 1).repeat(3, 2).astype(np.int16)
    angle, patch = 0.4, (7, 9, 11)
    matrix = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    _, warped = warp(torch.zeros(1, *label.shape), torch.from_numpy(label)[None], matrix, patch)
    offset = (np.array(label.shape) - 1) / 2 - matrix @ ((np.array(patch) - 1) / 2)
    shares = np.stack([
        ndimage.affine_transform((label == value).astype(float), matrix, offset, patch, order=1, mode="constant")
        for value in range(40)])
    expected = np.where(shares.sum(0) > 0.5, shares.argmax(0), 0)
    sure = np.sort(shares, axis=0)[-1] - np.sort(shares, axis=0)[-2] > 1e-3
    assert sure.mean() > 0.95 and (warped[0].numpy() == expected)[sure].all()


def test_flips_move_label_and_image_alike_and_spare_other_axes() -> None:
    augmentation = Augmentation((6, 6), (1,))
    label = torch.randint(0, 3, (1, 6, 6), dtype=torch.int16)
    seen = set()
    for seed in range(20):
        _, flipped = augmentation.apply(torch.zeros(1, 6, 6), label, None, seed)
        assert torch.equal(flipped, label) or torch.equal(flipped, label.flip(2))
        seen.add(torch.equal(flipped, label))
    assert seen == {True, False}


def test_zeros_outside_of_the_mask_stay_zero() -> None:
    """Resampled images are not exactly 0 there: the label's -1 tells where it is, also after a turn; zeros inside are values."""
    augmentation = Augmentation((12, 12), (), masked_channels=(0,))
    image = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(0)) + 3
    label = torch.zeros(1, 12, 12, dtype=torch.int16)
    image[:, :, :5], label[:, :, :5] = 0.01, -1
    image[:, 6:, 8] = 0
    inside = other = 0
    for seed in range(60):
        changed, kept = augmentation.apply(image, label, None, seed)
        assert float(changed[0, :, :5].abs().max()) == 0 and torch.equal(kept, label)
        inside += float(changed[0, 6:, 8].abs().max()) > 0
        other += float(changed[1, :, :5].abs().max()) > 0
    assert inside > 10 and other > 50
    for angle in (0.3, 2.0):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        changed, turned = augmentation.apply(image, label, SpatialDraw(turn, (12, 12)), 5)
        corners = turned[0, [0, 0, -1, -1], [0, -1, 0, -1]]  # seen beyond the region, or outside of the mask
        assert (changed[0][turned[0] < 0] == 0).all() and (corners < 0).any() and 40 < int((turned < 0).sum()) < 100


def test_a_warped_sample_has_the_patchs_size() -> None:
    augmentation = Augmentation((8, 10), (0, 1))
    draw = SpatialDraw(np.eye(2) * 1.4, (12, 14))
    image, label = augmentation.apply(torch.randn(3, 12, 14), torch.zeros(1, 12, 14, dtype=torch.int16), draw, 0)
    assert image.shape == (3, 8, 10) and label.shape == (1, 8, 10) and label.dtype == torch.int16


def test_blur_equals_scipys_gaussian_filter() -> None:
    channel = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)
    expected = ndimage.gaussian_filter(channel, (0.8, 0.5, 1.0), mode="nearest", truncate=3)
    assert np.allclose(blur(torch.from_numpy(channel), (0.8, 0.5, 1.0)).numpy(), expected, atol=1e-4)


def test_contrast_stretches_about_the_mean_within_the_range() -> None:
    channel = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    assert contrast(channel, 1.25).tolist() == [0.0, 0.75, 2.0, 3.25, 4.0]


def test_gamma_keeps_mean_and_standard_deviation() -> None:
    channel = torch.rand(10, 10) * 5 - 2
    for inverted in (False, True):
        changed = gamma(channel, 1.4, inverted)
        assert float(changed.mean()) == pytest.approx(float(channel.mean()), abs=1e-4)
        assert float(changed.std()) == pytest.approx(float(channel.std()), abs=1e-4)
        assert not torch.allclose(changed, channel)


def test_constant_channels_stay_finite() -> None:
    channel = torch.full((6, 6, 6), 2.0)
    for changed in (gamma(channel, 0.7, True), contrast(channel, 0.75), low_resolution(channel, 0.5), blur(channel, (1, 1, 1))):
        assert torch.allclose(changed, channel, atol=1e-5)
