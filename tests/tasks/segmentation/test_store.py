"""Preprocessed cases on disk: patches, foreground samples, and what an interrupted write leaves."""

from __future__ import annotations

from pathlib import Path

import blosc2
import numpy as np
import pytest

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.preprocessing.store import CaseProperties
from autoseg.tasks.segmentation.store import ANNOTATED, described_volume, open_volume, sample_foreground, write_volume

KIDNEY = Labels(values={"background": 0, "kidney": 1, "tumour": 2})


def properties(shape: tuple[int, int, int], case: str = "a") -> CaseProperties:
    box = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    return CaseProperties(
        case=case, shape_original=shape, spacing_mm=(3, 1, 1), transpose=(0, 1, 2), crop_box=box, shape_cropped=shape,
        shape_resampled=shape, spacing_resampled_mm=(3, 1, 1), versions={"autoseg": "0"},
    )


def arrays(shape: tuple[int, int, int], channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    seg = np.zeros((1, *shape), np.int8)
    seg[0, 1:, 2:9, 3:8] = 1
    seg[0, 1, 3:5, 4] = 2
    return rng.normal(size=(channels, *shape)).astype(np.float32), seg


def write(folder: Path, shape: tuple[int, int, int] = (12, 40, 30), digest: str = "d") -> tuple[np.ndarray, np.ndarray]:
    data, seg = arrays(shape)
    write_volume(folder, data, seg, properties(shape), KIDNEY, (8, 16, 16), digest)
    return data, seg


def test_patches_are_read_as_they_were_written(tmp_path: Path) -> None:
    data, seg = write(tmp_path)
    case = open_volume(tmp_path, "a")
    assert (case.name, case.shape, case.properties) == ("a", (12, 40, 30), properties((12, 40, 30)))
    np.testing.assert_array_equal(case.read_data(), data)
    box = ((3, 9), (0, 17), (20, 30))
    np.testing.assert_array_equal(case.read_data(box), data[:, 3:9, :17, 20:])
    np.testing.assert_array_equal(case.read_seg(box), seg[:, 3:9, :17, 20:])
    assert case.read_data(box).dtype == np.float32 and case.read_seg(box).dtype == np.int8


def test_a_box_is_clipped_to_the_grid(tmp_path: Path) -> None:
    data, _ = write(tmp_path)
    read = open_volume(tmp_path, "a").read_data(((-2, 3), (38, 44), (0, 30)))
    np.testing.assert_array_equal(read, data[:, :3, 38:])


def test_every_voxel_of_a_small_class_is_sampled(tmp_path: Path) -> None:
    _, seg = write(tmp_path)
    case = open_volume(tmp_path, "a")
    assert case.foreground_counts == {1: int((seg == 1).sum()), 2: 2}
    np.testing.assert_array_equal(case.voxels_of(1), np.argwhere(seg[0] == 1))
    assert case.voxels_of(2).tolist() == [[1, 3, 4], [1, 4, 4]]
    assert case.voxels_of(3).shape == (0, 3)


def test_a_large_class_gives_10_000_different_voxels_spread_evenly() -> None:
    seg = np.zeros((20, 50, 60), np.int8)
    seg[2:18, 5:45, 5:55] = 1
    [(key, (count, voxels))] = sample_foreground(seg, "a", KIDNEY)
    assert (key, count) == (1, 16 * 40 * 50)
    assert len(np.unique(voxels)) == 10_000 and (seg.ravel()[voxels] == 1).all()
    per_slice = np.bincount(np.unravel_index(voxels, seg.shape)[0], minlength=20)
    assert (per_slice[:2] == 0).all() and per_slice[2:18].min() > 500 and per_slice[2:18].max() < 750
    [(_, (_, again))] = sample_foreground(seg, "a", KIDNEY)
    [(_, (_, other))] = sample_foreground(seg, "b", KIDNEY)
    np.testing.assert_array_equal(voxels, again)
    assert not np.array_equal(voxels, other)


def test_regions_are_sampled_as_unions_by_their_place() -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
    seg = np.zeros((1, 2, 4), np.int8)
    seg[0, 0] = [0, 1, 2, 1]
    found = dict(sample_foreground(seg, "a", labels))
    assert {key: (count, voxels.tolist()) for key, (count, voxels) in found.items()} == {0: (3, [1, 2, 3]), 1: (1, [2])}


def test_with_an_ignore_label_all_annotated_voxels_are_sampled_too() -> None:
    labels = Labels(values={"background": 0, "kidney": 1, "ignore": 2}, ignore=2)
    seg = np.array([[[0, 1, 2, 2]]], np.int8)
    found = {key: voxels.tolist() for key, (_, voxels) in sample_foreground(seg, "a", labels)}
    assert found == {1: [1], ANNOTATED: [0, 1]}


def test_no_foreground_gives_no_samples(tmp_path: Path) -> None:
    shape = (1, 1, 1)
    write_volume(tmp_path, np.zeros((1, *shape), np.float32), np.zeros((1, *shape), np.int8), properties(shape), KIDNEY)
    case = open_volume(tmp_path, "a")
    assert case.foreground_counts == {}
    assert case.read_data().tolist() == [[[[0]]]]


@pytest.mark.parametrize("content", [b"", b"no array at all", None])
def test_a_damaged_array_is_named(tmp_path: Path, content: bytes | None) -> None:
    write(tmp_path)
    path = tmp_path / "seg" / "a.b2nd"
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(AutosegError, match=r"seg/a\.b2nd"):
        open_volume(tmp_path, "a")


def test_an_array_of_another_shape_and_a_lazy_expression_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "seg" / "a.b2nd"
    path.unlink()
    blosc2.asarray(np.zeros((1, 2, 3, 4), np.int8), urlpath=str(path))
    with pytest.raises(AutosegError, match=r"seg/a\.b2nd is damaged"):
        open_volume(tmp_path, "a")
    with pytest.raises(AutosegError, match=r"\(1, 2, 3, 4\).*\(1, 12, 40, 30\)"):
        described_volume(tmp_path, "a").read_seg()
    path.unlink()
    source = blosc2.asarray(np.zeros((1, 12, 40, 30), np.int8), urlpath=str(tmp_path / "source.b2nd"))
    (source + 1).save(str(path))
    with pytest.raises(AutosegError, match=r"seg/a\.b2nd"):
        described_volume(tmp_path, "a").read_seg()


@pytest.mark.parametrize(("now", "then", "said"), [
    ('"shape_resampled": [12, 40, 30]', '"shape_resampled": [12, 40, 31]', "shapes and case must be those of properties"),
    ('"foreground_counts": {', '"foreground_counts": {"9": 5, ', "counts voxels of 9, which its labels do not hold"),
    ('"foreground_counts": {', '"foreground_counts": {"9": -5, ', "greater than or equal to 0"),
])
def test_a_description_that_does_not_fit_its_arrays_is_told(tmp_path: Path, now: str, then: str, said: str) -> None:
    write(tmp_path)
    path = tmp_path / "a.json"
    assert now in path.read_text()
    path.write_text(path.read_text().replace(now, then))
    with pytest.raises(AutosegError, match=said):
        open_volume(tmp_path, "a").voxels_of(9)
