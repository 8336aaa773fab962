"""Elastic deformation: as strong and smooth as smoothed noise, never folded, image and label alike, in-plane where it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.trainers.augmentation import AUGMENTATIONS, Augmentation, warp
from autoseg.trainers.augmentation.elastic import LARGEST, ElasticField, draw_elastic
from autoseg.trainers.augmentation.spatial import draw_spatial

CPU = torch.device("cpu")
ONLY_ELASTIC = replace(AUGMENTATIONS["elastic"], rotation=0, scaling=0, elastic=1, gamma=0)


def displacement(field: ElasticField, patch: tuple[int, ...]) -> np.ndarray:
    return field.displacement(patch, CPU).numpy().astype(float)


def jacobian_determinant(moved_by: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, moved_by.ndim))
    gradients = np.stack([np.stack(np.gradient(component)) for component in moved_by])  # (component, axis, *patch)
    return np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1)) + np.eye(len(axes)))


def test_control_points_on_a_plane_give_that_plane() -> None:
    # cubic B-splines reproduce linear functions: a control point of 0.1 × its place gives 0.1 × the voxel's place
    points, spacing = 7, 6.0
    ramp = 0.1 * spacing * (np.arange(points) - 3)
    field = ElasticField(np.stack((np.zeros((points, points)), np.broadcast_to(ramp, (points, points)))), spacing)
    moved_by = displacement(field, (9, 21))
    assert np.allclose(moved_by[0], 0)
    assert np.allclose(moved_by[1], 0.1 * (np.arange(21) - 10), atol=1e-5)


@pytest.mark.parametrize(("patch", "alpha"), [((40, 40, 40), 300.0), ((64, 64), 50.0)])
def test_the_field_is_as_strong_and_smooth_as_noise_that_a_gaussian_smoothed(patch: tuple[int, ...], alpha: float) -> None:
    rng = np.random.default_rng(0)
    ours = np.stack([displacement(draw_elastic(patch, (alpha, alpha), (9.0, 9.0), rng), patch)[-1] for _ in range(40)])
    wide = tuple(size + 54 for size in patch)  # away from the border that the filter sees
    inner = tuple(slice(27, -27) for _ in patch)
    noise = np.stack([alpha * ndimage.gaussian_filter(rng.uniform(-1, 1, wide), 9.0)[inner] for _ in range(12)])
    assert ours.std() == pytest.approx(noise.std(), rel=0.2)
    steps = [np.diff(fields, axis=-1).std() / fields.std() for fields in (ours, noise)]
    assert steps[0] == pytest.approx(steps[1], rel=0.15)


@pytest.mark.parametrize("patch", [(40, 56, 40), (24, 64, 72), (48, 40)])
def test_no_draw_folds(patch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    alpha = ONLY_ELASTIC.elastic_alpha if len(patch) == 3 else ONLY_ELASTIC.elastic_alpha_2d
    for _ in range(8):
        field = draw_elastic(patch, (alpha[1], alpha[1]), (9.0, 9.0), rng)  # the strongest and roughest of the set
        assert jacobian_determinant(displacement(field, patch)).min() > 0


@pytest.mark.parametrize("dimensions", [2, 3])
def test_not_even_the_largest_control_points_of_any_signs_fold(dimensions: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(8):
        field = ElasticField(LARGEST[dimensions] * 16 * rng.choice([-1.0, 1.0], (dimensions, *[6] * dimensions)), 16.0)
        assert jacobian_determinant(displacement(field, (49,) * dimensions)).min() > 0


def test_the_field_keeps_within_its_bound() -> None:
    rng = np.random.default_rng(3)
    for patch in ((40, 56, 40), (12, 48, 50), (30, 90)):
        for _ in range(10):
            field = draw_elastic(patch, (900.0, 900.0), (9.0, 13.0), rng)
            moved_by = np.abs(displacement(field, patch)).reshape(len(patch), -1).max(axis=1)
            assert np.all(moved_by <= field.bound(len(patch)) + 1e-5)
            assert np.all(field.bound(len(patch)) <= LARGEST[len(patch)] * field.spacing)


def test_shorter_axes_move_less() -> None:
    rng = np.random.default_rng(4)
    patch = (20, 60, 60)
    fields = [displacement(draw_elastic(patch, (200.0, 200.0), (9.0, 9.0), rng), patch) for _ in range(40)]
    moved_by = np.stack(fields).std(axis=(0, 2, 3, 4))
    assert moved_by[0] / moved_by[1:].mean() == pytest.approx(1 / 3, rel=0.2)


def test_an_alpha_of_zero_gives_back_the_patch() -> None:
    augmentation = Augmentation((12, 14, 10), (), transforms=replace(ONLY_ELASTIC, elastic_alpha=(0.0, 0.0)))
    draw = augmentation.draw_spatial(np.random.default_rng(0))
    assert draw is not None and draw.elastic is not None and draw.region_size == (12, 14, 10)
    image, label = torch.randn(2, 12, 14, 10), torch.randint(0, 3, (1, 12, 14, 10), dtype=torch.int16)
    same_image, same_label = augmentation.apply(image, label, draw, 0)
    assert torch.allclose(same_image, image, atol=1e-4) and torch.equal(same_label, label)


@pytest.mark.parametrize("patch", [(20, 24, 22), (6, 32, 30), (28, 26)])
def test_warp_equals_scipys_map_coordinates(patch: tuple[int, ...]) -> None:
    transforms = replace(AUGMENTATIONS["elastic"], rotation=1, scaling=1, elastic=1)
    draw = draw_spatial(patch, transforms, np.random.default_rng(5))
    assert draw is not None and draw.elastic is not None
    image = np.random.default_rng(6).normal(size=draw.region_size).astype(np.float32)
    label = torch.zeros(1, *draw.region_size, dtype=torch.int16)
    warped, _ = warp(torch.from_numpy(image)[None], label, draw.matrix, patch, draw.elastic)
    offsets = np.stack(np.meshgrid(*((np.arange(size) - (size - 1) / 2) for size in patch), indexing="ij"))
    places = np.einsum("ij,j...->i...", draw.matrix, offsets + displacement(draw.elastic, patch))
    centre = ((np.array(draw.region_size) - 1) / 2).reshape(-1, *(1 for _ in patch))
    assert np.allclose(warped[0].numpy(), ndimage.map_coordinates(image, places + centre, order=1), atol=1e-3)


def test_the_region_that_is_read_holds_every_voxel_that_is_shown() -> None:
    rng = np.random.default_rng(7)
    for patch in ((16, 24, 20), (5, 24, 20), (24, 30)):
        transforms = replace(AUGMENTATIONS["elastic"], rotation=0.5, scaling=0.5, elastic=1)
        for _ in range(40):
            draw = draw_spatial(patch, transforms, rng)
            assert draw is not None
            ones = torch.ones(1, *draw.region_size)
            warped, _ = warp(ones, ones.to(torch.int16), draw.matrix, patch, draw.elastic)
            assert float(warped.min()) > 0.999


def test_image_and_label_move_together() -> None:
    augmentation = Augmentation((24, 28, 26), (0, 1, 2), transforms=ONLY_ELASTIC)
    rng = np.random.default_rng(8)
    for seed in range(5):
        draw = augmentation.draw_spatial(rng)
        assert draw is not None
        offsets = np.stack(np.meshgrid(*((np.arange(size) - size / 2) for size in draw.region_size), indexing="ij"))
        inside = torch.from_numpy(8 - np.sqrt((offsets ** 2).sum(0)).astype(np.float32))[None]  # voxels to a ball's surface
        label = (inside > 0).to(torch.int16)
        moved, moved_label = augmentation.apply(torch.cat((inside, label)), label, draw, seed)
        assert torch.equal(moved_label[0] == 1, moved[1] > 0.5)
        clearly = moved[0].abs() > 1
        assert torch.equal((moved_label[0] == 1)[clearly], (moved[0] > 0)[clearly]) and int(clearly.sum()) > 0


def test_flat_patches_are_deformed_in_plane_only_and_alike_in_all_slices() -> None:
    draw = draw_spatial((4, 32, 36), ONLY_ELASTIC, np.random.default_rng(9))
    assert draw is not None and draw.elastic is not None and draw.region_size[0] == 4
    moved_by = displacement(draw.elastic, (4, 32, 36))
    assert np.abs(moved_by[0]).max() == 0 and np.abs(moved_by[1:]).max() > 0
    assert np.array_equal(moved_by[:, 0], moved_by[:, 3])


def test_the_same_seed_gives_the_same_field_and_a_fifth_of_the_samples_are_deformed() -> None:
    transforms = AUGMENTATIONS["elastic"]
    draws = [[draw_spatial((12, 14, 10), transforms, np.random.default_rng(seed)) for seed in range(300)] for _ in range(2)]
    fields = [[draw.elastic for draw in these if draw and draw.elastic] for these in draws]
    assert 35 < len(fields[0]) < 90
    for one, other in zip(*fields, strict=True):
        assert np.array_equal(one.control_points, other.control_points) and one.spacing == other.spacing


def test_intensities_change_by_gamma_alone() -> None:
    image, label = torch.randn(1, 10, 12), torch.zeros(1, 10, 12, dtype=torch.int16)
    augmentation = Augmentation((10, 12), (), transforms=AUGMENTATIONS["elastic"])
    changed = [augmentation.apply(image, label, None, seed)[0] for seed in range(60)]
    different = [one for one in changed if not torch.equal(one, image)]
    assert 8 < len(different) < 30  # p = 0.3
    for one in different:  # gamma keeps the order of intensities
        assert torch.equal(one.flatten().argsort(), image.flatten().argsort())
