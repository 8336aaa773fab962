"""What planning does for every task: what stays, what is made anew, what is refused, and that tasks leave each other alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.api.common import planned_for
from autoseg.api.planning import PlanResult, plan_and_preprocess, plan_where_needed
from autoseg.api.running import run
from autoseg.api.tasks import TASKS, Task, default_task, task_of_planner
from autoseg.cli.main import main
from autoseg.dataset import load_dataset
from autoseg.demo import make_synthetic_dataset
from autoseg.errors import AutosegError
from autoseg.files import _host, write_text
from autoseg.image_io import read_label, write_label
from autoseg.workspace import DatasetFolder, Workspace, read_json


@dataclass(frozen=True)
class Planning:
    """A planner with options that fit the dataset of balls, and further ones with which all cases become others."""

    planner: str
    options: dict[str, Any]
    others: dict[str, Any]

    @property
    def task(self) -> Task:
        return task_of_planner(self.planner)

    def plan(self, dataset: Path, work: Path, **options: Any) -> PlanResult:
        return plan_and_preprocess(
            dataset, planner=self.planner, workers=1, workspace=work, quiet=True, **{**self.options, **options})


PLANNINGS = (
    Planning("default", {"configurations": ["2d"]}, {"configurations": ["3d_fullres"]}),
    Planning("slices", {"normal": "all"}, {"image_size": 128}),
    Planning("projection", {"find": "ball"}, {"find": ["ball", "mark"]}),
    Planning("classification", {"roi": "labels", "edge": 12}, {"edge": 8}),
)
every_task = pytest.mark.parametrize("planning", PLANNINGS, ids=lambda planning: planning.planner)


def test_every_task_is_planned_here() -> None:
    assert [planning.task for planning in PLANNINGS] == list(TASKS)


@pytest.fixture
def balls(tmp_path: Path, make_balls: Callable[..., Path]) -> Path:
    """Three volumes with a ball and one without, and a table of grades."""
    folder = make_balls(tmp_path, with_ball=3, without=1)
    write_text(folder / "targets.csv", "case,grade\nball_0,low\nball_1,high\nball_2,low\nball_3,high\n")
    return folder


def times(result: PlanResult) -> dict[str, int]:
    """Each stored image, and when it was written."""
    stored = result.folder / "preprocessed" / result.configurations[0]
    return {path.stem: path.stat().st_mtime_ns for path in sorted(stored.glob("ball_?.b2nd"))}


def correct(path: Path) -> None:
    """Take a voxel away from the label 2."""
    label = read_label(path)
    label.array[label.array == 2] = 0
    write_label(path, label.array[0].astype(np.uint8), label)


@every_task
def test_stored_cases_stay_until_their_files_or_the_plans_change(balls: Path, tmp_path: Path, planning: Planning) -> None:
    work = tmp_path / "work"
    first = planning.plan(balls, work)
    assert first.name == balls.name and not first.failed and len(times(first)) == 4
    before, stored = times(first), first.folder / "preprocessed" / first.configurations[0]
    assert times(planning.plan(balls, work)) == before
    (stored / "ball_1.json").unlink()  # killed before it was whole
    (stored / "ball_2.b2nd").unlink()
    now = times(planning.plan(balls, work))
    assert {name for name in before if before[name] != now[name]} == {"ball_1", "ball_2"}
    for path in balls.rglob("*.nii.gz"):  # as in a copy
        os.utime(path)
    assert times(planning.plan(balls, work)) == now
    correct(balls / "labelsTr/ball_0.nii.gz")
    before, now = now, times(planning.plan(balls, work))
    assert {name for name in before if before[name] != now[name]} == {"ball_0"}
    others = planning.plan(balls, work, **planning.others)
    assert not set(now.values()) & set(times(others).values())


@every_task
def test_tasks_leave_each_others_plans_and_cases_alone(balls: Path, tmp_path: Path, planning: Planning) -> None:
    place = Workspace(tmp_path / "work")
    folder, others = place.dataset(balls.name), [other for other in PLANNINGS if other != planning]
    with pytest.raises(AutosegError, match=r"has not been planned in the workspace .*needs that. Run: autoseg_plan_and_prep"):
        planned_for(str(balls), place, planning.task)
    results = [other.plan(balls, place.root) for other in others]
    with pytest.raises(AutosegError, match=f"has been planned for .* but not for {planning.task.info.plural} in the workspace"):
        planned_for(str(balls), place, planning.task)
    its = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (
        *(folder.plans_of(other.task.info) for other in others), *(path for other in results for path in sorted(
            (folder.root / "preprocessed" / other.configurations[0]).rglob("*.*"))))}
    planning.plan(balls, place.root)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in its} == its
    assert {planned_for(balls.name, place, task).root for task in TASKS} == {folder.root}


def test_what_a_segmentation_relies_on_is_not_written_anew_for_another_task(balls: Path, tmp_path: Path) -> None:
    default, *others = PLANNINGS
    folder = default.plan(balls, tmp_path / "work").folder
    for name in ("dataset.json", "findings.json"):
        (folder / name).write_text((folder / name).read_text() + "\n" * 9)  # which no planning writes
    before = {name: (folder / name).read_bytes() for name in ("dataset.json", "fingerprint.json", "findings.json")}
    for other in others:
        other.plan(balls, tmp_path / "work")
        assert {name: (folder / name).read_bytes() for name in before} == before


@every_task
def test_a_planning_that_is_killed_leaves_no_case_of_the_plans_before(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planning: Planning
) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    result = planning.plan(balls, tmp_path / "work")
    correct(balls / "labelsTr/ball_0.nii.gz")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"autoseg.tasks.{planning.task.info.name}.store.preprocess", killed)
        planning.plan(balls, tmp_path / "work")
    stored = sorted(path.stem for path in (result.folder / "preprocessed" / result.configurations[0]).glob("ball_?.json"))
    assert stored == ["ball_1", "ball_2", "ball_3"]


def test_what_a_killed_planning_left_is_removed(balls: Path, tmp_path: Path) -> None:
    left = tmp_path / "work" / balls.name / f".tmp-{_host()}.999999999.00000000-plans.json"
    left.parent.mkdir(parents=True)
    left.touch()
    PLANNINGS[1].plan(balls, tmp_path / "work")
    assert not left.exists()


def test_cases_that_were_left_out_are_told_until_their_files_are_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_synthetic_dataset(tmp_path, training=3, test=0, shape=(6, 14, 14))
    image = dataset / "imagesTr" / "synthetic_001_0000.nii.gz"
    whole = image.read_bytes()
    image.write_bytes(whole[:400])
    source, folder = load_dataset(dataset), DatasetFolder(tmp_path / "work" / dataset.name)
    only_2d = {"configurations": ["2d"]}
    plan_and_preprocess(dataset, workers=1, skip_bad_cases=True, workspace=folder.root.parent, quiet=True, **only_2d)
    planned = folder.plans_json.read_bytes()
    plan_where_needed(default_task(), source, folder, only_2d, workers=1)
    assert "Left out, as they had errors when the dataset was planned: synthetic_001." in capsys.readouterr().out
    assert folder.plans_json.read_bytes() == planned and not (folder.preprocessed("2d") / "synthetic_001.json").exists()
    image.write_bytes(whole)
    plan_where_needed(default_task(), source, folder, only_2d, workers=1)
    assert "Left out" not in capsys.readouterr().out
    assert folder.plans_json.read_bytes() != planned and (folder.preprocessed("2d") / "synthetic_001.json").exists()


@pytest.mark.parametrize("verb", [plan_and_preprocess, run])
def test_a_configuration_that_is_none_is_told_before_any_image_is_read(
    tiny_dataset: Path, tmp_path: Path, verb: Callable[..., object]
) -> None:
    for path in (tiny_dataset / "imagesTr").iterdir():
        path.write_bytes(b"no image")
    for configurations in ("4d", ["2d", "4d"]):
        with pytest.raises(AutosegError, match="There is no configuration 4d. There are: 2d, 3d_fullres, 3d_lowres, 3d_"):
            verb(tiny_dataset, configurations=configurations, workspace=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_an_option_that_no_task_has_is_wrong_use_of_the_function(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="there is no option colour; there are: configurations, planner, memory_gb, training_g"):
        plan_and_preprocess(tmp_path, colour="red")


@pytest.mark.parametrize("verb", [plan_and_preprocess, run])
def test_a_raw_dataset_in_the_workspace_is_not_written_over(tmp_path: Path, verb: Callable[..., object]) -> None:
    dataset = make_synthetic_dataset(tmp_path, training=3, test=0, shape=(6, 14, 14))
    before = (dataset / "dataset.json").read_bytes()
    with pytest.raises(AutosegError, match="is the raw dataset itself.* Choose another --workspace"):
        verb(dataset, configurations=["2d"], workspace=tmp_path, quiet=True)
    assert (dataset / "dataset.json").read_bytes() == before
    assert sorted(path.name for path in dataset.iterdir()) == ["dataset.json", "imagesTr", "labelsTr"]


def test_plans_of_another_planner_are_not_thrown_away_by_a_run(tmp_path: Path) -> None:
    dataset = make_synthetic_dataset(tmp_path, training=3, test=0, shape=(6, 14, 14))
    source, folder = load_dataset(dataset), DatasetFolder(tmp_path / "work" / dataset.name)

    def needed(**changes: Any) -> PlanResult:
        planner = changes.pop("planner", None)
        return plan_where_needed(
            default_task(), load_dataset(dataset), folder, {"configurations": ["2d"], **changes}, planner, workers=1, quiet=True)

    first = needed(planner="resenc_m")
    assert first.plans.planner == "resenc_m" and first.plans.configurations["2d"].network.name == "resunet"
    assert needed().plans == first.plans
    with pytest.raises(AutosegError, match=r"other options: planner resenc_m \(now unet3plus\). Leave .* --planner u"):
        needed(planner="unet3plus")
    with pytest.raises(AutosegError, match=r"options: memory_gb .*\(now 16.*\). Leave .* --planner resenc_m --memory-gb 16"):
        needed(memory_gb=16)
    with pytest.raises(AutosegError, match='There is no planner "resnec". There are: default, resenc_m'):
        needed(planner="resnec")
    assert not folder.preprocessed("3d_fullres").exists()
    (dataset / "imagesTr" / "synthetic_002_0000.nii.gz").unlink()
    (dataset / "labelsTr" / "synthetic_002.nii.gz").unlink()
    again = needed()
    assert again.plans.planner == "resenc_m" and again.plans.memory_gb is None and again.plans != first.plans
    assert len(source.training) == len(read_json(folder.dataset_json)["training"]) + 1


@pytest.mark.parametrize(("flags", "message"), [
    (["--slab", "0.5"], "--slab is for locators, but the model meant here is a segmentation model. Leave it out, or choose"),
    (["--axis", "axial"], "--axis is for anomaly detectors and locators, but the model meant here is a segmentation model."),
    (["--planner", "slices", "-c", "2d", "--memory-gb", "8"],
     "-c and --memory-gb are for segmentation models, but the model meant here is an anomaly detector. Leave them out, or choose "
     "another --planner."),
    (["--planner", "projection", "--normal", "all", "--image-size", "64"],
     "--image-size and --normal are for anomaly detectors, but the model meant here is a locator. Leave them out"),
    (["--planner", "median"], 'There is no planner "median". There are: default, resenc_m, '),
])
def test_flags_of_another_task_are_refused_in_one_line(
    balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["plan_and_preprocess", str(balls), *flags, "--workspace", str(tmp_path / "work")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {message}") and len(error.splitlines()) == 1 and not (tmp_path / "work").exists()
