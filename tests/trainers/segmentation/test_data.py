"""What a fold is trained on: complete cases of the present plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from autoseg.api.training import train
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.image_io.dicom.codes import Code, Coding
from autoseg.plan import Plans
from autoseg.preprocessing.store import description_path
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.trainers.job import Job
from autoseg.trainers.segmentation import SegmentationData, SegmentationSettings, load_data
from autoseg.trainers.segmentation.data import AGREEMENT, description
from autoseg.workspace import read_model

JobOn = Callable[..., Job[SegmentationSettings]]


@pytest.fixture
def job(make_segmentation_job: JobOn) -> Job[SegmentationSettings]:
    """Three cases, preprocessed by plans of 1 mm."""
    return make_segmentation_job()


def describe(job: Job[SegmentationSettings], data: SegmentationData) -> None:
    """Write model.json, or check the one that is there."""
    AGREEMENT.describe(job, description(job, data, SegmentationSettings()))


def test_other_labels_are_other_plans(job: Job[SegmentationSettings]) -> None:
    content = json.loads(job.folder.dataset_json.read_text())
    content["labels"]["values"]["ball"] = 2
    write_json(job.folder.dataset_json, content)
    with pytest.raises(AutosegError, match="3 of 3 cases were preprocessed for 3d_fullres by other plans"):
        load_data(job)


def test_labels_that_changed_since_a_fold_was_begun_are_told(job: Job[SegmentationSettings]) -> None:
    data = load_data(job)
    describe(job, data)
    write_text(job.model.fold("1").checkpoint_final, "trained")
    described = read_model(job.model.model_json, ModelDescription)
    write_json(job.model.model_json, described.model_copy(update={"labels": Labels(values={"background": 0, "ball": 1})}))
    with pytest.raises(AutosegError, match=r"holds folds \(1\) that were begun with other labels or plans .* Move that folder"):
        AGREEMENT.check_begun(job, data)


def test_codes_of_labels_go_into_the_model_and_may_change_between_folds(job: Job[SegmentationSettings]) -> None:
    describe(job, load_data(job))
    write_text(job.model.fold("1").checkpoint_final, "trained")
    content = json.loads(job.folder.dataset_json.read_text())
    write_json(job.folder.dataset_json, content | {"dicom_codes": {"ball": {"type": ["1", "99X", "Ball"]}}})
    data = load_data(job)
    describe(job, data)
    assert description(job, data, SegmentationSettings()).dicom_codes == {"ball": Coding(Code("1", "99X", "Ball"))}


@pytest.mark.parametrize(("recipe", "settings", "words"), [
    ("gone.module:build", {}, "cannot be imported"),
    ("default", {"loss": "exp_log", "exp_log.class_weights": (1.0,)}, "exp_log.class_weights has 1 values"),
])
def test_what_cannot_begin_is_refused_before_restart_throws_anything_away(
    job: Job[SegmentationSettings], recipe: str, settings: dict[str, Any], words: str
) -> None:
    weights = job.folder.model("3d_fullres", recipe).fold("1").checkpoint_final
    write_text(weights, "trained for days")
    with pytest.raises(AutosegError, match=words):
        train(job.folder.name, 1, "3d_fullres", recipe, restart=True, device="cpu", settings=settings,
              workspace=job.folder.root.parent, quiet=True)
    assert weights.exists()


def test_commands_that_plan_again_keep_the_planner(
    job: Job[SegmentationSettings], plans_with: Callable[[float], Plans]
) -> None:
    plans = plans_with(1).model_copy(update={"planner": "resenc_l", "memory_gb": 12.5})
    write_json(job.plans_json, plans)
    description_path(job.folder.preprocessed("3d_fullres"), "a").unlink()
    with pytest.raises(AutosegError, match="-c 3d_fullres --planner resenc_l --memory-gb 12.5"):
        load_data(job)
