"""Logits over a whole image, given away in slabs: against a plain full-size accumulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from autoseg.inference import sliding_window
from autoseg.inference.sliding_window import axis_spans, count_tiles, gaussian_weights, stream_logits, tile_starts


def dense_logits(predict, data: np.ndarray, patch: tuple[int, ...], classes: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The reference: pad, accumulate weighted logits and weights of all tiles over the whole volume, divide, crop."""
    size = data.shape[1:]
    short = [max(p - n, 0) for p, n in zip(patch, size, strict=True)]
    padded = np.pad(data, [(0, 0), *((s // 2, s - s // 2) for s in short)]).astype(np.float64)
    peak = np.zeros(patch)
    peak[tuple(p // 2 for p in patch)] = 1
    weights = gaussian_filter(peak, [p / 8 for p in patch], mode="constant")
    weights /= weights.max()
    total, share = np.zeros((classes, *padded.shape[1:])), np.zeros(padded.shape[1:])
    for start in product(*(tile_starts(n, p) for n, p in zip(padded.shape[1:], patch, strict=True))):
        where = (slice(None), *(slice(s, s + p) for s, p in zip(start, patch, strict=True)))
        total[where] += predict(torch.from_numpy(padded[where][None]).float())[0].numpy() * weights
        share[where[1:]] += weights
    cut = tuple(slice(s // 2, s // 2 + n) for s, n in zip(short, size, strict=True))
    return (total / share)[(slice(None), *cut)]


def gather(slabs) -> np.ndarray:  # type: ignore[no-untyped-def]
    """All slabs as one array, after a check that they follow one another without gaps."""
    parts, row = [], 0
    for first, slab in slabs:
        assert first == row
        row += slab.shape[1]
        parts.append(slab)
    return np.concatenate(parts, axis=1)


def position_dependent(classes: int):  # type: ignore[no-untyped-def]
    """A "network" whose answer depends on where in the tile a voxel lies, so that weights and places matter."""

    def predict(tile: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-1, 1, tile[0, 0].numel()).view(tile.shape[2:])
        return torch.stack([tile.sum(1) * (k + 1) + ramp * k + tile.mean() for k in range(classes)], dim=1)

    return predict


@pytest.mark.parametrize(("size", "patch", "expected"), [
    (110, 64, [0, 23, 46]),  # nnU-Net's own example: the step shrinks from 32 to 23 so that the last tile ends at 110
    (64, 64, [0]),
    (65, 64, [0, 1]),
    (10, 16, [-3]),
    (9, 16, [-3]),  # 7 voxels short: 3 below, 4 above
    (219, 64, [0, 31, 62, 93, 124, 155]),
])
def test_tiles_are_evenly_spread_over_an_axis(size: int, patch: int, expected: list[int]) -> None:
    assert tile_starts(size, patch) == expected


@pytest.mark.parametrize("patch", [1, 2, 5, 8, 33, 64])
def test_weights_are_scipys_gaussian_of_one_voxel_and_never_zero(patch: int) -> None:
    peak = np.zeros(patch)
    peak[patch // 2] = 1
    expected = gaussian_filter(peak, patch / 8, mode="constant")
    np.testing.assert_allclose(gaussian_weights(patch), expected / expected.max(), rtol=1e-9)
    assert gaussian_weights(patch).min() > 0


@pytest.mark.parametrize(("size", "patch"), [(40, 16), (16, 16), (7, 16), (100, 9)])
def test_weights_of_all_tiles_sum_to_one_at_each_voxel(size: int, patch: int) -> None:
    total = np.zeros(size)
    for span in axis_spans(size, patch):
        total[span.image] += span.weights
    np.testing.assert_allclose(total, 1, rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_streamed_logits_equal_a_full_size_accumulation(seed: int) -> None:
    random = np.random.default_rng(seed)
    size, patch = tuple(random.integers(3, 24, 3)), tuple(int(p) for p in random.integers(4, 16, 3))
    data = random.normal(size=(2, *size)).astype(np.float32)
    predict = position_dependent(3)
    np.testing.assert_allclose(gather(stream_logits(predict, data, patch, 3)), dense_logits(predict, data, patch, 3), atol=1e-5)


@pytest.mark.parametrize("slices", [1, 5, 9])
def test_a_2d_network_sees_slices_as_batches_and_each_slice_alone(slices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliding_window, "VOXELS_OF_A_2D_BATCH", 4 * 8 * 10)
    data = np.random.default_rng(0).normal(size=(1, slices, 13, 17)).astype(np.float32)
    batches = []

    def predict(tile: torch.Tensor) -> torch.Tensor:
        batches.append(len(tile))
        return torch.cat([tile * (k + 1) + tile.mean((1, 2, 3), keepdim=True) for k in range(2)], dim=1)

    streamed = gather(stream_logits(predict, data, (8, 10), 2))
    assert max(batches) == min(slices, 4)
    for z in range(slices):
        np.testing.assert_allclose(streamed[:, z], dense_logits(predict, data[:, z], (8, 10), 2), atol=1e-5)


def test_a_network_that_gives_back_its_input_gives_back_the_image() -> None:
    data = np.random.default_rng(1).normal(size=(3, 20, 11, 15)).astype(np.float32)
    streamed = gather(stream_logits(lambda tile: tile, data, (8, 8, 6), 3))
    np.testing.assert_allclose(streamed, data, atol=1e-5)
    assert (streamed.argmax(0) == data.argmax(0)).all()


def test_slabs_stay_as_they_are_when_later_ones_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliding_window, "SLAB_BYTES", 1)
    data = np.random.default_rng(2).normal(size=(1, 30, 6, 6)).astype(np.float32)
    slabs = list(stream_logits(lambda tile: tile, data, (8, 6, 6), 1))
    assert all(slab.shape == (1, 1, 6, 6) for _, slab in slabs)
    np.testing.assert_allclose(gather(slabs), data, atol=1e-6)


def test_only_as_many_tiles_are_computed_as_the_next_slab_needs() -> None:
    done: list[int] = []
    data = np.zeros((1, 32, 8, 8), np.float32)
    slabs = stream_logits(lambda tile: tile, data, (16, 8, 8), 1, tile_done=lambda: done.append(1))
    first, slab = next(slabs)
    assert (first, slab.shape[1], len(done)) == (0, 8, 1)
    assert [(first, slab.shape[1]) for first, slab in slabs] == [(8, 8), (16, 16)]
    assert len(done) == 3 == count_tiles(data.shape, (16, 8, 8))


@pytest.mark.parametrize("patch", [(8, 6, 7), (9, 8), (32, 32, 32), (4, 4)])
def test_tiles_are_counted_ahead(patch: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliding_window, "VOXELS_OF_A_2D_BATCH", 2 * patch[0] * patch[1])
    done: list[int] = []
    data = np.zeros((1, 11, 17, 14), np.float32)
    list(stream_logits(lambda tile: tile, data, patch, 1, tile_done=lambda: done.append(1)))
    assert len(done) == count_tiles(data.shape, patch)


@pytest.mark.parametrize(("shape", "patch"), [((9, 11, 8), (4, 6, 4)), ((3, 9, 10), (4, 6, 4)), ((5, 11, 8), (6, 4))])
def test_sums_in_float16_are_nnunets(shape: tuple[int, int, int], patch: tuple[int, ...]) -> None:
    """Worked out as nnU-Net does it: over the whole padded image, weights up to 10, each sum rounded to float16."""
    data = np.random.default_rng(0).normal(0, 3, (1, *shape)).astype(np.float32)
    full = (1, *patch) if len(patch) == 2 else patch
    missing = [max(0, size - own) for size, own in zip(full, shape, strict=True)]
    before = [gap // 2 for gap in missing]
    padded = np.pad(data[0], [(low, gap - low) for low, gap in zip(before, missing, strict=True)])
    peak = np.zeros(patch)
    peak[tuple(size // 2 for size in patch)] = 1
    weights = gaussian_filter(peak, [size / 8 for size in patch], 0, mode="constant")
    weights = (weights / (weights.max() / 10)).astype(np.float16).reshape(full)
    weights[weights == 0] = weights[weights > 0].min()
    total, count = np.zeros(padded.shape, np.float16), np.zeros(padded.shape, np.float16)
    starts = [range(own) if size == 1 else tile_starts(own, size) for own, size in zip(padded.shape, full, strict=True)]
    for corner in product(*starts):
        box = tuple(slice(start, start + size) for start, size in zip(corner, full, strict=True))
        weighted = padded[box] * weights.astype(np.float32)
        total[box] = (total[box].astype(np.float32) + weighted).astype(np.float16)
        count[box] += weights
    inner = tuple(slice(low, low + size) for low, size in zip(before, shape, strict=True))
    expected = (total / count)[inner]
    found = np.concatenate([rows for _, rows in stream_logits(lambda tile: tile, data, patch, 1, in_float16=True)], axis=1)[0]
    assert found.dtype == np.float16
    assert np.array_equal(found, expected)
