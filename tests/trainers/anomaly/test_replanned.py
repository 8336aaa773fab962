"""What was planned, trained and labelled may change between the steps: nothing that was normal once slips through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.api import planning
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.tasks.anomaly import INFO, store
from autoseg.trainers.anomaly import RECIPES
from autoseg.trainers.anomaly.data import AGREEMENT, check, description, load_data
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.job import Job
from autoseg.workspace import Workspace

MakeJob = Callable[..., Job[AnomalySettings]]


@pytest.fixture
def called_dataset(tmp_path: Path) -> Path:
    """Four volumes of three slices of noise, all called normal, planned in the workspace beside them."""
    folder = tmp_path / "Dataset001_Called"
    for case in range(4):
        noise = np.random.default_rng(case).integers(1, 99, (1, 3, 8, 8)).astype(np.int16)
        image = Image(noise, Geometry((4.0, 1.0, 1.0)))
        write_image(folder / "imagesTr" / f"case{case}_0000.nii.gz", image.array, like=image)
    call(folder, {})
    plan(folder)
    return folder


def call(folder: Path, changed: dict[str, str]) -> None:
    """Write dataset.json with these case labels instead of normal."""
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0}, "numTraining": 4, "file_ending": ".nii.gz",
        "case_labels": {**{f"case{case}": "normal" for case in range(4)}, **changed}})


def plan(folder: Path) -> None:
    planning.plan_and_preprocess(folder, planner="slices", workers=1, workspace=folder.parent / "workspace", quiet=True)


def job_of(folder: Path) -> Job[AnomalySettings]:
    planned = Workspace(folder.parent / "workspace").dataset(folder.name)
    return Job(planned, INFO, "slices", "anogan", RECIPES["anogan"], "all", AnomalySettings(), AnomalySettings())


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("killed_at", ["forget_outdated", "write_json", "preprocess"])
def test_a_case_that_is_abnormal_now_is_not_trained_on_though_planning_was_killed(
    called_dataset: Path, killed_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(load_data(job_of(called_dataset)).training_cases) == 4
    call(called_dataset, {"case3": "abnormal"})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store if killed_at == "preprocess" else planning, killed_at, killed)
        plan(called_dataset)
    if killed_at == "forget_outdated":  # before anything was decided for good: plans and slices are those of before
        assert len(load_data(job_of(called_dataset)).training_cases) == 4
    else:
        with pytest.raises(AutosegError, match="1 of 4 cases are not cut into slices: case3"):
            load_data(job_of(called_dataset))
    plan(called_dataset)
    assert [case.name for case in load_data(job_of(called_dataset)).training_cases] == ["case0", "case1", "case2"]


@pytest.mark.parametrize("changed", [{"image_size": 128}, {"axis": "sagittal"}, {"normal_by": "all"}])
def test_a_fold_is_not_validated_on_slices_that_were_cut_otherwise(make_job: MakeJob, changed: dict[str, Any]) -> None:
    job = make_job("0")
    data = load_data(job)
    assert job.settings is not None
    there = description(job, data, job.settings)
    AGREEMENT.require_same_plans(job, there, data.plans.without_cases())
    with pytest.raises(AutosegError, match="fold_0 was trained on cases that were preprocessed by other plans"):
        AGREEMENT.require_same_plans(job, there, data.plans.without_cases().model_copy(update=changed))


@pytest.mark.parametrize(("changed", "message"), [
    ({"start": "encoder"}, "start=encoder begins the search with an encoder's proposal, but none is trained"),
    ({"precision": "float16"}, "precision=float16 does not hold a GAN's losses"),
])
def test_settings_that_would_fail_after_the_training_are_refused_before_it(
    make_job: MakeJob, changed: dict[str, Any], message: str
) -> None:
    job = make_job("0", **changed)
    with pytest.raises(AutosegError, match=message):
        check(job, load_data(job))
