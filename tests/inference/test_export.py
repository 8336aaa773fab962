"""From slabs of logits to labels on the image's own grid: against scikit-image's resize of whole volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.special import expit, softmax
from skimage.transform import resize

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.inference.export import resized_rows
from autoseg.preprocessing.store import CaseProperties
from autoseg.tasks.segmentation import probabilities
from autoseg.tasks.segmentation.ensemble import label_volumes

THREE_CLASSES = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))


def properties_of(
    cropped: tuple[int, int, int], resampled: tuple[int, int, int], transpose: tuple[int, int, int] = (0, 1, 2),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), offset: tuple[int, int, int] = (0, 0, 0), margin: int = 0,
    spacing_resampled_mm: tuple[float, float, float] | None = None,
) -> CaseProperties:
    """Of an image whose crop begins at `offset` and leaves `margin` voxels behind it; sizes are transposed ones."""
    transposed_shape = [n + o + margin for n, o in zip(cropped, offset, strict=True)]
    original = [0, 0, 0]
    for axis, size in zip(transpose, transposed_shape, strict=True):
        original[axis] = size
    z, y, x = ((o, o + n) for n, o in zip(cropped, offset, strict=True))
    transposed_mm = [spacing_mm[axis] for axis in transpose]
    resampled_mm = [mm * n / m for mm, n, m in zip(transposed_mm, cropped, resampled, strict=True)]
    return CaseProperties(
        case="a", shape_original=tuple(original), spacing_mm=spacing_mm, transpose=transpose, crop_box=(z, y, x),
        shape_cropped=cropped, shape_resampled=resampled, spacing_resampled_mm=spacing_resampled_mm or tuple(resampled_mm),
        versions={})


def in_slabs(logits: np.ndarray, rows: int = 3):  # type: ignore[no-untyped-def]
    """Slabs of at most `rows` rows."""
    for first in range(0, logits.shape[1], rows):
        yield first, logits[:, first : first + rows]


def export_labels(slabs: Any, case: CaseProperties, labels: Labels, save_probabilities: Path | None = None) -> np.ndarray:
    """From slabs to labels, of one model."""
    return label_volumes([resized_rows(slabs, case)], [(0,)], case, labels, save_probabilities)[0]


def random_logits(classes: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(classes, *shape)).astype(np.float32)


def resized(logits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([resize(channel, shape, order=1, mode="edge", anti_aliasing=False) for channel in logits])


@pytest.mark.parametrize(("resampled", "cropped"), [
    ((9, 8, 7), (9, 8, 7)),
    ((9, 8, 7), (14, 11, 16)),
    ((14, 11, 16), (9, 8, 7)),
    ((20, 12, 9), (3, 12, 9)),  # far fewer rows: most input rows are used by none
    ((1, 5, 6), (4, 5, 12)),
    ((4, 5, 6), (1, 1, 1)),
])
def test_logits_are_resized_linearly_as_by_scikit_image(
    resampled: tuple[int, int, int], cropped: tuple[int, int, int]
) -> None:
    logits = random_logits(3, resampled)
    rows = list(resized_rows(in_slabs(logits), properties_of(cropped, resampled)))
    assert [row for row, _ in rows] == list(range(cropped[0]))
    expected = resized(logits, cropped)
    np.testing.assert_allclose(np.stack([plane for _, plane in rows], axis=1), expected, atol=1e-5)
    labels = export_labels(in_slabs(logits), properties_of(cropped, resampled), THREE_CLASSES)
    assert labels.dtype == np.uint8
    assert (labels == expected.argmax(0)).mean() > 0.999


@pytest.mark.parametrize("apart", [0, 1, 2])
def test_a_much_coarser_axis_takes_the_nearest_slice_and_the_others_are_linear(apart: int) -> None:
    logits = random_logits(2, (6, 7, 8))
    cropped, spacing = [10, 11, 12], [1.0, 1.0, 1.0]
    cropped[apart], spacing[apart] = 9, 8.0
    case = properties_of(tuple(cropped), (6, 7, 8), spacing_mm=tuple(spacing))  # type: ignore[arg-type]
    in_plane = list(cropped)
    in_plane[apart] = logits.shape[1 + apart]
    planes = np.moveaxis(resized(logits, tuple(in_plane)), 1 + apart, 0)
    at = (np.arange(cropped[apart]) + 0.5) * len(planes) / cropped[apart] - 0.5
    nearest = map_coordinates(np.arange(len(planes)), at[None], order=0, mode="nearest")
    expected = np.moveaxis(planes[nearest], 0, 1 + apart)
    rows = [plane for _, plane in resized_rows(in_slabs(logits), case)]
    np.testing.assert_allclose(np.stack(rows, axis=1), expected, atol=1e-5)


def test_labels_return_through_crop_and_transpose_to_the_image_they_came_from() -> None:
    case = properties_of((4, 5, 6), (4, 5, 6), transpose=(2, 0, 1), offset=(1, 2, 3), margin=2)
    labels = np.random.default_rng(3).integers(0, 3, (4, 5, 6))
    logits = np.stack([labels == k for k in range(3)]).astype(np.float32)
    exported = export_labels(in_slabs(logits), case, THREE_CLASSES)
    assert exported.shape == case.shape_original == (9, 11, 7)
    inside = exported.transpose(2, 0, 1)[1:5, 2:7, 3:9]
    assert (inside == labels).all()
    assert exported.sum() == labels.sum()  # background everywhere else


def test_regions_are_painted_where_their_logit_is_positive() -> None:
    logits = random_logits(2, (3, 4, 5))
    exported = export_labels(in_slabs(logits), properties_of((3, 4, 5), (3, 4, 5)), REGIONS)
    assert (exported == np.where(logits[1] > 0, 2, np.where(logits[0] > 0, 1, 0))).all()


def test_slabs_that_end_too_early_are_no_segmentation() -> None:
    with pytest.raises(ValueError, match="output row 3 of 4"):
        export_labels(in_slabs(random_logits(3, (3, 5, 6))), properties_of((4, 5, 6), (4, 5, 6)), THREE_CLASSES)


@pytest.mark.parametrize("labels", [THREE_CLASSES, REGIONS])
@pytest.mark.parametrize("chunk_bytes", [1, 1000, 10**7])
def test_probabilities_lie_cropped_in_the_images_own_axes(
    labels: Labels, chunk_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probabilities, "CHUNK_BYTES", chunk_bytes)
    case = properties_of((7, 5, 6), (4, 5, 3), transpose=(1, 2, 0), offset=(1, 2, 3), margin=1)
    logits = random_logits(labels.output_channels, (4, 5, 3))
    exported = export_labels(in_slabs(logits), case, labels, tmp_path / "deep" / "a.b2nd")
    file = blosc2.open(str(tmp_path / "deep" / "a.b2nd"), mode="r")
    expected = resized(logits, (7, 5, 6))
    expected = expit(expected) if labels.has_regions else softmax(expected, axis=0)
    assert file.dtype == np.float16
    np.testing.assert_allclose(file[...], expected.transpose(0, 3, 1, 2), atol=1e-3)
    box = file.schunk.vlmeta["crop_box"]
    assert box == [[3, 9], [1, 8], [2, 7]]  # image axis 0 is the transposed axis 2
    assert file.schunk.vlmeta["shape_original"] == list(exported.shape)
    assert file.schunk.vlmeta["kind"] == ("sigmoid" if labels.has_regions else "softmax")
    if not labels.has_regions:
        inside = exported[tuple(slice(*edges) for edges in box)]
        assert (inside == np.asarray(file[...]).argmax(0)).mean() > 0.98
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.b2nd"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    case = properties_of((3, 4, 5), (3, 4, 5))
    with pytest.raises(AutosegError, match="could not be written"):
        export_labels(in_slabs(random_logits(3, (3, 4, 5))), case, THREE_CLASSES, tmp_path / "file" / "a.b2nd")
