"""Structural similarity against answers worked out by hand and a plain computation with scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.trainers.losses.ms_ssim import ms_ssim, odd_window, scale_shapes


def similarity(image: np.ndarray, reference: np.ndarray, window: int = 11, scales: int = 5) -> float:
    """Of two maps without batch and channel axes."""
    as_maps = [torch.tensor(array, dtype=torch.float32)[None, None] for array in (image, reference)]
    return ms_ssim(*as_maps, window, scales).item()


def plain_ms_ssim(x: np.ndarray, y: np.ndarray, window: int, weights: list[float]) -> float:
    """As published, in float64: every axis has the same window and is halved at every scale; all sizes are even."""
    sigma, margin, value = 1.5 * window / 11, window // 2, 1.0
    for scale, weight in enumerate(weights):
        def mean(array: np.ndarray) -> np.ndarray:
            smooth = ndimage.gaussian_filter(array, sigma, radius=margin)
            return smooth[tuple(slice(margin, size - margin) for size in array.shape)]

        mean_x, mean_y = mean(x), mean(y)
        luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
        variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
        contrast_structure = (2 * (mean(x * y) - mean_x * mean_y) + 9e-4) / (variance_x + variance_y + 9e-4)
        last = scale == len(weights) - 1
        value *= (luminance * contrast_structure if last else contrast_structure).mean() ** weight
        for axis in range(0 if last else x.ndim):
            x, y = (0.5 * (a.take(range(0, a.shape[axis], 2), axis) + a.take(range(1, a.shape[axis], 2), axis)) for a in (x, y))
    return value


def blurred_pair(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth prediction and its target of 0 and 1."""
    rng = np.random.default_rng(0)
    truth = (ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.05).astype(float)
    return np.clip(ndimage.gaussian_filter(truth, 1.5) + 0.1 * rng.random(shape), 0, 1), truth


def test_five_scales_of_an_image_equal_a_plain_computation() -> None:
    image, truth = blurred_pair((192, 208))
    expected = plain_ms_ssim(image, truth, 11, [0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    assert similarity(image, truth) == pytest.approx(expected, abs=1e-5)


def test_five_scales_of_a_volume_equal_a_plain_computation() -> None:
    image, truth = blurred_pair((48, 64, 48))
    expected = plain_ms_ssim(image, truth, 3, [0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    assert similarity(image, truth, window=3) == pytest.approx(expected, abs=1e-5)


def test_a_small_volume_has_fewer_scales_whose_weights_sum_to_one() -> None:
    image, truth = blurred_pair((24, 28, 32))
    total = 0.0448 + 0.2856
    assert similarity(image, truth) == pytest.approx(plain_ms_ssim(image, truth, 11, [0.0448 / total, 0.2856 / total]), abs=1e-5)


def test_ssim_of_one_window_by_hand() -> None:
    """3 × 3 voxels are one window: x is 1 in the middle, y is 1 in the middle row. The window's sigma is 4.5 / 11."""
    side = math.exp(-0.5 / (4.5 / 11) ** 2)
    middle = 1 / (1 + 2 * side)  # weight of the middle along an axis
    mean_x, mean_y = middle**2, middle
    covariance = mean_x - mean_x * mean_y
    variances = mean_x - mean_x**2 + mean_y - mean_y**2
    expected = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4) * (2 * covariance + 9e-4) / (variances + 9e-4)
    x, y = np.zeros((3, 3)), np.zeros((3, 3))
    x[1, 1] = y[1] = 1
    assert similarity(x, y) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (32, 48), (200, 200), (1, 8, 9), (5, 64, 64), (33, 17, 21)])
def test_a_map_is_wholly_similar_to_itself(shape: tuple[int, ...]) -> None:
    image, _ = blurred_pair(shape)
    assert similarity(image, image) == pytest.approx(1, abs=1e-5)


def test_of_single_voxels_only_the_luminance_is_compared() -> None:
    expected = (2 * 0.5 * 1 + 1e-4) / (0.25 + 1 + 1e-4)
    assert similarity(np.full((1, 1, 1), 0.5), np.ones((1, 1, 1))) == pytest.approx(expected, abs=1e-6)


def test_windows_are_odd_and_fit_the_axis() -> None:
    assert [odd_window(size, 11) for size in (1, 2, 3, 8, 11, 12, 64)] == [1, 1, 3, 7, 11, 11, 11]
    assert odd_window(64, 10) == 9


def test_an_axis_is_halved_while_it_holds_its_window() -> None:
    assert scale_shapes((5, 64, 64), [5, 11, 11], 5) == [(5, 64, 64), (5, 32, 32), (5, 16, 16)]
    assert scale_shapes((40, 56, 40), [11, 11, 11], 5) == [(40, 56, 40), (20, 28, 20), (20, 14, 20)]
    assert scale_shapes((512, 512), [11, 11], 5) == [(512, 512), (256, 256), (128, 128), (64, 64), (32, 32)]
    assert scale_shapes((21, 1), [11, 1], 5) == [(21, 1), (11, 1)]


def test_every_map_is_compared_by_itself() -> None:
    image, truth = (torch.tensor(array, dtype=torch.float32) for array in blurred_pair((4, 24, 24)))
    together = ms_ssim(image.reshape(2, 2, 24, 24), truth.reshape(2, 2, 24, 24)).flatten()
    alone = [ms_ssim(x[None, None], y[None, None]).item() for x, y in zip(image, truth, strict=True)]
    assert together.tolist() == pytest.approx(alone, abs=1e-6)


def test_negative_structure_counts_as_the_floor_and_has_a_finite_gradient() -> None:
    _, truth = blurred_pair((32, 32))
    image = torch.tensor(1 - truth, dtype=torch.float32)[None, None].requires_grad_()
    value = ms_ssim(image, torch.tensor(truth, dtype=torch.float32)[None, None])
    assert 0 < value.item() < 1e-4
    (gradient,) = torch.autograd.grad(value.sum(), image)
    assert torch.isfinite(gradient).all()
