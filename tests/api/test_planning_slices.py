"""From a dataset to stored slices: layouts, which slices are normal, what cannot be cut, and real data."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.api.common import planned_for
from autoseg.api.planning import PlanResult, plan_and_preprocess
from autoseg.api.tasks import plan_slices, task_of
from autoseg.cli.main import main
from autoseg.dataset import load_dataset, read_case
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image_io import read_image, write_image
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.cutting import cut_image
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.store import open_slices
from autoseg.workspace import Workspace, read_json, read_model


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folders normal (three pictures, one of them colour that is gray in truth) and abnormal (two), of several sizes."""
    folder = tmp_path / "Pictures"
    random = np.random.default_rng(0)
    for name, size in (("normal/a.png", (90, 70)), ("normal/b.jpg", (64, 64)), ("abnormal/d.png", (70, 90)),
                       ("abnormal/e.tif", (64, 32))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(random.integers(0, 256, size, np.uint8)).save(folder / name)
    Pillow.fromarray(np.repeat(random.integers(0, 256, (40, 40, 1), np.uint8), 3, 2)).save(folder / "normal/c.png")
    return folder


def plan_quietly(dataset: Path, work: Path, **changes: Any) -> PlanResult:
    return plan_slices(dataset, workers=1, workspace=work, quiet=True, **changes)


def counted(result: PlanResult) -> dict[str, int]:
    return {name: getattr(result.counts, name) for name in ("normal", "abnormal", "unknown", "blank", "for_training")}


def test_folders_of_pictures_become_slices_with_their_truth(pictures: Path, tmp_path: Path) -> None:
    result = plan_quietly(pictures, tmp_path / "work")
    assert counted(result) == {"normal": 3, "abnormal": 2, "unknown": 0, "blank": 0, "for_training": 3} and not result.failed
    assert (result.plans.axis, result.plans.channel_names, result.plans.normal_by) == (None, ("gray",), "case_labels")
    folder = planned_for(str(pictures), Workspace(tmp_path / "work"), task_of(ANOMALY))
    assert read_model(folder.plans_of(ANOMALY), SlicePlans) == result.plans
    assert load_dataset(folder.root) == load_dataset(pictures)
    normal, abnormal = (open_slices(folder.preprocessed("slices"), name) for name in ("a", "d"))
    assert (normal.truths, normal.normal, normal.case_truth) == (("normal",), (True,), "normal")
    assert (abnormal.truths, abnormal.normal, abnormal.case_truth) == (("abnormal",), (False,), "abnormal")
    assert normal.read().shape == (1, 1, 64, 64)


def test_cases_that_are_cut_stay_until_their_file_or_the_plans_change(pictures: Path, tmp_path: Path) -> None:
    def times() -> dict[str, int]:
        stored = tmp_path / "work/Pictures/preprocessed/slices"
        return {path.name: path.stat().st_mtime_ns for path in sorted(stored.glob("*.b2nd"))}

    plan_quietly(pictures, tmp_path / "work")
    first = times()
    (tmp_path / "work/Pictures/preprocessed/slices/b.json").unlink()  # killed before it was whole
    Pillow.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(pictures / "normal/c.png")
    plan_quietly(pictures, tmp_path / "work")
    second = times()
    assert {name for name in first if first[name] != second[name]} == {"b.b2nd", "c.b2nd"}
    (pictures / "normal/a.png").rename(pictures / "abnormal/a.png")
    plan_quietly(pictures, tmp_path / "work")
    assert {name for name in first if second[name] != times()[name]} == {"a.b2nd"}
    assert open_slices(tmp_path / "work/Pictures/preprocessed/slices", "a").normal == (False,)
    plan_quietly(pictures, tmp_path / "work", image_size=128)
    assert all(times()[name] != second[name] for name in first)


def test_a_picture_in_colour_among_gray_ones_is_left_out_on_request_and_one_value_too(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)).save(pictures / "normal/colour.png")
    Pillow.new("L", (40, 40), 9).save(pictures / "normal/flat.png")
    with pytest.raises(AutosegError, match="Pictures has 2 errors in 2 cases"):
        plan_quietly(pictures, tmp_path / "work")
    assert not (tmp_path / "work").exists()
    result = plan_quietly(pictures, tmp_path / "work", skip_bad_cases=True)
    assert [case.name for case in result.plans.source.training] == ["a", "b", "c", "d", "e"]
    findings = read_json(tmp_path / "work/Pictures/findings.json")
    assert [(entry["case"], entry["severity"]) for entry in findings] == [("colour", "error"), ("flat", "error")]


def test_images_of_one_value_everywhere_are_nothing_to_learn_from(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / "Flat/normal").mkdir(parents=True, exist_ok=True)
        Pillow.new("L", (40, 40), 9).save(tmp_path / f"Flat/normal/{name}.png")
    with pytest.raises(AutosegError, match="Flat has 3 errors in 3 cases"):
        plan_quietly(tmp_path / "Flat", tmp_path / "work")
    with pytest.raises(AutosegError, match="Flat: no training case is without errors"):
        plan_quietly(tmp_path / "Flat", tmp_path / "work", skip_bad_cases=True)


def test_no_normal_pictures_are_told(pictures: Path, tmp_path: Path) -> None:
    for path in sorted((pictures / "normal").iterdir()):
        path.unlink()
    with pytest.raises(AutosegError, match="no normal slice in its 2 cases, of which 2 are called abnormal.* a folder named"):
        plan_quietly(pictures, tmp_path / "work")


def test_slices_without_foreground_are_normal_and_the_rest_abnormal(tiny_dataset: Path, tmp_path: Path) -> None:
    result = plan_quietly(tiny_dataset, tmp_path / "work", axis="sagittal")
    # of 5 sagittal slices, foreground lies at x = 1, 2 (organ) and 4 (lesion)
    assert counted(result) == {"normal": 6, "abnormal": 9, "unknown": 0, "blank": 0, "for_training": 6}
    stored = open_slices(result.folder / "preprocessed/slices", "tiny_0")
    assert stored.truths == ("normal", "abnormal", "abnormal", "normal", "abnormal")
    everything = plan_quietly(tiny_dataset, tmp_path / "work", axis="sagittal", normal="all")
    assert everything.counts.for_training == 15


def test_cases_that_are_called_normal_or_abnormal_may_be_without_label(tiny_dataset: Path, tmp_path: Path) -> None:
    source = tiny_dataset / "dataset.json"
    called = {"tiny_0": "normal", "tiny_1": "normal", "tiny_2": "abnormal", "tiny_3": "abnormal"}
    source.write_text(json.dumps({**json.loads(source.read_text()), "case_labels": called}))
    (tiny_dataset / "labelsTr/tiny_0.nii.gz").unlink()
    result = plan_quietly(tiny_dataset, tmp_path / "work")
    # axial is 3 mm apart; of the abnormal case, foreground lies at z = 1, 2, 3 of 4, of the others all 8 slices are normal
    assert result.plans.axis == "axial"
    assert counted(result) == {"normal": 8, "abnormal": 3, "unknown": 1, "blank": 0, "for_training": 8}
    with pytest.raises(AutosegError, match="has 1 error in 1 case"):
        plan_and_preprocess(tiny_dataset, configurations=["2d"], workers=1, workspace=tmp_path / "work", quiet=True)


def test_a_dataset_without_foreground_is_sent_to_the_other_planner(pictures: Path, tmp_path: Path) -> None:
    for options in ({}, {"planner": "resenc_m"}):
        with pytest.raises(AutosegError, match="Pictures has no labels but background, so there is nothing for a segmentation "
                           f"model to learn. .*: autoseg_plan_and_preprocess {pictures} --planner slices --workspace"):
            plan_and_preprocess(pictures, workers=1, workspace=tmp_path / "work", quiet=True, **options)
    assert not (tmp_path / "work").exists()


def test_no_command_sends_a_dataset_without_foreground_to_segmentation(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ["--workspace", str(tmp_path / "work")]
    plan, train = f"autoseg_plan_and_preprocess {pictures} --planner slices", f"autoseg_train {pictures} 0 -tr anogan"

    def errors() -> list[str]:
        """Of the commands that want it planned for segmentation."""
        assert main(["find-best", str(pictures), *work]) == main(["train", str(pictures), "0", *work]) == 1
        return capsys.readouterr().err.splitlines()

    assert main(["verify", str(pictures), "-np", "1", *work]) == 0
    assert capsys.readouterr().out.endswith(f"Next: {plan} {shlex.join(work)}\n")
    for error in errors():
        assert "has no labels but background" in error and "Plan it for an anomaly detector (-tr anogan), or for anoth" in error
        assert error.endswith(f"{plan} {shlex.join(work)}")
    plan_quietly(pictures, tmp_path / "work")
    for error in errors():
        assert "there is nothing for a segmentation model to learn" in error
        assert error.endswith(f"Train an anomaly detector: {train} {shlex.join(work)}")
    (pictures / "normal/broken.png").write_bytes(b"no image")
    assert main(["verify", str(pictures), "-np", "1", *work]) == 1
    assert f"{plan} --skip-bad-cases {shlex.join(work)}" in capsys.readouterr().out


def test_the_command_says_what_was_found_and_what_comes_next(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ["-np", "1", "--workspace", str(tmp_path / "work")]
    assert main(["verify", str(pictures), *work]) == 0
    assert main(["plan_and_preprocess", str(pictures), "--planner", "slices", *work]) == 0
    *_, wrote, found, following = capsys.readouterr().out.strip().splitlines()
    assert wrote == f"Wrote {tmp_path}/work/Pictures: dataset.json, plans_anomaly.json, preprocessed/"
    assert found == ("Pictures, 64 × 64 pixels, of 5 cases: 3 normal, 2 abnormal, 0 unknown, 0 of one value everywhere. "
                     "To be trained on: 3 "
                     "(slices of the cases that are called normal).")
    assert following == f"Next: autoseg_train {pictures} 0 -tr anogan --workspace {tmp_path}/work"
    for flags, message in (
        (["--planner", "slices", "--axis", "axial"], "holds pictures, which are one slice each"),
        (["--planner", "slices", "--image-size", "96"], "An image size of 96 was asked for"),
    ):
        assert main(["plan_and_preprocess", str(pictures), *flags, *work]) == 1
        assert message in capsys.readouterr().err


def test_a_case_that_cannot_be_cut_is_named_and_the_others_are(tiny_dataset: Path, tmp_path: Path) -> None:
    image = read_image(tiny_dataset / "imagesTr/tiny_0_0000.nii.gz")
    image.array[:] = 0
    image.array[0, 0, 0, 0] = -5  # below the window over the other cases, whose values are 1 to 999
    write_image(tiny_dataset / "imagesTr/tiny_7_0000.nii.gz", image.array, like=image)
    source = tiny_dataset / "dataset.json"
    content = {**json.loads(source.read_text()), "channel_names": {"0": "CT"}, "numTraining": 4,
               "case_labels": {"tiny_0": "normal", "tiny_1": "normal", "tiny_7": "abnormal"}}
    source.write_text(json.dumps(content))
    result = plan_quietly(tiny_dataset, tmp_path / "work")
    assert list(result.failed) == ["tiny_7"] and "has one value everywhere after scaling" in result.failed["tiny_7"]
    assert counted(result) == {"normal": 8, "abnormal": 0, "unknown": 4, "blank": 0, "for_training": 8}


def test_lumbar_spines_are_cut_head_first(shared_data: Path, tmp_path: Path) -> None:
    source = load_dataset(shared_data / "Dataset010_LumbarSpine")
    copy = tmp_path / "Dataset010_Two"
    write_json(copy / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": source.labels.values, "numTraining": 2, "file_ending": ".nii.gz",
        "dataset": {case.name: {"images": [str(case.images[0])], "label": str(case.label)} for case in source.training[:2]}})
    result = plan_quietly(copy, tmp_path / "work", axis="sagittal")
    assert result.plans.normal_by == "foreground" and result.counts.normal > 0 and result.counts.abnormal > result.counts.normal
    assert result.counts.for_training == result.counts.normal
    for case in result.plans.source.training:
        image, label = read_case(case, source)
        assert label is not None
        placement = cut_image(image, case.name, result.plans).placement
        rows = [np.nonzero(placement.view(label.array[0]) == value)[1].mean() for value in range(1, 6)]
        assert rows == sorted(rows)  # L1 above L2 above ... L5
        assert open_slices(result.folder / "preprocessed/slices", case.name).read().shape == (placement.count, 1, 64, 64)


def test_brain_pictures_are_gray_in_truth_but_for_a_few(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "brain_mri_yesno"
    count = len(load_dataset(folder).training)
    with pytest.raises(AutosegError, match="errors in .* cases, listed above"):
        plan_quietly(folder, tmp_path / "work")
    result = plan_quietly(folder, tmp_path / "work", skip_bad_cases=True)
    assert result.plans.channel_names == ("gray",) and result.plans.axis is None and not result.failed
    assert count - 10 <= result.counts.normal + result.counts.abnormal < count
