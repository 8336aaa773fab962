"""Options as flags, and options from what a user gave, for every task."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from autoseg.errors import AutosegError
from autoseg.options import Flag, flag_of, flags_of, given_options, options_flags, options_from, planning_command, require_known
from autoseg.plan import Frozen
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.options import PlanOptions as AnomalyOptions
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.localization.options import PlanOptions as LocalizationOptions
from autoseg.tasks.localization.options import PredictOptions as LocalizationPredictOptions
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.tasks.segmentation.options import PlanOptions as SegmentationOptions
from autoseg.tasks.segmentation.options import PredictOptions as SegmentationPredictOptions
from autoseg.workspace import DatasetFolder

ALL = (SegmentationOptions, AnomalyOptions, LocalizationOptions)
COPY = replace(SEGMENTATION, name="copy")
PLANNING = {SEGMENTATION: SegmentationOptions, ANOMALY: AnomalyOptions, LOCALIZATION: LocalizationOptions}


class NoOptions(Frozen):
    """Of a task that has none."""


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
    assert options_from(LocalizationPredictOptions, {"settings": {"threshold": 0.4}}).settings == {"threshold": 0.4}
    assert options_from(SegmentationOptions, {"configurations": "2d"}).configurations == ("2d",)
    with pytest.raises(AutosegError, match='--size cannot be "8": '):
        options_from(LocalizationOptions, {"size": "8"})


def test_a_value_of_the_wrong_type_is_one_line_that_names_the_flag() -> None:
    with pytest.raises(AutosegError, match='--memory-gb cannot be "much": Input should be a valid number') as told:
        options_from(SegmentationOptions, {"memory_gb": "much"})
    assert len(str(told.value).splitlines()) == 1 and flag_of(SegmentationOptions, "configurations") == "-c"
    with pytest.raises(AutosegError, match='--size cannot be "8": '):
        options_from(LocalizationOptions, {"size": (8,)})


def parser_of(flags: list[Flag]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    for flag in flags:
        parser.add_argument(flag.name, **flag.arguments)
    return parser


def test_flags_of_several_tasks_are_what_a_command_line_takes() -> None:
    """What argparse makes of the flags gives the same options again; a flag that is not given is none of them."""
    flags = flags_of(PLANNING)
    assert len({flag.name for flag in flags}) == len(flags) == len({flag.field for flag in flags})
    parser = parser_of(flags)
    for wanted in (
        SegmentationOptions(configurations=("2d", "3d_lowres"), planner="resenc_l", memory_gb=7.5),
        AnomalyOptions(axis="axial", image_size=128, normal="all"), LocalizationOptions(),
        LocalizationOptions(find=("L3", "L4"), points=Path("/a b.csv"), slab=0.5, window=(1, 99.5), size=(64, 32), depth=3),
    ):
        values = vars(parser.parse_args(options_flags(wanted)))
        assert options_from(type(wanted), given_options(flags, values)) == wanted


def test_a_flag_that_tasks_share_says_for_whom_it_does_what() -> None:
    flags = {flag.field: flag for flag in flags_of(PLANNING)}
    assert flags["axis"].whom == ("anomaly detectors", "locators") and flags["slab"].whom == ("locators",)
    shared = str(flags["axis"].arguments["help"])
    assert shared.startswith("for anomaly detectors: sagittal, coronal or axial: ") and "; for locators: x, y or z: " in shared


def test_a_switch_that_is_on_is_turned_off_by_its_flag() -> None:
    flags = flags_of({SEGMENTATION: SegmentationPredictOptions})
    parser = parser_of(flags)
    assert given_options(flags, vars(parser.parse_args([]))) == {}
    given = given_options(flags, vars(parser.parse_args(["--no-mirroring", "--save-probabilities"])))
    assert given == {"mirroring": False, "save_probabilities": True}
    assert options_flags(SegmentationPredictOptions(mirroring=False, save_probabilities=True)) == [
        "--no-mirroring", "--save-probabilities"]


def test_options_of_other_tasks_are_refused_with_whose_they_are() -> None:
    require_known(PLANNING, LOCALIZATION, {"find": "L3", "axis": "z"}, "choose another --planner")
    with pytest.raises(AutosegError, match="^--slab is for locators, but the model meant here is a segmentation model. "
                       "Leave it out, or choose another --planner.$"):
        require_known(PLANNING, SEGMENTATION, {"memory_gb": 8, "slab": 0.5}, "choose another --planner")
    with pytest.raises(AutosegError, match="^--axis is for anomaly detectors and locators; --memory-gb is for "
                       "segmentation models, but .* Leave them out, or"):
        require_known({**PLANNING, COPY: NoOptions}, COPY, {"axis": "z", "memory_gb": 8}, "choose another --planner")
    with pytest.raises(TypeError, match="there is no option slap; there are: configurations, "):
        require_known(PLANNING, LOCALIZATION, {"slap": 0.5}, "choose another --planner")


def test_the_command_that_plans_names_the_planner_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    folder, verb = DatasetFolder(tmp_path / "D"), "autoseg_plan_and_preprocess D"
    assert planning_command(folder, SEGMENTATION, SegmentationOptions()) == verb
    assert planning_command(folder, SEGMENTATION, SegmentationOptions(planner="resenc_l")) == f"{verb} --planner resenc_l"
    assert planning_command(folder, ANOMALY, AnomalyOptions(normal="all")) == f"{verb} --planner slices --normal all"


def test_options_are_read_without_anything_heavy() -> None:
    modules = ", ".join(options.__module__ for options in ALL)
    script = f"import sys, {modules}, autoseg.options; assert not {{'numpy', 'torch', 'rich'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
