"""Numbers of plans, model.json, settings and options: validated where they are defined, so that nothing later meets others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint
from autoseg.intensities import IntensityWindow
from autoseg.options import options_from
from autoseg.plan import Frozen, Plans
from autoseg.preprocessing.store import CaseProperties
from autoseg.settings import chosen_settings
from autoseg.tasks.anomaly.dcgan import GanShape
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.localization.settings import LocalizationSettings
from autoseg.trainers.segmentation.settings import SegmentationSettings
from autoseg.workspace import read_model

NETWORK = {"features": [8, 16], "strides": [[1, 1, 1], [2, 2, 2]], "kernel_sizes": [[3, 3, 3]] * 2, "convs_per_stage": [2, 2]}
CONFIGURATION = {
    "spacing_mm": [1, 1, 1], "median_shape": [9, 9, 9], "patch_size": [8, 8, 8], "batch_size": 2, "normalization": ["ct"],
    "normalize_inside_mask": [False], "network": NETWORK}
CT = {"mean": 1, "std": 1, "median": 1, "percentile_00_5": 0, "percentile_99_5": 2}
PLANS = {"dataset": "D", "planner": "default", "transpose": [0, 1, 2], "versions": {}, "foreground_intensities": {"0": CT},
         "configurations": {"c": CONFIGURATION}}
CASE = {"spacing_mm": [1, 1, 1], "shape": [4, 4, 4], "shape_after_crop": [4, 4, 4], "share_kept": 1, "orientation": None}
STORED = {
    "case": "a", "shape_original": [4, 5, 6], "spacing_mm": [1, 1, 1], "transpose": [2, 0, 1],
    "crop_box": [[0, 6], [1, 3], [0, 5]],
    "shape_cropped": [6, 2, 5], "shape_resampled": [6, 2, 5], "spacing_resampled_mm": [1, 1, 1], "versions": {}}
GAN = {"image_size": 64, "channels": 1, "latent": 4, "conv_layers": 4, "features": 8}


def read(folder: Path, model: type[Frozen], content: Any) -> Frozen:
    (folder / "file.json").write_text(json.dumps(content))
    return read_model(folder / "file.json", model)


def with_entry(content: Any, where: tuple[str | int, ...], value: Any) -> Any:
    """A copy in which the entry `where` has another value."""
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    return copy


IN_CONFIGURATION: list[tuple[tuple[str | int, ...], list[Any]]] = [
    (("patch_size",), [[-4, 8, 8], [0, 8, 8], [8, 8], [8, 8, 7], [2**20, 8, 8], [], [8.5, 8, 8], [1e30, 8, 8], ["a", 8, 8]]),
    (("spacing_mm",), [[-1, 1, 1], [0, 1, 1], [1, 1], [float("nan"), 1, 1], [float("inf"), 1, 1], [None, 1, 1], [1e308, 1, 1],
                       [5e-324, 1, 1]]),
    (("median_shape",), [[0, 9, 9], [9, 9], [10**18, 9, 9]]),
    (("batch_size",), [0, -1, 1e30, 10**18]),
    (("normalization",), [["ct", "ct"], ["no such"]]),
    (("memory_values",), [-1, float("nan")]),
    (("network", "strides"), [[[2, 2, 2], [2, 2, 2]], [[1, 1, 1], [0, 2, 2]], [[1, 1, 1], [-2, 2, 2]], [[1, 1, 1], [2, 2]],
                              [[1, 1], [2, 2]], [[1, 1, 1]], [[], []], [[1, 1, 1], [10**9, 2, 2]]]),
    (("network", "kernel_sizes"), [[[3, 3, 3], [2, 3, 3]], [[3, 3, 3], [-3, 3, 3]], [[3, 3, 3], [3, 3]], [[3, 3, 3]] * 3,
                                   [[3, 3, 3], [10**6 + 1, 3, 3]]]),
    (("network", "features"), [[0, 8], [-8, 8], [], [8], [10**9, 8]]),
    (("network", "convs_per_stage"), [[10**6, 2], [0, 2], [2]]),
    (("network", "decoder_convs_per_stage"), [[10**6], [0], [2, 2]]),
]


@pytest.mark.parametrize(("where", "value"), [(where, value) for where, values in IN_CONFIGURATION for value in values])
def test_a_configuration_that_cannot_be_is_named_with_the_file(tmp_path: Path, where: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(AutosegError, match=r"file\.json does not fit .*configurations\.c"):
        read(tmp_path, Plans, with_entry(PLANS, ("configurations", "c", *where), value))


@pytest.mark.parametrize(("model", "content", "where", "value"), [
    *((Plans, PLANS, ("transpose",), value) for value in ([0, 1, 1], [0, 1, 3], [-1, 0, 1], [0, 1])),
    *((Plans, PLANS, ("orientation",), value) for value in ("", "LPX", "LLS", "LP")),
    *((Plans, PLANS, ("memory_gb",), value) for value in (-8, 0, 1e308, float("nan"))),
    (Plans, PLANS, ("foreground_intensities", "0", "std"), -1),
    (Plans, PLANS, ("foreground_intensities", "0", "mean"), float("nan")),
    (CaseFingerprint, CASE, ("spacing_mm", 0), -1), (CaseFingerprint, CASE, ("shape", 1), 0),
    (CaseFingerprint, CASE, ("share_kept",), 2),
    *((CaseFingerprint, CASE, ("unions",), {key: {"components": 1, "main_components": 1, "smallest_ml": 1}})
      for key in ("²", "", "1+")),
    (CaseProperties, STORED, ("transpose",), [0, 0, 0]), (CaseProperties, STORED, ("spacing_mm", 2), -1),
    (CaseProperties, STORED, ("crop_box", 0), [-1, 5]), (CaseProperties, STORED, ("crop_box", 0), [1, 7]),
    (CaseProperties, STORED, ("shape_resampled", 0), 0),
    (GanShape, GAN, ("conv_layers",), 10**6), (GanShape, GAN, ("features",), -1), (GanShape, GAN, ("image_size",), 10**9),
    (IntensityWindow, {"low": 0, "high": 1}, ("high",), 0), (IntensityWindow, {"low": 0, "high": 1}, ("high",), float("nan")),
])
def test_other_numbers_that_cannot_be_are_named(
    tmp_path: Path, model: type[Frozen], content: Any, where: Any, value: Any
) -> None:
    read(tmp_path, model, content)
    with pytest.raises(AutosegError, match=r"file\.json does not fit "):
        read(tmp_path, model, with_entry(content, where, value))


@pytest.mark.parametrize("settings", [SegmentationSettings(), AnomalySettings(), LocalizationSettings()])
@pytest.mark.parametrize(("key", "texts"), [
    ("batch_size", ["1e30", "9" * 30, "9" * 5000, "0", "-1", "1.5", "nan", "²"]),
    ("learning_rate", ["nan", "inf", "1e30", "0", "-1"]),
    ("epochs", ["1e30", "9" * 30, "0", "²", "٣x"]), ("iterations", ["1e30", "-1"]), ("max_hours", ["nan", "inf", "1e308", "0"]),
    ("seed", ["1e30", "-1"]),
])
def test_a_setting_beyond_its_bounds_is_named(settings: Any, key: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(AutosegError, match=f"{key}"):
            chosen_settings({key: text}, settings)


def test_settings_of_one_task_and_options_are_bounded_too() -> None:
    for key, text in (("latent", "1e9"), ("features", "10000000"), ("sample_epochs", "1e30"), ("search_steps", "9" * 20)):
        with pytest.raises(AutosegError, match=key):
            chosen_settings({key: text}, AnomalySettings())
    for text in ("1e30,8,8", "8,8,99999999"):
        with pytest.raises(AutosegError, match="patch_size"):
            chosen_settings({"patch_size": text}, SegmentationSettings())
    for value in (1e308, float("nan"), float("inf"), 0.0, -1.0):
        with pytest.raises(AutosegError, match="--memory-gb cannot be"):
            options_from(PlanOptions, {"memory_gb": value})
    assert options_from(PlanOptions, {"memory_gb": 24}).memory_gb == 24 and SearchSettings().restarts == 1
