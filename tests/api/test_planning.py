"""Plans that are kept, and those that are made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.api.planning import plan_and_preprocess, plan_where_needed
from autoseg.api.run import run
from autoseg.dataset import load_dataset
from autoseg.demo import make_synthetic_dataset
from autoseg.errors import AutosegError
from autoseg.workspace import DatasetFolder


def test_cases_that_were_left_out_are_told_until_their_files_are_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_synthetic_dataset(tmp_path, training=3, test=0, shape=(6, 14, 14))
    image = dataset / "imagesTr" / "synthetic_001_0000.nii.gz"
    whole = image.read_bytes()
    image.write_bytes(whole[:400])
    source, folder = load_dataset(dataset), DatasetFolder(tmp_path / "work" / dataset.name)
    plan_and_preprocess(dataset, ["2d"], workers=1, skip_bad_cases=True, workspace=folder.root.parent, quiet=True)
    planned = folder.plans_json.read_bytes()
    plan_where_needed(source, folder, ["2d"], workers=1)
    assert "Left out, as they had errors when the dataset was planned: synthetic_001." in capsys.readouterr().out
    assert folder.plans_json.read_bytes() == planned and not (folder.preprocessed("2d") / "synthetic_001.json").exists()
    image.write_bytes(whole)
    plan_where_needed(source, folder, ["2d"], workers=1)
    assert "Left out" not in capsys.readouterr().out
    assert folder.plans_json.read_bytes() != planned and (folder.preprocessed("2d") / "synthetic_001.json").exists()


def test_a_configuration_that_is_none_is_told_before_anything_is_read(tmp_path: Path) -> None:
    for verb in (plan_and_preprocess, run):
        with pytest.raises(AutosegError, match="There is no configuration 4d. There are: 2d, 3d_fullres, 3d_lowres"):
            verb(tmp_path / "nowhere", configurations=["2d", "4d"], workspace=tmp_path / "work")
    assert not (tmp_path / "work").exists()


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
    first = plan_where_needed(source, folder, ["2d"], workers=1, quiet=True, planner="resenc_m")
    assert first.plans.planner == "resenc_m" and first.plans.configurations["2d"].network.name == "resunet"
    assert plan_where_needed(source, folder, ["2d"], workers=1, quiet=True).plans == first.plans
    with pytest.raises(AutosegError, match=r"was planned by resenc_m for 8 GB. Leave out .* --planner unet3plus"):
        plan_where_needed(source, folder, ["2d"], workers=1, quiet=True, planner="unet3plus")
    with pytest.raises(AutosegError, match="was planned by resenc_m for 8 GB.* --planner resenc_m --memory-gb 16"):
        plan_where_needed(source, folder, ["2d"], workers=1, quiet=True, memory_gb=16)
    with pytest.raises(AutosegError, match='There is no planner "resnec". There are: default, resenc_m'):
        plan_where_needed(source, folder, ["2d"], workers=1, quiet=True, planner="resnec")
    assert not folder.preprocessed("3d_fullres").exists()
    (dataset / "imagesTr" / "synthetic_002_0000.nii.gz").unlink()
    (dataset / "labelsTr" / "synthetic_002.nii.gz").unlink()
    again = plan_where_needed(load_dataset(dataset), folder, ["2d"], workers=1, quiet=True)
    assert again.plans.planner == "resenc_m" and again.plans.memory_gb is None
