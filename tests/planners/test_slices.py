"""How slices are planned: axis, channels, windows, and which are normal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.roc import Truth
from autoseg.image import Geometry
from autoseg.planners import SUMMARIES
from autoseg.planners.slice_inspection import Kind, Measured, SliceInspection, common_kind, slice_inspection_findings
from autoseg.planners.slices import normal_by, plan, require_wishes

SAGITTAL_SCAN = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # x to the back, y to the feet, z to the right


def made(cases: int = 2, **changes: Any) -> Dataset:
    training = tuple(Case(name=f"case_{number}", images=(Path(f"/nowhere/case_{number}.nii.gz"),)) for number in range(cases))
    wanted = {"name": "Made", "folder": Path("/nowhere"), "layout": "nnunet", "channel_names": ("MRI",), "file_ending": ".nii.gz",
              "labels": Labels(values={"background": 0, "lesion": 1}), "training": training, **changes}
    return Dataset(**wanted)


def volume(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), direction: tuple[float, ...] | None = None,
           truth: Truth = "normal", **changes: Any) -> Measured:
    geometry = Geometry(spacing_mm) if direction is None else Geometry(spacing_mm, direction=direction)
    return replace(Measured(geometry=geometry, channels=1, shape=(3, 4, 5), picture=False, gray=False, constant=False,
                            truths=([truth] * 3, [truth] * 4, [truth] * 5), samples=None), **changes)


def picture(channels: int = 1, gray: bool = True, **changes: Any) -> Measured:
    return volume(channels=channels, gray=gray, picture=True, shape=(1, 4, 5), **changes)


def inspected(dataset: Dataset, *cases: Measured) -> list[SliceInspection]:
    return [SliceInspection(case, [], case.name, measured) for case, measured in zip(dataset.training, cases, strict=True)]


@pytest.mark.parametrize(("cases", "axis"), [
    ([volume((4, 1, 1))] * 2, "axial"),
    ([volume((1, 4, 1))] * 2, "coronal"),
    ([volume((4, 1, 1), SAGITTAL_SCAN)] * 2, "sagittal"),
    ([volume((4, 1, 1), SAGITTAL_SCAN), volume((1, 1, 4))], "sagittal"),
    ([volume((1, 1, 1))] * 2, "axial"),
    ([volume((0.995, 1, 1))] * 2, "axial"),
])
def test_slices_are_cut_where_they_lie_farthest_apart_in_the_patient(cases: list[Measured], axis: str) -> None:
    dataset = made()
    plans = plan(dataset, inspected(dataset, *cases), Kind(False, ("MRI",)), None, 64, "foreground")
    assert plans.axis == axis and "farthest apart" in plans.reasons["axis"]
    assert plan(dataset, inspected(dataset, *cases), Kind(False, ("MRI",)), "coronal", 64, "foreground").axis == "coronal"


def test_channels_are_those_of_dataset_json_else_those_of_most_cases() -> None:
    three = made(3, channel_names=(), layout="folders")
    gray_jpeg, colour = picture(3, gray=True), picture(3, gray=False)
    assert common_kind(three, inspected(three, picture(), gray_jpeg, colour), None) == Kind(True, ("gray",))
    assert common_kind(three, inspected(three, colour, gray_jpeg, colour), None) == Kind(True, ("red", "green", "blue"))
    assert common_kind(three, inspected(three, volume(), volume(), colour), None) == Kind(False, ("gray",))
    two = volume(channels=2)
    assert common_kind(three, inspected(three, two, two, volume()), None) == Kind(False, ("channel_0", "channel_1"))
    assert common_kind(made(1), inspected(made(1), volume()), "axial") == Kind(False, ("MRI",))
    with pytest.raises(AutosegError, match="Made holds pictures, .* --axis asks for axial slices of volumes. Leave it out"):
        common_kind(three, inspected(three, colour, colour, colour), "axial")


@pytest.mark.parametrize(("case", "kind", "problem"), [
    (picture(3, gray=False), Kind(True, ("gray",)), "it is a colour picture, and most others are gray"),
    (picture(), Kind(True, ("red", "green", "blue")), "it is a gray picture, and most others are colour"),
    (picture(2, gray=False), Kind(True, ("gray",)), r"the image has 2 channel\(s\), and most others have 1 \(gray\)"),
    (picture(), Kind(False, ("MRI",)), "it is a picture of one slice, and the others are volumes"),
    (volume(), Kind(True, ("gray",)), r"it is a volume of shape \(3, 4, 5\) .* most others are pictures"),
    (volume(constant=True), Kind(False, ("MRI",)), "the image has the same value everywhere"),
])
def test_cases_that_cannot_be_cut_like_the_others_are_errors_with_a_remedy(case: Measured, kind: Kind, problem: str) -> None:
    dataset = made(1, labels=Labels(values={"background": 0}))
    found, = slice_inspection_findings(dataset, inspected(dataset, case), kind)
    assert found.severity == "error" and found.case == "case_0" and "--skip-bad-cases" in found.remedy
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(found.problem)


def test_pictures_that_are_gray_in_truth_and_colour_ones_among_colours_fit() -> None:
    dataset = made(1, labels=Labels(values={"background": 0}))
    for case, kind in ((picture(3, gray=True), Kind(True, ("gray",))), (picture(3), Kind(True, ("red", "green", "blue")))):
        assert slice_inspection_findings(dataset, inspected(dataset, case), kind) == []


def test_ct_has_a_window_over_all_cases_that_are_not_abnormal_and_other_channels_have_none() -> None:
    dataset = made(3, channel_names=("CT", "MRI"), case_labels={"case_2": "abnormal"})
    samples = [np.stack([np.arange(start, start + 501), np.arange(501)]).astype(np.float32) for start in (0, 500, 9000)]
    cases = [volume(channels=2, samples=values) for values in samples]
    plans = plan(dataset, inspected(dataset, *cases), Kind(False, ("CT", "MRI")), None, 64, "all")
    ct, mri = plans.windows
    low, high = np.percentile(np.concatenate([np.arange(501), np.arange(500, 1001)]), (0.5, 99.5))
    assert mri is None and ct is not None and (ct.low, ct.high) == pytest.approx((low, high))


def test_normal_slices_are_told_by_what_the_dataset_says() -> None:
    called, labelled, bare = made(case_labels={"case_0": "normal"}), made(), made(labels=Labels(values={"background": 0}))
    assert [normal_by(dataset, "auto") for dataset in (called, labelled, bare)] == ["case_labels", "foreground", "all"]
    assert [normal_by(called, wish) for wish in ("foreground", "all")] == ["foreground", "all"]
    with pytest.raises(AutosegError, match='does not say which cases are normal. Add "case_labels"'):
        normal_by(labelled, "case_labels")
    with pytest.raises(AutosegError, match="has no foreground labels"):
        normal_by(bare, "foreground")
    with pytest.raises(AutosegError, match='cannot be told by "some". There are: auto, case_labels, foreground, all'):
        normal_by(bare, "some")


def test_no_normal_slices_or_those_of_one_case_are_told_with_a_remedy() -> None:
    kind = Kind(False, ("MRI",))
    dataset = made()
    with pytest.raises(AutosegError, match="Made has no normal slice in its 2 cases. .* --axis, or, .* --normal all"):
        plan(dataset, inspected(dataset, volume(truth="abnormal"), volume(truth="abnormal")), kind, None, 64, "foreground")
    with pytest.raises(AutosegError, match="Made has normal slices in case case_1 alone. .* needs them in at least 2 cases"):
        plan(dataset, inspected(dataset, volume(truth="abnormal"), volume()), kind, None, 64, "foreground")
    sick = made(case_labels={"case_0": "abnormal", "case_1": "abnormal"})
    for by in ("case_labels", "all"):
        with pytest.raises(AutosegError, match=r"in its 2 cases, of which 2 are called abnormal \(case_0, case_1\)"):
            plan(sick, inspected(sick, volume(truth="abnormal"), volume(truth="abnormal")), kind, None, 64, by)  # type: ignore[arg-type]


def test_a_size_or_an_axis_that_there_is_not_is_told() -> None:
    with pytest.raises(AutosegError, match="An image size of 100 was asked for, but slices are squares of 64, 128 or 256 pixels"):
        require_wishes(None, 100)
    with pytest.raises(AutosegError, match='There is no axis "lateral". There are: sagittal, coronal, axial'):
        require_wishes("lateral", 64)
    assert require_wishes("axial", 128) == "axial" and "slices" in SUMMARIES
