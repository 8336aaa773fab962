"""A level is found at the same place however the volume is stored, and in the slice that the file counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, write_image
from autoseg.tasks.localization.locator import Locator, fitted
from autoseg.tasks.localization.model import LoadedLocator, load_locator
from autoseg.tasks.localization.prediction import location_of
from autoseg.tasks.localization.projecting import PADDING

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENTATIONS = [np.column_stack([order, flips]) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)]
VolumeWithLevel = Callable[..., Image]


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, -10, 15)], ids=["straight", "oblique"])
def test_however_a_volume_is_stored_the_level_is_at_the_same_place(
    locator: Locator, volume_with_level: VolumeWithLevel, tmp_path: Path, degrees: tuple[int, int, int]
) -> None:
    affine = RAS_TO_LPS @ volume_with_level().geometry.affine()
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    stored = nib.Nifti1Image(volume_with_level().array[0].T, affine)
    world = RAS_TO_LPS @ affine @ [3.5, 2.5, 13, 1]  # the middle of its plane
    assert len(ORIENTATIONS) == 48
    for orientation in ORIENTATIONS:
        other = stored.as_reoriented(orientation)
        nib.save(other, tmp_path / "other.nii")
        row = location_of("case", locator.locate_image(read_image(tmp_path / "other.nii"), "case"))
        array_axis, direction = orientation[2].astype(int)  # of the 20 slices
        expected = 13 if direction == 1 else 20 - 1 - 13
        assert row.found and row.confidence == 1
        assert (row.slice, row.index_axis) == (expected, "ijk"[array_axis])
        assert row.slice_exact == pytest.approx(expected, abs=1e-3)
        assert (row.x_mm, row.y_mm, row.z_mm) == pytest.approx(world[:3], abs=2e-3) and row.mm == row.z_mm


@pytest.mark.parametrize(("axis", "array_axis", "slice_"), [("z", 0, 13), ("y", 1, 2), ("x", 2, 6)])
def test_a_level_is_found_along_each_axis(
    describe_locator: Any, sees_what_is_bright: None, axis: str, array_axis: int, slice_: int
) -> None:
    array = np.full((1, 20, 20, 20), 100, np.int16)
    band: list[slice] = [slice(None)] * 4
    band[array_axis + 1] = slice(slice_ - 2, slice_ + 3)
    array[tuple(band)] = 1000
    image = Image(array, Geometry((2.0, 2.0, 2.0), (10.0, 10.0, 10.0)))
    description = describe_locator(axis=axis, project={"z": "x", "y": "x", "x": "y"}[axis])
    found = Locator(LoadedLocator(description, [], ("0",)), torch.device("cpu")).locate_image(image, "case")
    row = location_of("case", found)
    assert row.slice == slice_ and row.index_axis == "kji"[array_axis] and row.mm == 10 + 2 * slice_


def test_what_is_not_there_is_not_found_and_has_no_place(locator: Locator, volume_with_level: VolumeWithLevel) -> None:
    row = location_of("case", locator.locate_image(volume_with_level(level=None), "case"))
    assert row.model_dump() == {
        "case": "case", "found": "no", "slice": None, "slice_exact": None, "index_axis": "k", "mm": None, "x_mm": None,
        "y_mm": None, "z_mm": None, "confidence": 0}


def test_padding_of_zeros_moves_nothing(locator: Locator, volume_with_level: VolumeWithLevel) -> None:
    image = volume_with_level()
    image.array[:, :4], image.array[:, 18:], image.array[..., :2] = 0, 0, 0
    row = location_of("case", locator.locate_image(image, "case"))
    assert (row.slice, row.slice_exact, row.mm) == (13, 13, 11 + 2 * 13)


def test_responses_of_all_folds_are_averaged_and_lie_in_the_projection(
    describe_locator: Any, save_locator: Any, volume_with_level: VolumeWithLevel, tmp_path: Path
) -> None:
    folder = save_locator(tmp_path, describe_locator(), ("0", "1"))
    responses = []
    for folds in (["0"], ["1"], None):
        found = Locator(load_locator(folder, folds), torch.device("cpu")).locate_image(volume_with_level(), "case")
        assert found.located.response.shape == (20,) == found.projection.channels.shape[1:2]
        assert 0 < found.located.response.min() <= found.located.response.max() < 1
        responses.append(found.located.response)
    np.testing.assert_allclose(responses[2], (responses[0] + responses[1]) / 2, atol=1e-6)
    assert not np.allclose(responses[0], responses[1], atol=1e-3)


def test_a_level_in_files_of_other_formats_is_at_the_same_place(
    locator: Locator, volume_with_level: VolumeWithLevel, tmp_path: Path
) -> None:
    image = volume_with_level()
    for ending in (".nrrd", ".mha", ".nii"):
        write_image(tmp_path / f"a{ending}", image.array, like=image)
        row = location_of("a", locator.locate_image(read_image(tmp_path / f"a{ending}"), "a"))
        assert (row.slice, row.x_mm, row.y_mm, row.z_mm) == (13, 5 + 3.5 * 1.5, -7 + 2.5 * 3, 11 + 2 * 13)


def test_a_projection_is_looked_at_in_several_sizes_and_the_answer_stays_where_it_is(
    describe_locator: Any, sees_what_is_bright: None
) -> None:
    channels = np.full((3, 60, 50), -1, np.float32)
    channels[:, 38:43] = 1
    for zooms in ((0.8,), (1.25,), (1.0, 0.88, 1.13)):
        locator = Locator(LoadedLocator(describe_locator(zooms=zooms), [], ("0",)), torch.device("cpu"))
        located = locator.locate(channels, "case")
        assert located.response.shape == (60,)
        assert located.answer.row == pytest.approx(40, abs=0.15) and located.answer.confidence > 0.7


def test_an_answer_that_differs_between_sizes_is_not_sure(describe_locator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(self: Locator, channels: np.ndarray, case: str) -> np.ndarray:
        """A band in the middle of the projection at its own size, at an end of it at any other."""
        response = np.zeros(channels.shape[1:], np.float32)
        middle = 30 if channels.shape[1] == 60 else 10
        response[middle - 2:middle + 3] = 1
        return response

    monkeypatch.setattr(Locator, "_respond", respond)
    channels = np.zeros((3, 60, 50), np.float32)
    loaded = [LoadedLocator(describe_locator(zooms=zooms), [], ("0",)) for zooms in ((1.0,), (1.0, 1.0, 0.8), (1.0, 0.8))]
    confidences = [Locator(each, torch.device("cpu")).locate(channels, "case").answer.confidence for each in loaded]
    assert confidences[0] == 1
    assert 0.2 < confidences[1] < 0.5 and confidences[2] < 0.2


@pytest.mark.parametrize("zoom", [0.5, 2.0])
def test_another_size_moves_no_row(describe_locator: Any, monkeypatch: pytest.MonkeyPatch, zoom: float) -> None:
    """By hand: pixels of the half or of double the size have their middles half a pixel off, and a middle stays a middle."""
    monkeypatch.setattr(Locator, "_respond", lambda self, channels, case: channels[0])
    channels = np.zeros((3, 40, 30), np.float32)
    channels[:, 18:22] = 1  # the middle of 40 rows, 19.5
    located = Locator(LoadedLocator(describe_locator(zooms=(zoom,)), [], ("0",)), torch.device("cpu")).locate(channels, "case")
    assert located.answer.row == pytest.approx(19.5, abs=1e-5)
    np.testing.assert_allclose(located.response, located.response[::-1], atol=1e-6)


def test_positions_are_seen_where_they_were_in_training(describe_locator: Any, save_locator: Any, tmp_path: Path) -> None:
    """A network that puts out nothing but the last channel that it gets."""
    description = describe_locator().model_copy(update={"position": True})
    loaded = load_locator(save_locator(tmp_path, description))
    assert description.inputs == 4 and next(loaded.networks[0].parameters()).shape[1] == 4
    seen: list[torch.Tensor] = []

    def network(batch: torch.Tensor) -> list[torch.Tensor]:
        seen.append(batch)
        return [batch[:, -1:]]

    locator = Locator(LoadedLocator(description, [network], ("0",)), torch.device("cpu"))  # type: ignore[list-item]
    response = locator.locate(np.zeros((3, 9, 16), np.float32), "case").response
    assert response == pytest.approx(1 / (1 + np.exp(-np.linspace(-1, 1, 9))), abs=1e-5)
    assert seen[0].shape == (1, 4, 16, 16) and (seen[0][0, -1, :3] == PADDING).all()


def test_what_lies_beside_a_projection_is_padding_as_in_training(describe_locator: Any) -> None:
    padded, (rows, columns) = fitted(np.ones((3, 9, 20), np.float32), describe_locator())
    assert padded.shape == (3, 16, 20) and (rows, columns) == (slice(3, 12), slice(0, 20))  # trained on 16 × 16, strides of 2
    assert (padded[:, rows, columns] == 1).all()
    padded[:, rows, columns] = PADDING
    assert (padded == PADDING).all() and PADDING == -1
