"""Slices with outlines: which one is shown, how it is turned, which channel and which intensities."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.case import CaseSummary
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.plan import IntensityStatistics, Plans
from autoseg.tasks.segmentation.report.overlay import Overlay, Plane, overlay, upright, window_of

BLUE, ORANGE = (86, 180, 233), (230, 159, 0)


LABELS = Labels(values={"background": 0, "organ": 1, "lesion": 2, "ignore": 3}, ignore=3)
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))


def drawn(
    folder: Path, reference: np.ndarray, prediction: np.ndarray, channels: list[np.ndarray],
    spacing_mm: tuple[float, float, float], labels: Labels = LABELS,
) -> Overlay:
    """The overlay of a case with these arrays, all (Z, Y, X); channels of type int16."""
    grid, grid_of_prediction = (Image(array[None], Geometry(spacing_mm)) for array in (reference, prediction))
    paths = tuple(folder / f"case_{number:04d}.nii.gz" for number in range(len(channels)))
    for path, channel in zip(paths, channels, strict=True):
        write_image(path, channel[None], grid)
    write_label(folder / "case.nii.gz", reference, grid)
    write_label(folder / "prediction.nii.gz", prediction, grid_of_prediction)
    case = Case(name="case", images=paths, label=folder / "case.nii.gz")
    dataset = Dataset(name="D", folder=folder, layout="nnunet", channel_names=tuple("ABC"[:len(channels)]), labels=labels,
                      file_ending=".nii.gz", training=(case,))
    summary = CaseSummary(metrics={}, prediction_file=str(folder / "prediction.nii.gz"), reference_file=str(case.label),
                          volumes_ml={})
    return overlay(case, summary, dataset, {})


def empty() -> np.ndarray:
    return np.zeros((6, 40, 30), np.uint8)


def test_the_slice_that_differs_most_is_shown_across_the_thickest_axis(tmp_path: Path) -> None:
    reference, prediction = empty(), empty()
    reference[1:5, 10:20, 10:20] = 1
    prediction[1:5, 10:20, 10:20] = 1
    prediction[3, 10:13, 10:20] = 2
    prediction[:, 30, 25] = 1  # one voxel in every slice
    shown = drawn(tmp_path, reference, prediction, [np.full((6, 40, 30), 7, np.int16)], (4.0, 1.0, 1.0))
    assert shown.where == "Axial slice 4 of 6"
    assert shown.differing == "31 voxels differ here, most often where the reference is organ and the prediction lesion (30)."
    shown = drawn(tmp_path, reference, prediction, [np.full((6, 40, 30), 7, np.int16)], (1.0, 1.0, 4.0))
    assert shown.where == "Sagittal slice 26 of 30"  # x = 25, where one voxel differs in each of six slices


def test_ignored_voxels_do_not_count_as_differences(tmp_path: Path) -> None:
    reference, prediction = empty(), empty()
    reference[2, 10:30, 10:20] = 3
    prediction[2, 10:30, 10:20] = 1
    reference[4, 10, 10] = 1
    shown = drawn(tmp_path, reference, prediction, [np.full((6, 40, 30), 7, np.int16)], (4.0, 1.0, 1.0))
    assert shown.where == "Axial slice 5 of 6"
    assert shown.differing == "1 voxel differs here, most often where the reference is organ and the prediction background (1)."


def test_a_value_has_the_name_of_the_smallest_region_that_holds_it(tmp_path: Path) -> None:
    reference, prediction = empty(), empty()
    reference[2, 10:14, 10:14], prediction[2, 10:14, 10:14] = 1, 2
    shown = drawn(tmp_path, reference, prediction, [np.full((6, 40, 30), 7, np.int16)], (4.0, 1.0, 1.0), REGIONS)
    assert "where the reference is whole and the prediction core (16)" in shown.differing


def test_both_outlines_are_drawn_in_their_colours_and_in_true_proportions(tmp_path: Path) -> None:
    reference, prediction = empty(), empty()
    reference[3, 10:20, 4:14] = 1
    prediction[3, 20:30, 16:26] = 1
    shown = drawn(tmp_path, reference, prediction, [np.full((6, 40, 30), 7, np.int16)], (4.0, 1.0, 2.0))
    with PIL.Image.open(io.BytesIO(shown.png)) as picture:
        assert picture.size == shown.size_px
        pixels = np.asarray(picture.convert("RGB")).astype(int)[:-40]  # without the line that names the colours
    blue, orange = (np.abs(pixels - colour).max(axis=2) < 12 for colour in (BLUE, ORANGE))
    assert blue.sum() > orange.sum() > 100  # solid against dashed
    rows, columns = np.nonzero(blue)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(2, rel=0.05)  # 10 voxels of 2 mm by 10 of 1 mm


def test_of_several_channels_the_one_that_shows_the_structure_is_taken(tmp_path: Path) -> None:
    reference = empty()
    reference[3, 10:20, 10:20] = 1
    noise = np.random.default_rng(0).integers(0, 20, (3, *reference.shape)).astype(np.int16)
    noise[1] += 30 * reference
    assert drawn(tmp_path, reference, empty(), list(noise), (4.0, 1.0, 1.0)).channel == "B"


def test_a_prediction_on_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match="does not lie on the grid"):
        drawn(tmp_path, empty(), empty()[:, :, :20], [empty().astype(np.int16)], (4.0, 1.0, 1.0))


def test_ct_is_shown_as_soft_tissue_widened_to_what_is_to_be_found() -> None:
    def dataset(name: str) -> Dataset:
        return Dataset(name="D", folder=Path(), layout="nnunet", channel_names=(name,), file_ending=".nii.gz", training=(),
                       labels=Labels(values={"background": 0, "bone": 1}))

    statistics = IntensityStatistics(mean=500, std=200, median=480, percentile_00_5=-100, percentile_99_5=1200)
    plans = Plans(dataset="D", planner="default", transpose=(0, 1, 2), versions={}, foreground_intensities={"0": statistics},
                  configurations={})
    assert window_of(dataset("CT"), plans) == {0: (-160.0, 1200.0)}
    assert window_of(dataset("MRI"), plans) == {}


@pytest.mark.parametrize(("axis", "direction", "expected"), [
    (0, (1, 0, 0, 0, 1, 0, 0, 0, 1), [[0, 1, 2], [3, 4, 5]]),  # LPS: rows run to the back, columns to the left
    (0, (-1, 0, 0, 0, -1, 0, 0, 0, 1), [[5, 4, 3], [2, 1, 0]]),  # RAS, in DICOM's frame
    (1, (1, 0, 0, 0, 1, 0, 0, 0, 1), [[3, 4, 5], [0, 1, 2]]),  # coronal: z grows upwards, the head is above
    (0, (0, 0, 1, 1, 0, 0, 0, 1, 0), [[3, 4, 5], [0, 1, 2]]),  # sagittal acquisition: columns to the back, rows upwards
    (0, (0, 0, 1, 0, 1, 0, 1, 0, 0), [[2, 5], [1, 4], [0, 3]]),  # sagittal, the array's columns upwards: turned
])
def test_slices_are_turned_as_a_radiologist_sees_them(axis: int, direction: tuple[int, ...], expected: list[list[int]]) -> None:
    array = np.arange(6).reshape(2, 3)
    geometry = Geometry((1.0, 1.0, 1.0), direction=tuple(map(float, direction)))
    turned = upright(Plane([array], array, array, (2.0, 5.0)), geometry, axis)
    assert turned.reference.tolist() == turned.channels[0].tolist() == expected
    assert turned.spacing_mm == ((2.0, 5.0) if turned.reference.shape == (2, 3) else (5.0, 2.0))
