"""From a dataset to stored projections as a user types it: where the level is, what cannot be planned or trained."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.api.common import planned_for
from autoseg.api.planning import PlanResult
from autoseg.api.tasks import plan_projection, task_of
from autoseg.cli.main import main
from autoseg.dataset import load_dataset
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Image
from autoseg.image_io import read_image, read_label, write_image, write_label
from autoseg.tasks.localization import INFO as LOCATION
from autoseg.tasks.localization.options import PlanOptions
from autoseg.tasks.localization.plan import ProjectionPlans, Target
from autoseg.tasks.localization.store import open_projection
from autoseg.workspace import Workspace, read_json, read_model

SHORT = ("-tr", "locator", "--epochs", "1", "--iterations", "2", "--device", "cpu", "--set", "base_features=4", "--set",
         "batch_size=2", "--set", "precision=float32")


@pytest.fixture
def balls(tmp_path: Path, make_balls: Callable[..., Path]) -> Path:
    """Four volumes with a ball and one without."""
    return make_balls(tmp_path, with_ball=4, without=1)


def plan_quietly(dataset: Path, work: Path, find: Any = "ball", **changes: Any) -> PlanResult:
    return plan_projection(dataset, find=find, workers=1, workspace=work, quiet=True, **changes)


def counted(result: PlanResult) -> tuple[int, int, int]:
    """Cases with the level, without it, and those of which it is not known."""
    return result.counts.there, result.counts.absent, result.counts.unknown


def times(work: Path, name: str = "Dataset002_Balls") -> dict[str, int]:
    stored = work / name / "preprocessed" / "projection"
    return {path.name: path.stat().st_mtime_ns for path in sorted(stored.glob("*.b2nd"))}


def test_volumes_become_projections_with_the_level(balls: Path, tmp_path: Path) -> None:
    result = plan_quietly(balls, tmp_path / "work")
    assert counted(result) == (4, 1, 0) and not result.failed and result.name == balls.name
    plans = result.plans
    assert (plans.axis, plans.project, plans.target) == ("z", "x", Target(name="ball", labels=("ball",)))
    folder = planned_for(str(balls), Workspace(tmp_path / "work"), task_of(LOCATION))
    assert read_model(folder.plans_of(LOCATION), ProjectionPlans) == plans and load_dataset(folder.root) == load_dataset(balls)
    for number in range(5):
        stored = open_projection(folder.preprocessed("projection"), f"ball_{number}")
        assert stored.is_known and (stored.level is None) == (number == 4)
        if stored.level is not None:
            slices = np.flatnonzero((read_label(balls / f"labelsTr/ball_{number}.nii.gz").array[0] == 1).any((1, 2)))
            assert stored.slice_of(stored.level.row) == pytest.approx(slices.mean())
            bright = stored.read()[1].max(1) > 0.9  # the ball, where the level is
            rows = np.arange(len(bright))
            assert rows[bright].min() >= stored.level.top - 1 and rows[bright].max() <= stored.level.bottom + 1


def test_what_is_asked_for_is_planned_and_the_rest_measured(balls: Path, tmp_path: Path) -> None:
    plans = plan_quietly(balls, tmp_path / "work", ["1", "mark"], axis="y", project="z", slab=0.8, window=(1, 99), spacing=1.5,
                         size=(20, 24), depth=2).plans
    assert plans.target == Target(name="the middle between ball and mark", labels=("ball", "mark"))
    assert (plans.axis, plans.project, plans.slab, plans.percentiles, plans.pixel_mm) == ("y", "z", 0.8, (1, 99), 1.5)
    assert plans.size == (20, 24) and len(plans.network.strides) == 2


def test_a_longer_training_or_another_depth_leaves_projections_as_they_are(balls: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    plan_quietly(balls, work)
    first = times(work)
    result = plan_quietly(balls, work, depth=2, size=(32, 32))
    assert times(work) == first and result.plans.size == (32, 32)


def unlabelled(tmp_path: Path, balls: Path) -> Path:
    """As a user has it who never segmented anything: no labelsTr, and dataset.json names background alone."""
    folder = tmp_path / "Dataset003_Unlabelled"
    (folder / "imagesTr").mkdir(parents=True)
    for path in (balls / "imagesTr").iterdir():
        (folder / "imagesTr" / path.name).write_bytes(path.read_bytes())
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0}, "numTraining": 5, "file_ending": ".nii.gz"})
    return folder


def test_a_list_of_points_serves_a_dataset_without_any_labels(balls: Path, tmp_path: Path) -> None:
    folder, work = unlabelled(tmp_path, balls), tmp_path / "work"
    points = tmp_path / "points.csv"
    points.write_text("case,mm\nball_0,60.5\nball_1,61\nball_2,\nball_3,58\n")
    result = plan_quietly(folder, work, (), points=points)
    assert counted(result) == (3, 1, 1) and result.plans.target.name == "the point"
    assert result.plans.slab == 0.5
    assert result.plans.options == PlanOptions(points=points)
    assert result.plans.without_cases().options == PlanOptions()  # a model does not say where its training data is stored
    for number, mm in ((0, 60.5), (1, 61.0)):  # slices begin at 30 mm, or at 99 mm and run down
        stored = open_projection(work / folder.name / "preprocessed/projection", f"ball_{number}")
        assert stored.level is not None and stored.level.column is None
        assert stored.slice_of(stored.level.row) == pytest.approx((mm - 30) / 3 if number == 0 else (99 - mm) / 3)
    first = times(work, folder.name)
    points.write_text("case,mm\nball_0,60.5\nball_1,64\nball_2,\nball_3,58\nball_4,50\n")
    assert counted(plan_quietly(folder, work, "carina", points=points)) == (4, 1, 0)
    assert {name for name, time in times(work, folder.name).items() if time != first[name]} == {"ball_1.b2nd", "ball_4.b2nd"}
    with pytest.raises(AutosegError, match="There are: none but background"):
        plan_quietly(folder, work, ())
    with pytest.raises(AutosegError, match="There is no label ball to be found"):
        plan_quietly(folder, work)


def test_beside_points_labels_may_be_missing_or_wrong(balls: Path, tmp_path: Path) -> None:
    (balls / "labelsTr/ball_0.nii.gz").unlink()
    label = read_label(balls / "labelsTr/ball_1.nii.gz")
    write_label(balls / "labelsTr/ball_1.nii.gz", np.full(label.array.shape[1:], 9, np.uint8), like=label)
    points = tmp_path / "points.csv"
    points.write_text("case,mm\nball_0,60.5\nball_1,61\nball_2,58\n")
    result = plan_quietly(balls, tmp_path / "work", "the ball", points=points)
    assert counted(result) == (3, 0, 2)
    written = read_json(tmp_path / "work" / balls.name / "dataset.json")  # the dataset itself, labels and all
    assert written["labels"]["values"]["ball"] == 1 and written["training"][1]["label"].endswith("ball_1.nii.gz")


def test_channels_can_be_chosen(balls: Path, tmp_path: Path) -> None:
    plans = plan_quietly(balls, tmp_path / "work", channels=["maximum"]).plans
    assert plans.seen == ("maximum",) and plans.channels == 1 and "as asked for" in plans.reasons["seen"]
    assert open_projection(tmp_path / "work" / balls.name / "preprocessed/projection", "ball_0").read().shape[0] == 1
    for channels, message in ((["median"], "There is no channel median of a projection. There are: both, maximum, mean"),
                              (["mean", "mean"], "The channels mean mean were asked for"), ([], "one at least")):
        with pytest.raises(AutosegError, match=message):
            plan_quietly(balls, tmp_path / "work", channels=channels)


def test_bad_cases_are_told_and_left_out_on_request(balls: Path, tmp_path: Path) -> None:
    image = read_image(balls / "imagesTr/ball_0_0000.nii.gz")
    image.array[:] = 7
    write_image(balls / "imagesTr/ball_0_0000.nii.gz", image.array, like=image)
    picture = Image(image.array[:, :1], image.geometry)
    picture.array[0, 0, 0, 0] = 9
    write_image(balls / "imagesTr/ball_1_0000.nii.gz", picture.array, like=picture)
    write_label(balls / "labelsTr/ball_1.nii.gz", np.zeros((1, 12, 10), np.uint8), like=picture)
    with pytest.raises(AutosegError, match="Dataset002_Balls has 2 errors in 2 cases"):
        plan_quietly(balls, tmp_path / "work")
    assert not (tmp_path / "work").exists()
    result = plan_quietly(balls, tmp_path / "work", skip_bad_cases=True)
    assert [case.name for case in result.plans.source.training] == ["ball_2", "ball_3", "ball_4"]
    errors = [entry for entry in read_json(tmp_path / "work" / balls.name / "findings.json") if entry["severity"] == "error"]
    assert [entry["case"] for entry in errors] == ["ball_0", "ball_1"]
    assert "the same value everywhere" in errors[0]["problem"] and "a volume of several slices" in errors[1]["problem"]


def test_a_level_in_fewer_than_two_cases_is_told(tmp_path: Path, make_balls: Callable[..., Path]) -> None:
    balls = make_balls(tmp_path, with_ball=1, without=2)
    with pytest.raises(AutosegError, match="ball is in case ball_0 alone of its 3 training cases"):
        plan_quietly(balls, tmp_path / "work")
    assert not (tmp_path / "work").exists()
    assert plan_quietly(balls, tmp_path / "work", "mark").counts.there == 3


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, and the last lines of what was said and of errors."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_say_what_was_found_and_what_comes_next(
    balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ["--workspace", str(tmp_path / "work")]
    code, out, _ = run(capsys, "plan_and_preprocess", balls, "--planner", "projection", "--find", "ball", "--spacing", "3",
                       "--slab", "0.75", "--depth", "2", "-np", "1", *work)
    *_, wrote, found, following = out.strip().splitlines()
    assert code == 0 and wrote == f"Wrote {tmp_path}/work/{balls.name}: dataset.json, plans_localization.json, preprocessed/"
    assert found == ("To be found along z: ball. It is in 4 cases, not in 1. The middle 75% of each are "
                     "projected along x, to pixels of 3 mm.")
    assert following == f"Next: autoseg_train {balls} 0 -tr locator {shlex.join(work)}"
    code, out, err = run(capsys, "train", balls, "0", *SHORT, *work)
    assert code == 0 and "Trained on" in out + err and "validation/" in out
    assert f"  autoseg_train {balls.name} 1 2 3 4 -c projection -tr locator --epochs 1 --iterations 2" in out
    model = tmp_path / "work" / balls.name / "models/projection/locator"
    assert (model / "fold_0/validation/summary.json").exists() and (model / "fold_0/validation/locations.csv").exists()
    code, out, err = run(capsys, "train", balls, "0", *SHORT, *work)
    assert code == 0 and "Fold 0 of projection, locator is trained already (--restart begins anew)." in " ".join(
        (out + err).split())
    code, out, err = run(capsys, "train", balls, "0", "--continue", *SHORT[:2], *work)
    assert code == 0
    code, out, _ = run(capsys, "train", balls, "1", "2", "3", "4", *SHORT, *work)
    assert code == 0 and (model / "summary.json").exists()
    assert out.strip().splitlines()[-1].startswith("Next: autoseg_predict -i IMAGES -o LOCATIONS --workspace")
    assert read_json(model / "summary.json")["cases"] == 4


REFUSED = [
    ([], "Error: It was not said what is to be found. Name one label with --find, or two"),
    (["--find", "L3"], "Error: There is no label L3 to be found. There are: ball, mark."),
    (["--find", "ball", "--axis", "axial"], 'Error: There is no axis "axial" to find something along'),
    (["--find", "ball", "--axis", "x", "--project", "x"], "Error: --axis and --project are both x"),
    (["--find", "ball", "--slab", "50"], "Error: A slab of 50.0 was asked for, but it is a share"),
    (["--find", "ball", "--spacing", "-1"], "Error: Pixels of -1.0 mm were asked for"),
    (["--find", "ball", "--window", "99", "1"], "Error: A window between the percentiles (99.0, 1.0)"),
    (["--find", "ball", "--size", "4", "4"], "Error: A size of (4, 4) pixels was asked for"),
    (["--find", "ball", "--depth", "99"], "Error: A depth of 99 was asked for"),
    (["--points", "/nowhere/points.csv"], "Error: /nowhere/points.csv does not exist."),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED, ids=[" ".join(flags) for flags, _ in REFUSED])
def test_what_cannot_be_planned_is_one_clear_line(
    balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    code, out, err = run(capsys, "plan_and_preprocess", balls, "--planner", "projection", *flags, "-np", "1", "--workspace",
                         tmp_path / "work")
    assert code == 1 and err.startswith(message) and len(err.splitlines()) == 1 and "Traceback" not in out + err
    assert not (tmp_path / "work").exists()


def test_the_recipe_and_the_configuration_must_fit(balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = ["--workspace", str(tmp_path / "work")]
    for words, message in (
        (["train", balls, "0", "-tr", "locator"], "--planner projection --find LABEL"),
        (["train", balls, "0", "-c", "projection"], "trains segmentation models, and projection is for locators: train with -tr"),
        (["train", balls, "0", "-tr", "anogan", "-c", "projection"], "and projection is for locators: train with -tr locator"),
        (["train", balls, "0", "-tr", "locator", "-c", "2d"], '"locator" trains locators, and 2d is for segmentation models'),
        (["train", balls, "0", "-tr", "locator", "-c", "5d"], '"locator" trains on projection, and not on 5d. Leave out -c.'),
        (["train", balls, "0", "-tr", "locator", "-c", "slices"], "and slices is for anomaly detectors"),
    ):
        code, _, err = run(capsys, *words, *work)
        assert code == 1 and message in err and len(err.splitlines()) == 1, err
    plan_quietly(balls, tmp_path / "work")
    for flags, message in (
        (["--set", "threshold=2"], "threshold"), (["--set", "loss=dice_ce"], "loss"), (["--set", "band=tall"], "band"),
        (["--set", "absent_share=0.9"], "absent_share=0.9 and window_share=0.15 are shares of one batch"),
        (["--continue"], "Fold 0 has nothing to continue"),
    ):
        code, _, err = run(capsys, "train", balls, "0", "-tr", "locator", "--device", "cpu", *flags, *work)
        assert code == 1 and message in err and err.startswith("Error: ") and "Traceback" not in err, err
    code, _, err = run(capsys, "train", balls, "9", *SHORT, *work)
    assert code == 1 and err.startswith('Error: There is no fold "9"')


def test_lumbar_spines_are_projected_from_the_side(shared_data: Path, tmp_path: Path) -> None:
    source = load_dataset(shared_data / "Dataset010_LumbarSpine")
    copy = tmp_path / "Dataset010_Two"
    write_json(copy / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": source.labels.values, "numTraining": 2, "file_ending": ".nii.gz",
        "dataset": {case.name: {"images": [str(case.images[0])], "label": str(case.label)} for case in source.training[:2]}})
    assert "L3" in json.dumps(source.labels.values)
    rows = {}
    for label in ("L1", "L3", "L5"):
        result = plan_quietly(copy, tmp_path / "work", label)
        stored = [open_projection(result.folder / "preprocessed/projection", case.name) for case in source.training[:2]]
        rows[label] = [case.level.row for case in stored if case.level is not None]
    assert [len(found) for found in rows.values()] == [2, 2, 2]
    for one, two, three in zip(*rows.values(), strict=True):
        assert one < two < three  # L1 above L3 above L5
