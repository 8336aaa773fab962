"""Components of unions from one labelling, against labelling each union anew; distances against brute force."""

from __future__ import annotations

from itertools import combinations

import cc3d
import numpy as np
import pytest
from scipy import ndimage

from autoseg.components import surfaces
from autoseg.components.graph import component_graph, label_components
from autoseg.components.surfaces import LARGE
from autoseg.voxels import SLAB_VOXELS

TOUCHING = np.ones((3, 3, 3))


def scattered(shape: tuple[int, int, int], seed: int = 0, share: float = 0.15) -> np.ndarray:
    """Labels 1 to 4 in random voxels, many of which touch."""
    random = np.random.default_rng(seed)
    return (random.integers(1, 5, shape) * (random.random(shape) < share)).astype(np.uint8)


def as_sets(volume: np.ndarray, numbers: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(volume == number).tolist()) for number in numbers if number}


@pytest.mark.parametrize("shape", [(6, 9, 11), (1, 20, 20), (2, 1, 40)])
def test_joining_in_the_graph_gives_what_labelling_the_union_gives(shape: tuple[int, int, int]) -> None:
    labels = scattered(shape)
    graph = component_graph(labels, (1.0, 1.0, 1.0))
    for size in (1, 2, 4):
        for union in combinations((1, 2, 3, 4), size):
            expected, number = ndimage.label(np.isin(labels, union), TOUCHING)
            joined = graph.join(union, graph.everything())
            inner = np.zeros(len(graph.values), int)
            inner[joined.members] = joined.of + 1
            found = np.zeros(shape, int)
            found[graph.box] = inner[graph.components]
            assert as_sets(found, np.arange(1, number + 1)) == as_sets(expected, np.arange(1, number + 1))
            assert sorted(joined.voxels) == sorted(np.bincount(expected.ravel())[1:])


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(6, 9, 11), (1, 20, 20), (3, 1, 40), (2, 2, 2), (40, 330, 330)])
def test_components_touch_where_connected_components_3d_says_so(shape: tuple[int, int, int], share: float) -> None:
    labels = scattered(shape, share=share)
    if labels.size > SLAB_VOXELS:
        labels = labels[::8, ::8, ::8].repeat(8, 0).repeat(8, 1).repeat(8, 2)[:40, :330, :330]
    graph = component_graph(labels, (1.0, 1.0, 1.0))
    expected = cc3d.region_graph(graph.components, connectivity=26)
    assert {tuple(pair) for pair in graph.touching.tolist()} == {(min(pair), max(pair)) for pair in expected}


def test_without_a_component_that_bridges_them_the_others_are_apart() -> None:
    labels = np.array([[[1, 2, 1, 0, 1]]], np.uint8)
    graph = component_graph(labels, (1.0, 1.0, 1.0))
    assert graph.join((1, 2), graph.everything()).voxels.tolist() == [3, 1]
    without = graph.everything() & (graph.values != 2)
    assert graph.join((1, 2), without).voxels.tolist() == [1, 1, 1]


def test_values_and_voxels_are_counted_over_several_slabs() -> None:
    labels = np.zeros((40, 512, 512), np.uint16)
    assert labels.size > 2 * SLAB_VOXELS
    labels[1, 1, 1], labels[38, 500:505, 3], labels[2:37, 10:400, 10:400] = 300, 2, 1
    graph = component_graph(labels, (2.0, 1.0, 0.5))
    assert dict(zip(graph.values.tolist(), graph.voxels.tolist(), strict=True)) == {0: 0, 300: 1, 1: 35 * 390 * 390, 2: 5}
    assert graph.voxel_ml == 0.001 and graph.components.shape == (40, 506, 401)


def test_an_empty_volume_and_an_ignored_value_have_no_components() -> None:
    empty = np.zeros((3, 4, 5), np.uint8)
    for labels, ignore in ((empty, None), (empty + 9, 9)):
        graph = component_graph(labels, (1.0, 1.0, 1.0), ignore)
        assert graph.voxels.tolist() == [0] and len(graph.join((1, 2), graph.everything()).voxels) == 0
        assert graph.touching.shape == (0, 2)


def test_labels_of_another_byte_order_are_labelled_alike() -> None:
    labels = scattered((5, 6, 7)).astype(np.int16)
    graph, other = (component_graph(array, (1.0, 1.0, 1.0)) for array in (labels, labels.astype(">i2")))
    assert np.array_equal(graph.components, other.components)


@pytest.mark.parametrize("large", [1, LARGE])
@pytest.mark.parametrize("shape", [(7, 8, 9), (1, 12, 12)])
def test_distances_are_those_between_the_nearest_voxels(
    shape: tuple[int, int, int], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surfaces, "LARGE", large)
    labels, spacing_mm = scattered(shape, seed=1, share=0.1), (3.0, 0.7, 1.1)
    graph = component_graph(labels, spacing_mm)
    numbers = np.arange(1, len(graph.values))
    others, members, group = numbers[::2], numbers[[7, 1, 5, 3]], np.array([9, 4, 6, 4])
    away = ndimage.distance_transform_edt(~np.isin(graph.components, others), sampling=spacing_mm)
    expected = [away[np.isin(graph.components, members[group == which])].min() for which in (4, 6, 9)]
    nearest_mm = graph.surfaces.nearest_mm
    assert nearest_mm(members, group, others) == pytest.approx(expected)
    limit_mm = float(np.median(expected)) + 0.01
    within = nearest_mm(members, group, others, limit_mm)
    assert np.array_equal(np.isfinite(within), np.array(expected) < limit_mm)
    assert np.isinf(nearest_mm(members, group, others[:0])).all() and nearest_mm(members[:0], group[:0], others).size == 0


def test_large_components_are_as_far_apart_as_their_surfaces() -> None:
    labels = np.zeros((40, 330, 330), np.uint8)
    labels[:, :100, :100] = 1
    labels[5:9, 150:300, 150:300] = 1
    graph = component_graph(labels, (2.0, 1.0, 1.0))
    expected = np.hypot(51, 51)
    assert graph.surfaces.nearest_mm(np.array([2]), np.array([0]), np.array([1])) == pytest.approx([expected])


def test_components_of_a_mask_are_numbered_even_in_a_line() -> None:
    mask = np.array([[[1, 0, 1]]], bool)
    components, number = label_components(mask)
    assert number == 2 and components.tolist() == [[[1, 0, 2]]]
