"""A case through transposing, cropping, normalization and resampling, and back; datasets that are interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.transform import resize as skimage_resize

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.plan import Configuration, IntensityStatistics, Plans, Topology
from autoseg.preprocessing.pipeline import preprocess_case, preprocess_image, to_original_grid

NETWORK = Topology(features=(8,), strides=((1, 1, 1),), kernel_sizes=((3, 3, 3),), convs_per_stage=(2,))
CT = IntensityStatistics(mean=10, std=5, median=10, percentile_00_5=0, percentile_99_5=20)


def configuration(**changes: Any) -> Configuration:
    given: dict[str, Any] = {
        "spacing_mm": (1, 1, 1), "median_shape": (8, 8, 8), "patch_size": (8, 8, 8), "batch_size": 2,
        "normalization": ("none",), "normalize_inside_mask": (False,), "network": NETWORK,
    }
    return Configuration(**(given | changes))


def plans_for(*configurations: Configuration, transpose: tuple[int, int, int] = (0, 1, 2)) -> Plans:
    return Plans(
        dataset="Dataset001_T", planner="default", transpose=transpose, versions={}, foreground_intensities={"0": CT},
        configurations={f"c{i}": c for i, c in enumerate(configurations)},
    )


def image_of(array: np.ndarray, spacing_mm: tuple[float, float, float] = (1, 1, 1)) -> Image:
    return Image(array, Geometry(spacing_mm))


def test_the_image_is_transposed_cropped_and_resampled_in_this_order() -> None:
    array = np.zeros((1, 6, 10, 8), np.int16)
    array[0, 1:5, 2:10, 3:7] = np.random.default_rng(0).integers(1, 100, (4, 8, 4))
    image = image_of(array, (1, 0.8, 2))
    data, properties = preprocess_image(image, "a", plans_for(configuration(), transpose=(2, 0, 1)), configuration())
    assert properties.crop_box == ((3, 7), (1, 5), (2, 10))
    assert (properties.shape_original, properties.spacing_mm) == ((6, 10, 8), (1, 0.8, 2))
    assert (properties.shape_cropped, properties.shape_resampled) == ((4, 4, 8), (8, 4, 6))
    assert properties.spacing_transposed_mm == (2, 1, 0.8)
    cropped = array[0, 1:5, 2:10, 3:7].transpose(2, 0, 1).astype(float)
    expected = skimage_resize(cropped, (8, 4, 6), 3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(data[0], expected, atol=1e-4)
    assert data.dtype == np.float32 and (array[0, 1] != 0).any()


def test_anisotropic_images_take_the_nearest_slice() -> None:
    array = np.random.default_rng(1).normal(size=(1, 3, 12, 12)).astype(np.float32)
    data, _ = preprocess_image(image_of(array, (4, 1, 1)), "a", plans_for(), configuration(spacing_mm=(2, 1.5, 1.5)))
    in_plane = [skimage_resize(s.astype(float), (8, 8), 3, mode="edge", anti_aliasing=False) for s in array[0]]
    np.testing.assert_allclose(data[0], np.repeat(in_plane, 2, axis=0), atol=1e-5)


def test_two_dimensional_configurations_keep_the_slices() -> None:
    array = np.random.default_rng(2).normal(size=(1, 3, 12, 12)).astype(np.float32)
    network = Topology(features=(8,), strides=((1, 1),), kernel_sizes=((3, 3),), convs_per_stage=(2,))
    flat = configuration(spacing_mm=(2, 2), patch_size=(8, 8), median_shape=(8, 8), network=network)
    data, properties = preprocess_image(image_of(array, (4, 1, 1)), "a", plans_for(), flat)
    assert data.shape == (1, 3, 6, 6) and properties.spacing_resampled_mm == (4, 2, 2)
    slices = [skimage_resize(s.astype(float), (6, 6), 3, mode="edge", anti_aliasing=False) for s in array[0]]
    np.testing.assert_allclose(data[0], slices, atol=1e-5)


def test_each_channel_has_its_own_normalization() -> None:
    array = np.ones((2, 1, 1, 4), np.float32)
    array[:, 0, 0] = [[0, 10, 15, 40], [1, 3, 1, 3]]
    both = configuration(normalization=("ct", "zscore"), normalize_inside_mask=(False, False))
    data, _ = preprocess_image(image_of(array), "a", plans_for(), both)
    np.testing.assert_allclose(data[:, 0, 0], [[-2, 0, 1, 2], [-1, 1, -1, 1]])


def test_normalization_inside_the_mask_counts_holes_and_leaves_the_outside_zero() -> None:
    array = np.full((1, 5, 5, 5), 3.0, np.float32)
    array[0, 2, 2, 2] = 0  # a hole: inside
    array[0, 0, 0, 0] = 0  # a corner: outside
    masked = configuration(normalization=("zscore",), normalize_inside_mask=(True,))
    data, _ = preprocess_image(image_of(array), "a", plans_for(), masked)
    inside = np.delete(array.ravel(), 0)
    np.testing.assert_allclose(data[0, 2, 2, 2], -inside.mean() / inside.std(), rtol=1e-5)
    assert data[0, 0, 0, 0] == 0


@pytest.mark.parametrize("scheme", ["ct", "zscore", "rescale_0_1", "rgb", "none"])
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_gives_numbers(scheme: str, value: int) -> None:
    array = np.full((1, 4, 5, 6), value, np.uint8)
    data, _ = preprocess_image(
        image_of(array, (2, 1, 1)), "a", plans_for(), configuration(normalization=(scheme,), normalize_inside_mask=(True,))
    )
    assert data.shape == (1, 8, 5, 6) and np.isfinite(data).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 7)])
def test_one_voxel_and_one_slice_go_through_and_back(shape: tuple[int, int, int]) -> None:
    image, label = image_of(np.ones((1, *shape), np.float32)), image_of(np.ones((1, *shape), np.uint8))
    data, seg, properties = preprocess_case(image, label, "a", plans_for(), configuration(spacing_mm=(3, 2, 2)))
    assert data.shape == seg.shape == (1, *properties.shape_resampled)
    assert (data == 1).all() and (seg == 1).all()
    np.testing.assert_array_equal(to_original_grid(np.ones(shape, np.uint8), properties), np.ones(shape))


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_labels_come_back_to_the_grid_that_they_were_cropped_and_transposed_from(
    transpose: tuple[int, int, int]
) -> None:
    array = np.zeros((1, 5, 7, 9), np.int16)
    array[0, 1:4, 2:7, 3:5] = np.arange(1, 31).reshape(3, 5, 2)
    plans = plans_for(configuration(), transpose=transpose)
    data, seg, properties = preprocess_case(image_of(array), image_of(array), "a", plans, configuration())
    assert seg.dtype == np.int8
    np.testing.assert_array_equal(to_original_grid(seg[0], properties), array[0])
    np.testing.assert_array_equal(data, seg)


def test_values_above_127_take_int16_and_absurd_ones_are_refused() -> None:
    array = np.full((1, 2, 2, 2), 200, np.int32)
    assert preprocess_case(image_of(array), image_of(array), "a", plans_for(), configuration())[1].dtype == np.int16
    with pytest.raises(AutosegError, match="40000"):
        preprocess_case(image_of(array), image_of(array * 200), "a", plans_for(), configuration())


@pytest.mark.parametrize(
    ("array", "label_shape", "message"),
    [
        (np.ones((2, 2, 2, 2)), (2, 2, 2), "case a: 2 channels were found, but the plans were made for 1"),
        (np.full((1, 2, 2, 2), np.nan), (2, 2, 2), "case a: channel 0 holds NaN"),
        (np.full((1, 2, 2, 2), 300.0), (2, 2, 2), "case a, channel 0: An RGB channel"),
        (np.ones((1, 2, 2, 2)), (2, 2, 3), r"case a: label has shape \(2, 2, 3\) but its image \(2, 2, 2\)"),
    ],
)
def test_what_does_not_fit_is_named_with_the_case(array: np.ndarray, label_shape: tuple[int, ...], message: str) -> None:
    label = image_of(np.zeros((1, *label_shape), np.uint8))
    with pytest.raises(AutosegError, match=message):
        preprocess_case(image_of(array), label, "a", plans_for(), configuration(normalization=("rgb",)))
