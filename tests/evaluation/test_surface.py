"""Surface distances against answers worked out by hand, SimpleITK's filters and every pair of voxels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.distance import cdist

from autoseg.errors import AutosegError
from autoseg.evaluation.surface import surface_distances, surface_distances_by_value, surface_voxels

SPACING_MM = (3.0, 2.0, 0.5)


def mask(shape: tuple[int, int, int], *voxels: tuple[int, int, int]) -> np.ndarray:
    array = np.zeros(shape, bool)
    for voxel in voxels:
        array[voxel] = True
    return array


def blob(seed: int) -> np.ndarray:
    """(14, 22, 26) bool: a ragged body with a hole and specks that touches no edge of the image."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((10, 18, 22)), 1.5)
    return np.pad(smooth > 0.03, 2)


@pytest.mark.parametrize(("other", "expected_mm"), [((2, 1, 1), 3.0), ((1, 2, 1), 2.0), ((1, 1, 5), 2.0), ((2, 2, 1), 13**0.5)])
def test_two_voxels_are_as_far_apart_as_the_spacing_says(other: tuple[int, int, int], expected_mm: float) -> None:
    found = surface_distances(mask((4, 4, 8), (1, 1, 1)), mask((4, 4, 8), other), SPACING_MM)
    assert found.hd95_mm == pytest.approx(expected_mm) and found.assd_mm == pytest.approx(expected_mm)
    assert found.nsd(expected_mm) == 1 and found.nsd(expected_mm - 0.01) == 0


def test_hd95_is_the_larger_percentile_and_assd_the_mean_of_both_surfaces_together() -> None:
    """One voxel against a row of 21 that begins at it: distances 0 and 0, 1, ..., 20 mm."""
    row = mask((1, 3, 30))
    row[0, 1, :21] = True
    found = surface_distances(mask((1, 3, 30), (0, 1, 0)), row, (1.0, 1.0, 1.0))
    assert sorted(found.pred_to_ref_mm) == list(range(21)) and list(found.ref_to_pred_mm) == [0]
    assert found.hd95_mm == pytest.approx(19) and found.assd_mm == pytest.approx(210 / 22)
    assert found.nsd(4) == pytest.approx(6 / 22)


def test_equal_masks_are_no_distance_apart() -> None:
    found = surface_distances(blob(0), blob(0), SPACING_MM)
    assert (found.hd95_mm, found.assd_mm, found.nsd(0)) == (0, 0, 1)


def test_two_empty_masks_have_no_distance_and_one_empty_mask_is_infinitely_far() -> None:
    empty, full = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    both = surface_distances(empty, empty, SPACING_MM)
    assert math.isnan(both.hd95_mm) and math.isnan(both.assd_mm) and math.isnan(both.nsd(2))
    for found in (surface_distances(full, empty, SPACING_MM), surface_distances(empty, full, SPACING_MM)):
        assert (found.hd95_mm, found.assd_mm, found.nsd(1000)) == (math.inf, math.inf, 0)


def test_the_surface_is_the_voxels_with_a_face_outside() -> None:
    cube = np.zeros((5, 5, 5), np.uint8)
    cube[1:4, 1:4, 1:4] = 1
    assert len(surface_voxels(cube)[1]) == 26
    assert len(surface_voxels(np.ones((5, 5, 5), np.uint8))[1]) == 125 - 27  # at the image's edge, too
    cube[2, 2, 2] = 0
    assert len(surface_voxels(cube)[1]) == 26  # the faces of the hole belong to voxels that are surface already
    assert surface_voxels(np.zeros((2, 2, 2), np.uint8)) == {} and surface_voxels(np.zeros((0, 2, 2), np.uint8)) == {}


def test_a_2d_image_has_its_contour_in_the_plane_and_a_slice_of_a_volume_is_all_surface() -> None:
    plane = np.zeros((1, 7, 7), np.uint8)
    plane[0, 1:6, 1:6] = 1
    assert len(surface_voxels(plane)[1]) == 16
    assert len(surface_voxels(np.moveaxis(plane, 0, 2))[1]) == 16
    assert len(surface_voxels(np.concatenate([plane, 0 * plane]))[1]) == 25
    assert list(surface_voxels(np.ones((1, 1, 1), np.uint8))[1]) == [0]


def test_touching_classes_have_each_their_own_surface() -> None:
    labels = np.random.default_rng(2).integers(0, 4, (6, 7, 8)).astype(np.uint16) * 300
    other = np.roll(labels, 1, 1)
    together = surface_distances_by_value(labels, other, SPACING_MM)
    assert list(together) == [300, 600, 900]
    for value, found in together.items():
        alone = surface_distances(labels == value, other == value, SPACING_MM)
        np.testing.assert_array_equal(found.ref_to_pred_mm, alone.ref_to_pred_mm)
        np.testing.assert_array_equal(found.pred_to_ref_mm, alone.pred_to_ref_mm)


def test_a_class_of_one_volume_only_is_infinitely_far_from_the_other() -> None:
    labels = np.array([[[0, 1, 2]]], np.uint8)
    found = surface_distances_by_value(labels, labels % 2, (1.0, 1.0, 1.0))
    assert found[1].hd95_mm == 0 and found[2].hd95_mm == math.inf


@pytest.mark.parametrize("seed", range(3))
def test_every_distance_equals_that_over_all_pairs_of_surface_voxels(seed: int) -> None:
    reference, prediction = blob(seed), blob(seed + 10)
    contours = [part & ~ndimage.binary_erosion(part) for part in (reference, prediction)]
    apart = cdist(*(np.argwhere(contour) * SPACING_MM for contour in contours))
    found = surface_distances(reference, prediction, SPACING_MM)
    np.testing.assert_allclose(found.ref_to_pred_mm, apart.min(axis=1))
    np.testing.assert_allclose(found.pred_to_ref_mm, apart.min(axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_all_three_measures_equal_simpleitks(seed: int) -> None:
    reference, prediction = blob(seed), blob(seed + 10)
    contours = []
    for part in (reference, prediction):
        image = sitk.GetImageFromArray(part.astype(np.uint8))
        image.SetSpacing(SPACING_MM[::-1])
        contours.append(sitk.LabelContour(image, fullyConnected=False))
    ref_to_pred, pred_to_ref = simpleitk_distances_mm(*contours), simpleitk_distances_mm(*contours[::-1])
    pooled = np.concatenate([ref_to_pred, pred_to_ref])
    found = surface_distances(reference, prediction, SPACING_MM)
    assert found.hd95_mm == pytest.approx(max(np.percentile(ref_to_pred, 95), np.percentile(pred_to_ref, 95)), rel=1e-5)
    assert found.assd_mm == pytest.approx(pooled.mean(), rel=1e-5)
    assert found.nsd(2.2) == pytest.approx((pooled <= 2.2).mean())
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*contours)
    assert max(found.ref_to_pred_mm.max(), found.pred_to_ref_mm.max()) == pytest.approx(hausdorff.GetHausdorffDistance())


def simpleitk_distances_mm(contour: sitk.Image, other: sitk.Image) -> np.ndarray:
    distances = sitk.SignedMaurerDistanceMap(other, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(distances)[sitk.GetArrayFromImage(contour) == 1].clip(min=0)  # negative inside `other`


def test_a_tolerance_of_whole_voxels_is_met_by_spacings_rounded_to_float32() -> None:
    spacing_mm = (1.0, 1.0, float(np.float32(0.1)))  # 0.10000000149
    found = surface_distances(mask((2, 2, 30), (0, 0, 0)), mask((2, 2, 30), (0, 0, 20)), spacing_mm)
    assert found.nsd(2.0) == 1


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(AutosegError, match=r"\(1, 1, 2\), its reference \(1, 1, 3\)"):
        surface_distances(np.ones((1, 1, 3), bool), np.ones((1, 1, 2), bool), SPACING_MM)
