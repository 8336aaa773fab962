"""What is measured of a case before its projection is planned, and what is said of one that cannot be projected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.planners.localization.measuring import MeasuredProjection, findings, measure, share_around_middle
from autoseg.planners.localization.request import Request
from autoseg.planners.request import inspect
from autoseg.tasks.localization.options import PlanOptions
from autoseg.tasks.localization.plan import Target
from autoseg.verification.inspection import Inspection

L3 = Target(name="L3", labels=("L3",))
GEOMETRY = Geometry((2.0, 1.0, 1.0), (0.0, 0.0, 100.0))  # slices lie at 100, 102, ..., 118 mm


def made(tmp_path: Path, array: np.ndarray | None = None, label: np.ndarray | None = None, **changes: Any) -> Dataset:
    """A case "a" of 10 × 8 × 6 voxels, none of them zero, or of these; with a label, or none."""
    values = np.random.default_rng(0).integers(1, 500, (10, 8, 6)).astype(np.int16) if array is None else array
    image = Image(values[None], GEOMETRY)
    write_image(tmp_path / "a_0000.nii.gz", image.array, like=image)
    if label is not None:
        write_label(tmp_path / "a.nii.gz", label, like=image)
    case = Case(name="a", images=(tmp_path / "a_0000.nii.gz",), label=None if label is None else tmp_path / "a.nii.gz")
    return Dataset(**{"name": "Made", "folder": tmp_path, "layout": "nnunet", "channel_names": ("MRI",), "training": (case,),
                      "labels": Labels(values={"background": 0, "L3": 1}), "file_ending": ".nii.gz", **changes})


def with_label(first: int, stop: int, left: int = 1, right: int = 4) -> np.ndarray:
    label = np.zeros((10, 8, 6), np.uint8)
    label[first:stop, 2:5, left:right] = 1
    return label


def inspected(dataset: Dataset, target: Target = L3, axis: Any = "z", project: Any = "x") -> Inspection[MeasuredProjection]:
    inspection, = inspect(Request(dataset, PlanOptions(), target, axis, project), measure, workers=1)
    return inspection


def test_a_case_is_measured_along_the_axes_of_the_projection(tmp_path: Path) -> None:
    measured = inspected(made(tmp_path, label=with_label(3, 7))).measured
    assert measured is not None and measured.known.level is not None
    assert (measured.extents_mm, measured.spacings_mm, measured.height_mm) == ((20.0, 8.0), (2.0, 1.0), 8.0)
    assert measured.known.level.slice == 4.5 and measured.channels == 1 and measured.samples is None
    # voxels at x = 1, 2, 3 of 6, as many each: quartiles at 1 and 3; up to 1.5 + 0.5 from the middle at 2.5
    assert measured.slab == pytest.approx(2 * 2 / 6)
    sideways = inspected(made(tmp_path, label=with_label(3, 7)), axis="y", project="z").measured
    assert sideways is not None and sideways.extents_mm == (8.0, 6.0) and sideways.height_mm == 3.0


def test_borders_of_zeros_do_not_count(tmp_path: Path) -> None:
    array = np.zeros((10, 8, 6), np.int16)
    array[2:8, 1:, :5] = 9
    array[3, 3, 3] = 7
    measured = inspected(made(tmp_path, array, with_label(3, 5))).measured
    assert measured is not None and measured.extents_mm == (12.0, 7.0)
    assert measured.slab == pytest.approx(2 * 1.5 / 5)  # x = 1 to 3 around the middle of five, 2


@pytest.mark.parametrize(("span", "box", "share"), [
    ((2, 3), (0, 6), 2 / 6), ((0, 3), (0, 6), 1.0), ((2, 2), (0, 5), 1 / 5), ((4, 6), (2, 8), 4 / 6), ((0, 9), (2, 8), 1.0),
])
def test_the_share_around_the_middle_by_hand(span: tuple[float, float], box: tuple[int, int], share: float) -> None:
    assert share_around_middle(span, box) == pytest.approx(share)


def test_only_ct_is_sampled(tmp_path: Path) -> None:
    measured = inspected(made(tmp_path, label=with_label(3, 7), channel_names=("CT",))).measured
    assert measured is not None and measured.samples is not None
    assert measured.samples.shape[0] == 1 and 1 <= measured.samples.min() <= measured.samples.max() < 500


def test_a_case_without_the_label_or_without_a_label_file_is_measured_too(tmp_path: Path) -> None:
    without, unknown = made(tmp_path, label=np.zeros((10, 8, 6), np.uint8)), made(tmp_path / "other")
    for dataset, is_known in ((without, True), (unknown, False)):
        inspection = inspected(dataset)
        measured = inspection.measured
        assert measured is not None and measured.known == (is_known, None)
        assert measured.slab is None and measured.height_mm is None
        assert not any(finding.severity == "error" for finding in inspection.findings)


def test_a_point_has_a_place_and_no_height(tmp_path: Path) -> None:
    measured = inspected(made(tmp_path, label=with_label(3, 7)), Target(name="p", points={"a": 109.0})).measured
    assert measured is not None and measured.known.level is not None and measured.known.level.slice == pytest.approx(4.5)
    assert measured.slab is None and measured.height_mm is None


def told(inspection: Inspection[MeasuredProjection]) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.problem, finding.remedy) for finding in inspection.findings]


@pytest.mark.parametrize(("array", "code", "problem", "remedy"), [
    (np.arange(1, 49, dtype=np.int16).reshape(1, 8, 6), "dimensions",
     "it has shape (1, 8, 6) (z, y, x), but a volume of several slices is expected, in which a level is found along z in its "
     "projection along x", "Give a volume, "),
    (np.full((10, 8, 6), 4, np.int16), "one_value", "the image has the same value everywhere",
     "Look whether it was exported correctly, "),
    (np.where(np.arange(480) == 3, np.nan, 1.0).astype(np.float32).reshape(10, 8, 6), "not_finite",
     "1 voxel(s) are NaN or infinite", ""),
])
def test_what_cannot_be_projected_is_one_error_with_a_remedy(
    tmp_path: Path, array: np.ndarray, code: str, problem: str, remedy: str
) -> None:
    inspection = inspected(made(tmp_path, array))
    (found, words, advice), = told(inspection)
    assert inspection.measured is None and inspection.findings[0].severity == "error" and (found, words) == (code, problem)
    assert advice.startswith(remedy) and "--skip-bad-cases" in advice


@pytest.mark.parametrize("label", [with_label(0, 4), with_label(7, 10)])
def test_a_label_at_the_end_of_the_image_is_a_warning(tmp_path: Path, label: np.ndarray) -> None:
    inspection = inspected(made(tmp_path, label=label))
    assert inspection.measured is not None and told(inspection) == [(
        "cut_off", "L3 reaches the end of the image along z, so that its true middle may lie elsewhere",
        "Leave the case out where that is so.")]
    assert inspection.findings[0].severity == "warning" and inspection.findings[0].file.endswith("a.nii.gz")


def test_a_point_outside_of_its_image_is_an_error_that_says_how_far_the_image_reaches(tmp_path: Path) -> None:
    inspection = inspected(made(tmp_path), Target(name="p", points={"a": -12.5}))
    (code, problem, remedy), = told(inspection)
    assert (code, problem) == ("outside", "its point, -12.5 mm, lies outside of it: along z it reaches from 100 to 118 mm")
    assert remedy.startswith("Correct the point, ")
    assert not inspected(made(tmp_path), Target(name="p", points={"a": None})).findings


@pytest.mark.parametrize("by_point", [True, False])
def test_what_lies_where_the_image_is_zero_is_an_error(tmp_path: Path, by_point: bool) -> None:
    """The projection ends where zeros begin: its rows would not hold the level."""
    array = np.zeros((10, 8, 6), np.int16)
    array[:6] = np.random.default_rng(0).integers(1, 500, (6, 8, 6))
    target = Target(name="the tip", points={"a": 116.0}) if by_point else L3
    inspection = inspected(made(tmp_path, array, None if by_point else with_label(7, 10)), target)
    finding, = (finding for finding in inspection.findings if finding.severity == "error")
    assert finding.code == "outside"
    assert finding.problem == f"{target.name} lies where the image holds nothing but zeros, at slice 8 along z"
    inside = Target(name="the tip", points={"a": 110.0}) if by_point else L3
    assert not [finding for finding in inspected(made(tmp_path, array, None if by_point else with_label(3, 6)), inside).findings
                if finding.severity == "error"]


def test_a_file_that_cannot_be_read_is_an_error_and_nothing_is_raised(tmp_path: Path) -> None:
    dataset = made(tmp_path, label=with_label(3, 7))
    dataset.training[0].images[0].write_bytes(b"no image")
    inspection = inspected(dataset)
    assert inspection.measured is None and [finding.code for finding in inspection.findings] == ["unreadable"]
    [finding] = findings(Request(dataset, PlanOptions(), L3, "z", "x"), [inspection])
    assert (finding.code, finding.problem) == ("unreadable", inspection.findings[0].problem)
