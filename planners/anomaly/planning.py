"""Decisions about how a dataset's images become slices: axis, size, channels, intensities, and which slices are normal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many, some
from autoseg.intensities import IntensityWindow, common_windows, window_in_words
from autoseg.planners.anomaly.measuring import ImageFormat, MeasuredSlices, common_format
from autoseg.planners.anomaly.request import Request
from autoseg.planners.request import Planned, Progress, measured_cases
from autoseg.preprocessing.store import stored_cases
from autoseg.tasks.anomaly.cutting import WORLD_AXIS, cut_along
from autoseg.tasks.anomaly.options import PlanOptions
from autoseg.tasks.anomaly.plan import CONFIGURATION, Axis, NormalBy, SlicePlans
from autoseg.tasks.anomaly.store import open_slices
from autoseg.tasks.anomaly.truth import may_be_trained_on, truths_of
from autoseg.training_images import pooled
from autoseg.verification.inspection import Inspection
from autoseg.versions import versions
from autoseg.workspace import DatasetFolder

SUMMARIES = {
    CONFIGURATION: "2D slices for anomaly detectors (-tr anogan): which way volumes are cut, and which slices are normal"}
FEWEST_CASES = 2  # cases with normal slices: one to train on, one to validate on
EQUALLY_COARSE = 0.99  # share of the largest spacing: slices are cut along the first such axis
PREFERRED: tuple[Axis, ...] = ("axial", "sagittal", "coronal")


def plan(
    request: Request, usable: Dataset, inspections: Sequence[Inspection[MeasuredSlices]], workers: int | None = None,
    progress: Progress | None = None,
) -> Planned[SlicePlans]:
    """Decide how the training cases are cut. usable: the dataset without cases that have errors. workers, progress: not needed.

    Raises AutosegError where fewer than two cases have normal slices.
    """
    common, cases = common_format(request, inspections), measured_cases(usable, inspections)
    axis, reason = _axis(list(cases.values()), common, request.axis)
    windows = _windows(usable, cases, common)
    size, names = request.options.image_size, common.channel_names
    plans = SlicePlans(
        dataset=usable.name, versions=versions(), axis=axis, image_size=size, channel_names=names, windows=windows,
        normal_by=request.normal_by, images=pooled([case.image for case in cases.values()]), source=usable,
        options=request.options, reasons={
            "axis": reason,
            "image_size": f"{size} × {size} pixels, as asked for or by default; images are fitted in as a whole",
            "channel_names": "as dataset.json names them" if usable.channel_names else "as most images have them",
            "windows": "; ".join(window_in_words(name, window) for name, window in zip(names, windows, strict=True)),
            "normal_by": _about_normal(request.normal_by)})
    require_normal_slices(plans, {name: _normal_slices(name, measured, plans) for name, measured in cases.items()})
    return Planned(plans)


@dataclass(frozen=True)
class SliceCounts:
    """The numbers of slices for training. normal, abnormal, unknown: what is known of them, without blank ones. blank: of one
    value everywhere. for_training: those that a detector may be trained on. in_words: all of it, in a sentence."""

    normal: int
    abnormal: int
    unknown: int
    blank: int
    for_training: int
    in_words: str


def chosen(plans: SlicePlans, options: PlanOptions) -> list[str]:
    """Return the configurations to be preprocessed: there is one."""
    return [CONFIGURATION]


def counts(plans: SlicePlans, folder: DatasetFolder) -> SliceCounts:
    """Return how many slices of each kind the stored cases have. Raises AutosegError as `require_normal_slices`."""
    stored = stored_cases(folder.preprocessed(CONFIGURATION), plans.source.training, open_slices)
    require_normal_slices(plans, {case.name: sum(case.normal) for case in stored})
    truths = Counter(truth for case in stored for truth, blank in zip(case.truths, case.blank, strict=True) if not blank)
    blank, for_training = sum(sum(case.blank) for case in stored), sum(sum(case.normal) for case in stored)
    normal, abnormal, unknown = truths["normal"], truths["abnormal"], truths[None]
    shape = f"{plans.image_size} × {plans.image_size} pixels"
    about = f"{plans.axis.capitalize()} slices, {shape}," if plans.axis else f"Pictures, {shape},"
    return SliceCounts(
        normal, abnormal, unknown, blank, for_training,
        f"{about} of {len(stored)} cases: {normal} normal, {abnormal} abnormal, {unknown} unknown, {blank} of one value "
        f"everywhere. To be trained on: {for_training} ({plans.reasons['normal_by']}).")


def require_normal_slices(plans: SlicePlans, normal: Mapping[str, int]) -> None:
    """Raise AutosegError where fewer than two cases have normal slices. normal: case to how many it has."""
    having = sorted(name for name, count in normal.items() if count)
    if len(having) >= FEWEST_CASES:
        return
    remedy = {
        "case_labels": 'Put normal images into a folder named normal, or name more cases as "normal" in "case_labels" of '
                       "dataset.json.",
        "foreground": "Slices with foreground count as abnormal: cut along another axis with --axis, or, where the labels are of "
                      "healthy anatomy, take all slices as normal with --normal all.",
        "all": "Add normal images.",
    }[plans.normal_by]
    cases = many(len(normal), "case")
    found = f"has normal slices in case {having[0]} alone" if having else f"has no normal slice in its {cases}"
    abnormal = [name for name in normal if plans.source.case_labels.get(name) == "abnormal"]
    called = f", of which {len(abnormal)} {'is' if len(abnormal) == 1 else 'are'} called abnormal ({some(abnormal, 3)})" \
        if abnormal and not having else ""
    raise AutosegError(
        f"{plans.dataset} {found}{called}. A detector is trained on normal slices only, and needs them in at least "
        f"{FEWEST_CASES} cases, as it is validated on others than it is trained on; slices of one value do not count. {remedy}")


def _normal_slices(name: str, measured: MeasuredSlices, plans: SlicePlans) -> int:
    truths = measured.truths[cut_along(measured.geometry, plans.axis)]
    return sum(may_be_trained_on(truths, [False] * len(truths), truths_of(plans.source).get(name)))


def _axis(cases: Sequence[MeasuredSlices], common: ImageFormat, asked: Axis | None) -> tuple[Axis | None, str]:
    if common.pictures:
        return None, "pictures are one slice each"
    if asked is not None:
        return asked, "as asked for"
    spacings = [{world: case.geometry.spacing_mm[a] for a, (world, _) in enumerate(case.geometry.world_axes())} for case in cases]
    median_mm = {axis: float(np.median([of_case[WORLD_AXIS[axis]] for of_case in spacings])) for axis in PREFERRED}
    largest_mm = max(median_mm.values())
    chosen = next(axis for axis in PREFERRED if median_mm[axis] >= EQUALLY_COARSE * largest_mm)
    listed = ", ".join(f"{axis} {mm:.3g} mm" for axis, mm in median_mm.items())
    return chosen, f"slices lie farthest apart along it (median distance of neighbours: {listed})"


def _windows(dataset: Dataset, cases: Mapping[str, MeasuredSlices], common: ImageFormat) -> tuple[IntensityWindow | None, ...]:
    """Return the windows of CT channels, over all cases that are not called abnormal."""
    samples = {name: measured.samples for name, measured in cases.items()
               if measured.samples is not None and dataset.case_labels.get(name) != "abnormal"}
    return common_windows(common.channel_names, samples)


def _about_normal(normal_by: NormalBy) -> str:
    return {
        "case_labels": "slices of the cases that are called normal",
        "foreground": "slices without foreground in their label",
        "all": "all slices, but for cases that are called abnormal",
    }[normal_by]
