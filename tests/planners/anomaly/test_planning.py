"""How slices are planned: axis, channels, windows, and which are normal."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.roc import Truth
from autoseg.image import Geometry
from autoseg.options import options_from
from autoseg.planners.anomaly.measuring import ImageFormat, MeasuredSlices, common_format, findings
from autoseg.planners.anomaly.planning import plan
from autoseg.planners.anomaly.request import prepare
from autoseg.tasks.anomaly.options import PlanOptions
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.training_images import ChannelMeasures, ImageMeasures
from autoseg.verification.findings import Finding
from autoseg.verification.inspection import Inspection

LIKE = ImageMeasures(spacing_mm=(1, 1, 1), volume_ml=1, channels=(ChannelMeasures(low=0, median=1, high=2),))
SAGITTAL_SCAN = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # x to the back, y to the feet, z to the right


def made(cases: int = 2, **changes: Any) -> Dataset:
    training = tuple(Case(name=f"case_{number}", images=(Path(f"/nowhere/case_{number}.nii.gz"),)) for number in range(cases))
    wanted = {"name": "Made", "folder": Path("/nowhere"), "layout": "nnunet", "channel_names": ("MRI",), "file_ending": ".nii.gz",
              "labels": Labels(values={"background": 0, "lesion": 1}), "training": training, **changes}
    return Dataset(**wanted)


def volume(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), direction: tuple[float, ...] | None = None,
           truth: Truth = "normal", **changes: Any) -> MeasuredSlices:
    geometry = Geometry(spacing_mm) if direction is None else Geometry(spacing_mm, direction=direction)
    return replace(MeasuredSlices(
        geometry=geometry, channels=1, shape=(3, 4, 5), picture=False, gray=False, constant=False,
        truths=([truth] * 3, [truth] * 4, [truth] * 5), samples=None, image=LIKE), **changes)


def picture(channels: int = 1, gray: bool = True, **changes: Any) -> MeasuredSlices:
    return volume(channels=channels, gray=gray, picture=True, shape=(1, 4, 5), **changes)


def inspected(dataset: Dataset, *cases: MeasuredSlices) -> list[Inspection[MeasuredSlices]]:
    return [Inspection(case, [], case.name, measured) for case, measured in zip(dataset.training, cases, strict=True)]


def planned(dataset: Dataset, *cases: MeasuredSlices, **options: Any) -> SlicePlans:
    return plan(prepare(dataset, PlanOptions(**options)), dataset, inspected(dataset, *cases)).plans


def format_of(dataset: Dataset, *cases: MeasuredSlices, **options: Any) -> ImageFormat:
    return common_format(prepare(dataset, PlanOptions(**options)), inspected(dataset, *cases))


@pytest.mark.parametrize(("cases", "axis"), [
    ([volume((4, 1, 1))] * 2, "axial"),
    ([volume((1, 4, 1))] * 2, "coronal"),
    ([volume((4, 1, 1), SAGITTAL_SCAN)] * 2, "sagittal"),
    ([volume((4, 1, 1), SAGITTAL_SCAN), volume((1, 1, 4))], "sagittal"),
    ([volume((1, 1, 1))] * 2, "axial"),
    ([volume((0.995, 1, 1))] * 2, "axial"),
])
def test_slices_are_cut_where_they_lie_farthest_apart_in_the_patient(cases: list[MeasuredSlices], axis: str) -> None:
    dataset = made()
    plans = planned(dataset, *cases)
    assert plans.axis == axis and "farthest apart" in plans.reasons["axis"] and plans.options == PlanOptions()
    plans = planned(dataset, *cases, axis="coronal")
    assert plans.axis == "coronal" and plans.options == PlanOptions(axis="coronal")


def test_channels_are_those_of_dataset_json_else_those_of_most_cases() -> None:
    three = made(3, channel_names=(), layout="folders")
    gray_jpeg, colour = picture(3, gray=True), picture(3, gray=False)
    assert format_of(three, picture(), gray_jpeg, colour) == ImageFormat(True, ("gray",))
    assert format_of(three, colour, gray_jpeg, colour) == ImageFormat(True, ("red", "green", "blue"))
    assert format_of(three, volume(), volume(), colour) == ImageFormat(False, ("gray",))
    two = volume(channels=2)
    assert format_of(three, two, two, volume()) == ImageFormat(False, ("channel_0", "channel_1"))
    assert format_of(made(1), volume(), axis="axial") == ImageFormat(False, ("MRI",))
    with pytest.raises(AutosegError, match="Made holds pictures, .* --axis asks for axial slices of volumes. Leave it out"):
        format_of(three, colour, colour, colour, axis="axial")


def found_of(*cases: MeasuredSlices) -> list[Finding]:
    dataset = made(len(cases), labels=Labels(values={"background": 0}), channel_names=(), layout="folders")
    return findings(prepare(dataset, PlanOptions()), inspected(dataset, *cases))


@pytest.mark.parametrize(("case", "others", "code", "problem"), [
    (picture(3, gray=False), picture(), "colour", "it is a colour picture, and most others are gray"),
    (picture(), picture(3, gray=False), "colour", "it is a gray picture, and most others are colour"),
    (picture(2, gray=False), picture(), "channels", r"the image has 2 channel\(s\), and most others have 1 \(gray\)"),
    (picture(), volume(), "dimensions", "it is a picture of one slice, and the others are volumes"),
    (volume(), picture(), "dimensions", r"it is a volume of shape \(3, 4, 5\) .* most others are pictures"),
    (volume(constant=True), volume(), "one_value", "the image has the same value everywhere"),
])
def test_cases_that_cannot_be_cut_like_the_others_are_errors_with_a_remedy(
    case: MeasuredSlices, others: MeasuredSlices, code: str, problem: str
) -> None:
    found, = found_of(case, others, others)
    assert (found.severity, found.case, found.code) == ("error", "case_0", code) and "--skip-bad-cases" in found.remedy
    assert re.search(problem, found.problem)


def test_a_constant_image_is_one_error_instead_of_a_warning() -> None:
    dataset = made(3, labels=Labels(values={"background": 0}))
    warning = Finding(case="case_0", file="", severity="warning", code="one_value", problem="", remedy="")
    first, *others = inspected(dataset, volume(constant=True), volume(), volume())
    found, = findings(prepare(dataset, PlanOptions()), [replace(first, findings=[warning]), *others])
    assert (found.severity, found.code) == ("error", "one_value")


def test_pictures_that_are_gray_in_truth_and_colour_ones_among_colours_fit() -> None:
    assert found_of(picture(3, gray=True), picture(), picture()) == []
    assert found_of(*[picture(3, gray=False)] * 3) == []


def test_ct_has_a_window_over_all_cases_that_are_not_abnormal_and_other_channels_have_none() -> None:
    dataset = made(3, channel_names=("CT", "MRI"), case_labels={"case_2": "abnormal"})
    samples = [np.stack([np.arange(start, start + 501), np.arange(501)]).astype(np.float32) for start in (0, 500, 9000)]
    cases = [volume(channels=2, samples=values) for values in samples]
    plans = planned(dataset, *cases, normal="all")
    ct, mri = plans.windows
    low, high = np.percentile(np.concatenate([np.arange(501), np.arange(500, 1001)]), (0.5, 99.5))
    assert mri is None and ct is not None and (ct.low, ct.high) == pytest.approx((low, high))


def test_normal_slices_are_told_by_what_the_dataset_says() -> None:
    def normal_by(dataset: Dataset, normal: Any = "auto") -> str:
        return prepare(dataset, PlanOptions(normal=normal)).normal_by

    called, labelled, bare = made(case_labels={"case_0": "normal"}), made(), made(labels=Labels(values={"background": 0}))
    assert [normal_by(dataset) for dataset in (called, labelled, bare)] == ["case_labels", "foreground", "all"]
    assert [normal_by(called, by) for by in ("foreground", "all")] == ["foreground", "all"]
    with pytest.raises(AutosegError, match='does not say which cases are normal. Add "case_labels"'):
        normal_by(labelled, "case_labels")
    with pytest.raises(AutosegError, match=r"1 case another class than normal or abnormal \(case_0: oak\)"):
        normal_by(made(case_labels={"case_0": "oak", "case_1": "normal"}))
    with pytest.raises(AutosegError, match="has no foreground labels"):
        normal_by(bare, "foreground")
    with pytest.raises(AutosegError, match="--normal cannot be \"some\": .*'auto', 'case_labels', 'foreground' or 'all'"):
        options_from(PlanOptions, {"normal": "some"})


def test_no_normal_slices_or_those_of_one_case_are_told_with_a_remedy() -> None:
    abnormal = volume(truth="abnormal")
    with pytest.raises(AutosegError, match="Made has no normal slice in its 2 cases. .* --axis, or, .* --normal all"):
        planned(made(), abnormal, abnormal)
    with pytest.raises(AutosegError, match="Made has normal slices in case case_1 alone. .* needs them in at least 2 cases"):
        planned(made(), abnormal, volume())
    for normal in ("case_labels", "all"):
        with pytest.raises(AutosegError, match=r"in its 2 cases, of which 2 are called abnormal \(case_0, case_1\)"):
            planned(made(case_labels={"case_0": "abnormal", "case_1": "abnormal"}), abnormal, abnormal, normal=normal)


def test_a_size_or_an_axis_that_there_is_not_is_told() -> None:
    with pytest.raises(AutosegError, match="An image size of 100 was asked for, but slices are squares of 64, 128 or 256 pixels"):
        prepare(made(), PlanOptions(image_size=100))
    with pytest.raises(AutosegError, match='There is no axis "lateral". There are: sagittal, coronal, axial'):
        prepare(made(), PlanOptions(axis="lateral"))
    assert prepare(made(), PlanOptions(axis="axial", image_size=128)).axis == "axial"
