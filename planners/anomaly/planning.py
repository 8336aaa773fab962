"""How a dataset's images become slices: axis, size, channels, intensities, and which slices are normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many, some
from autoseg.intensities import IntensityWindow, common_windows, window_in_words
from autoseg.planners.anomaly.measuring import Kind, Measured, SliceInspection
from autoseg.slices.cutting import WORLD_AXIS, cut_along
from autoseg.slices.plan import CONFIGURATION, Axis, NormalBy, SlicePlans
from autoseg.slices.truth import may_be_trained_on
from autoseg.versions import versions

NAME = CONFIGURATION
SUMMARY = "2D slices for anomaly detectors (-tr anogan): which way volumes are cut, and which slices are normal"
IMAGE_SIZES = (64, 128, 256)
FEWEST_CASES = 2  # with normal slices: one to train on, one to validate on
EQUALLY_COARSE = 0.99  # of the largest spacing: of such axes the first of these is cut along
PREFERRED: tuple[Axis, ...] = ("axial", "sagittal", "coronal")


def require_wishes(axis: str | None, image_size: int) -> Axis | None:
    """The axis that was asked for. Raises AutosegError where it, or the size of the slices, is none."""
    if image_size not in IMAGE_SIZES:
        raise AutosegError(f"An image size of {image_size} was asked for, but slices are squares of {_either(IMAGE_SIZES)} "
                           "pixels. Images of any size are fitted into them. Choose one with --image-size.")
    known = next((name for name in get_args(Axis) if name == axis), None)
    if axis is not None and known is None:
        raise AutosegError(f'There is no axis "{axis}". There are: {", ".join(get_args(Axis))}.')
    return known


def normal_by(dataset: Dataset, wish: str) -> NormalBy:
    """Which slices count as normal: those that case_labels says so of where the dataset has any, else those without foreground
    where it has foreground labels, else all; or as was asked for (`wish`, "auto" for these rules). Raises AutosegError where
    the dataset does not say what was asked for."""
    if wish == "auto":
        return "case_labels" if dataset.case_labels else "foreground" if dataset.labels.foreground else "all"
    known = next((name for name in get_args(NormalBy) if name == wish), None)
    if known is None:
        raise AutosegError(f'Normal slices cannot be told by "{wish}". There are: auto, {", ".join(get_args(NormalBy))}.')
    if known == "case_labels" and not dataset.case_labels:
        raise AutosegError(f'{dataset.name} does not say which cases are normal. Add "case_labels" to its dataset.json, such as '
                           '{"case_a": "normal", "case_b": "abnormal"}, or leave out --normal.')
    if known == "foreground" and not dataset.labels.foreground:
        raise AutosegError(f"{dataset.name} has no foreground labels to tell normal slices by. Leave out --normal.")
    return known


def plan(
    dataset: Dataset, inspections: Sequence[SliceInspection], kind: Kind, axis: Axis | None, image_size: int,
    normal_by: NormalBy,
) -> SlicePlans:
    """Decide how the training cases of `dataset`, all without errors, are cut. axis: that was asked for, or None.

    Raises AutosegError where fewer than two cases have normal slices.
    """
    training = set(dataset.training)
    cases = {entry.case.name: entry.measured for entry in inspections if entry.measured and entry.case in training}
    chosen, reason = _axis(list(cases.values()), kind, axis)
    windows = _windows(dataset, cases, kind)
    plans = SlicePlans(
        dataset=dataset.name, versions=versions(), axis=chosen, image_size=image_size, channel_names=kind.channel_names,
        windows=windows, normal_by=normal_by, source=dataset, reasons={
            "axis": reason,
            "image_size": f"{image_size} × {image_size} pixels, as asked for or by default; images are fitted in as a whole",
            "channel_names": "as dataset.json names them" if dataset.channel_names else "as most images have them",
            "windows": "; ".join(window_in_words(name, window) for name, window in zip(kind.channel_names, windows, strict=True)),
            "normal_by": _about_normal(normal_by)})
    normal = {name: _normal_slices(name, measured, plans) for name, measured in cases.items()}
    require_normal_slices(plans, normal)
    return plans


def require_normal_slices(plans: SlicePlans, normal: Mapping[str, int]) -> None:
    """Raises AutosegError where fewer than two cases have normal slices. normal: case to how many it has."""
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


def _normal_slices(name: str, measured: Measured, plans: SlicePlans) -> int:
    truths = measured.truths[cut_along(measured.geometry, plans.axis)]
    return sum(may_be_trained_on(truths, [False] * len(truths), plans.source.case_labels.get(name)))


def _axis(cases: Sequence[Measured], kind: Kind, wish: Axis | None) -> tuple[Axis | None, str]:
    if kind.pictures:
        return None, "pictures are one slice each"
    if wish is not None:
        return wish, "as asked for"
    spacings = [{world: case.geometry.spacing_mm[a] for a, (world, _) in enumerate(case.geometry.world_axes())} for case in cases]
    median_mm = {axis: float(np.median([of_case[WORLD_AXIS[axis]] for of_case in spacings])) for axis in PREFERRED}
    largest_mm = max(median_mm.values())
    chosen = next(axis for axis in PREFERRED if median_mm[axis] >= EQUALLY_COARSE * largest_mm)
    listed = ", ".join(f"{axis} {mm:.3g} mm" for axis, mm in median_mm.items())
    return chosen, f"slices lie farthest apart along it (median distance of neighbours: {listed})"


def _windows(dataset: Dataset, cases: Mapping[str, Measured], kind: Kind) -> tuple[IntensityWindow | None, ...]:
    """CT: over all cases that are not called abnormal."""
    samples = {name: measured.samples for name, measured in cases.items()
               if measured.samples is not None and dataset.case_labels.get(name) != "abnormal"}
    return common_windows(kind.channel_names, samples)


def _about_normal(normal_by: NormalBy) -> str:
    return {
        "case_labels": "slices of the cases that are called normal",
        "foreground": "slices without foreground in their label",
        "all": "all slices, but for cases that are called abnormal",
    }[normal_by]


def _either(values: Sequence[object]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}"
