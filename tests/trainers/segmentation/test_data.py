"""What a fold is trained on: complete cases of the present plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from autoseg.api.training import train
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.plan import Plans
from autoseg.preprocessing.store import description_path
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.trainers.fold import run_fold
from autoseg.trainers.job import Job
from autoseg.trainers.segmentation import SegmentationData, SegmentationSettings, load_data, steps
from autoseg.trainers.segmentation.data import AGREEMENT, description
from autoseg.workspace import DatasetFolder, read_model

CASES = tuple("abc")
JobOn = Callable[..., Job[SegmentationSettings]]
StoreVolume = Callable[[DatasetFolder, str, Plans], None]


@pytest.fixture
def job(make_segmentation_job: JobOn) -> Job[SegmentationSettings]:
    """Three cases, preprocessed by plans of 1 mm."""
    return make_segmentation_job()


def train_fold(job: Job[SegmentationSettings]) -> None:
    run_fold(job, steps(job, load_data(job), lambda share, text: None))


def describe(job: Job[SegmentationSettings], data: SegmentationData) -> None:
    """Write model.json, or check the one that is there."""
    AGREEMENT.describe(job, description(job, data, SegmentationSettings()))


def test_cases_of_these_plans_are_taken_though_their_files_are_gone(job: Job[SegmentationSettings]) -> None:
    data = load_data(job)
    assert sorted(data.training + data.validation) == list(CASES) and data.folds == 3
    assert data.notes[-1] == "3 cases: 3 folds instead of 5."


def test_cases_that_a_stopped_planning_left_of_older_plans_are_named(
    job: Job[SegmentationSettings], plans_with: Callable[[float], Plans], store_volume: StoreVolume
) -> None:
    plans = plans_with(2)
    write_json(job.plans_json, plans)
    store_volume(job.folder, "a", plans)
    with pytest.raises(AutosegError, match=r"2 of 3 cases were preprocessed for 3d_fullres by other plans .*: b, c\. "
                       "Run: autoseg_plan_and_preprocess Dataset001_T -c 3d_fullres"):
        load_data(job)


def test_other_labels_are_other_plans(job: Job[SegmentationSettings]) -> None:
    content = json.loads(job.folder.dataset_json.read_text())
    content["labels"]["values"]["ball"] = 2
    write_json(job.folder.dataset_json, content)
    with pytest.raises(AutosegError, match="3 of 3 cases were preprocessed for 3d_fullres by other plans"):
        load_data(job)


def test_a_fold_that_was_begun_with_other_plans_does_not_continue_with_these(job: Job[SegmentationSettings]) -> None:
    data = load_data(job)
    describe(job, data)
    write_text(job.model.fold("1").training_state, "begun")
    describe(job, data)
    other = replace(data, configuration=data.configuration.model_copy(update={"spacing_mm": (2.0, 1.0, 1.0)}))
    with pytest.raises(AutosegError, match=r"holds folds \(1\) of a model with other plans.*--restart begins this one anew"):
        describe(job, other)
    job.model.fold("1").training_state.unlink()
    describe(job, other)


def test_labels_that_changed_since_a_fold_was_begun_are_told(job: Job[SegmentationSettings]) -> None:
    data = load_data(job)
    describe(job, data)
    write_text(job.model.fold("1").checkpoint_final, "trained")
    described = read_model(job.model.model_json, ModelDescription)
    write_json(job.model.model_json, described.model_copy(update={"labels": Labels(values={"background": 0, "ball": 1})}))
    with pytest.raises(AutosegError, match=r"holds folds \(1\) that were begun with other labels or plans .* Move that folder"):
        AGREEMENT.check_begun(job, data)


def test_memory_that_runs_out_is_told_with_what_takes_less(
    job: Job[SegmentationSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("autoseg.trainers.segmentation.fold.train_network", run_out)
    with pytest.raises(AutosegError, match=r"Memory ran out while fold 0 of 3d_fullres was trained on 2 patches of 4 × 4 × 4 at "
                       r"a time.*--set batch_size=1.*Dataset001_T --memory-gb 4"):
        train_fold(job)


@pytest.mark.parametrize(("recipe", "settings", "words"), [
    ("default", ["patch_size=4,4"], "2 entries"), ("gone.module:build", [], "cannot be imported"),
    ("default", ["loss=exp_log", "exp_log.class_weights=1"], "exp_log.class_weights has 1 values"),
])
def test_what_cannot_begin_is_refused_before_restart_throws_anything_away(
    job: Job[SegmentationSettings], recipe: str, settings: list[str], words: str
) -> None:
    weights = job.folder.model("3d_fullres", recipe).fold("1").checkpoint_final
    write_text(weights, "trained for days")
    with pytest.raises(AutosegError, match=words):
        train(job.folder.name, 1, "3d_fullres", recipe, restart=True, device="cpu", settings=settings,
              workspace=job.folder.root.parent, quiet=True)
    assert weights.exists()


@pytest.mark.parametrize("other", ["recipe=multiscale", "batch_size=1", "network=resunet", "base_features=8"])
def test_a_fold_that_cannot_stand_beside_the_others_is_refused_before_restart_throws_it_away(
    job: Job[SegmentationSettings], other: str
) -> None:
    job = replace(job, name="tried")
    data = load_data(job)
    describe(job, data)
    for fold in "01":
        write_text(job.model.fold(fold).checkpoint_final, "trained for days")
    recipe, settings = ("multiscale", []) if other.startswith("recipe") else ("default", [other])
    with pytest.raises(AutosegError, match=r"holds folds \(1\) of a model with other .* a name of its own \(--name\)"):
        train(job.folder.name, 0, "3d_fullres", recipe, restart=True, device="cpu", settings=settings, name="tried",
              workspace=job.folder.root.parent, quiet=True)
    assert job.model.fold("0").checkpoint_final.exists()


def test_commands_that_plan_again_keep_the_planner(
    job: Job[SegmentationSettings], plans_with: Callable[[float], Plans]
) -> None:
    plans = plans_with(1).model_copy(update={"planner": "resenc_l", "memory_gb": 12.5})
    write_json(job.plans_json, plans)
    description_path(job.folder.preprocessed("3d_fullres"), "a").unlink()
    with pytest.raises(AutosegError, match="-c 3d_fullres --planner resenc_l --memory-gb 12.5"):
        load_data(job)
