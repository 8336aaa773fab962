"""Augmentation: rotations move voxels where geometry says, labels follow the image, the same seed gives the same."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.trainers.augmentation import Augmentation, SpatialDraw, warp
from autoseg.trainers.augmentation.intensity import blur, contrast, gamma, low_resolution


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


def test_what_the_default_set_draws_for_a_seed_stays_as_it_was() -> None:
    """Trainings are reproducible across versions: these figures are of the version that had this set alone."""
    digest = hashlib.sha256()
    for patch in ((16, 24, 20), (4, 32, 32), (24, 20), (12, 40)):
        augmentation = Augmentation(patch, tuple(range(len(patch))))
        rng = np.random.default_rng(0)
        for _ in range(60):
            draw = augmentation.draw_spatial(rng)
            if draw is not None:
                digest.update(np.round(draw.matrix, 6).astype("<f8").tobytes() + repr(draw.region_size).encode())
            digest.update(str(rng.integers(2**31)).encode())
    assert digest.hexdigest()[:16] == "f68f3a80474e45c2"
    image = torch.linspace(-1, 2, 480).sin().reshape(2, 6, 5, 8)
    augmentation = Augmentation((6, 5, 8), (0, 1, 2))
    places = torch.arange(480.0).reshape(2, 6, 5, 8) / 480
    label = torch.zeros(1, 6, 5, 8, dtype=torch.int16)
    changed = [augmentation.apply(image, label, None, seed)[0] for seed in range(24)]
    figures = [0.3091, 0.2390, 0.2555, 0.3046, 0.2543, 0.2921, 0.2589, 0.2574, 0.2569, 0.3308, 0.2555, 0.3302,
               0.2590, 0.2590, 0.3309, 0.3340, 0.3189, 0.3304, 0.3363, 0.2573, 0.1805, 0.3331, 0.2607, 0.2777]
    assert [float((one * places).mean()) for one in changed] == pytest.approx(figures, abs=2e-4)


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
    augmentation = Augmentation((12, 12), (), masked_channels=(0,))
    image = torch.randn(1, 12, 12) + 3
    image[:, :, :5] = 0
    for seed in range(30):
        changed, _ = augmentation.apply(image, torch.zeros(1, 12, 12, dtype=torch.int16), None, seed)
        assert float(changed[:, :, :5].abs().max()) == 0


def test_a_warped_sample_has_the_patchs_size() -> None:
    augmentation = Augmentation((8, 10), (0, 1))
    draw = SpatialDraw(np.eye(2) * 1.4, (12, 14))
    image, label = augmentation.apply(torch.randn(3, 12, 14), torch.zeros(1, 12, 14, dtype=torch.int16), draw, 0)
    assert image.shape == (3, 8, 10) and label.shape == (1, 8, 10) and label.dtype == torch.int16


def test_blur_equals_scipys_gaussian_filter() -> None:
    channel = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)
    expected = ndimage.gaussian_filter(channel, 0.8, mode="nearest", truncate=3)
    assert np.allclose(blur(torch.from_numpy(channel), 0.8).numpy(), expected, atol=1e-4)


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
    for changed in (gamma(channel, 0.7, True), contrast(channel, 0.75), low_resolution(channel, 0.5), blur(channel, 1.0)):
        assert torch.allclose(changed, channel, atol=1e-5)
