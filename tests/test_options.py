"""Options as flags, and options from what a user gave, for every task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from autoseg.errors import AutosegError
from autoseg.options import flag_of, options_flags, options_from
from autoseg.tasks.anomaly.options import PlanOptions as AnomalyOptions
from autoseg.tasks.localization.options import PlanOptions as LocalizationOptions
from autoseg.tasks.localization.options import PredictOptions as LocalizationPredictOptions
from autoseg.tasks.segmentation.options import PlanOptions as SegmentationOptions

ALL = (SegmentationOptions, AnomalyOptions, LocalizationOptions)


@pytest.mark.parametrize("options", ALL, ids=lambda options: options.__module__)
def test_every_option_has_a_default_and_says_what_it_does(options: type[BaseModel]) -> None:
    assert options_flags(options()) == []
    assert all(field.description for field in options.model_fields.values())


@pytest.mark.parametrize(("options", "flags"), [
    (SegmentationOptions(configurations=("2d", "3d_fullres"), memory_gb=12), ["-c", "2d", "3d_fullres", "--memory-gb", "12"]),
    (SegmentationOptions(planner="resenc_l", memory_gb=7.5), ["--planner", "resenc_l", "--memory-gb", "7.5"]),
    (AnomalyOptions(axis="axial", image_size=128, normal="all"), ["--axis", "axial", "--image-size", "128", "--normal", "all"]),
    (LocalizationOptions(find=("L3",), slab=0.5, axis="z"), ["--find", "L3", "--slab", "0.5"]),
    (LocalizationOptions(find=("carina",), points=Path("/a b.csv"), window=(1, 99.5), size=(64, 32)),
     ["--find", "carina", "--points", "/a b.csv", "--window", "1", "99.5", "--size", "64", "32"]),
])
def test_options_that_differ_from_their_defaults_are_flags(options: BaseModel, flags: list[str]) -> None:
    assert options_flags(options) == flags


def test_a_text_alone_stands_for_a_list_of_it() -> None:
    wanted = LocalizationOptions(find=("L3",), size=(8, 9))
    assert options_from(LocalizationOptions, {"find": ["L3"], "size": (8, 9)}) == wanted
    assert options_from(LocalizationOptions, {"find": "L3", "size": [8, 9]}) == wanted
    assert options_from(LocalizationPredictOptions, {"settings": "threshold=0.4"}).settings == ("threshold=0.4",)
    assert options_from(SegmentationOptions, {"configurations": "2d"}).configurations == ("2d",)
    with pytest.raises(AutosegError, match='--size cannot be "8": '):
        options_from(LocalizationOptions, {"size": "8"})


def test_a_value_of_the_wrong_type_is_one_line_that_names_the_flag() -> None:
    with pytest.raises(AutosegError, match='--memory-gb cannot be "much": Input should be a valid number') as told:
        options_from(SegmentationOptions, {"memory_gb": "much"})
    assert len(str(told.value).splitlines()) == 1 and flag_of(SegmentationOptions, "configurations") == "-c"
    with pytest.raises(AutosegError, match='--size cannot be "8": '):
        options_from(LocalizationOptions, {"size": (8,)})


def test_options_are_read_without_anything_heavy() -> None:
    modules = ", ".join(options.__module__ for options in ALL)
    script = f"import sys, {modules}, autoseg.options; assert not {{'numpy', 'torch', 'rich'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
