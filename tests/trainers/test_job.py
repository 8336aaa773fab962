"""What a fold is trained on: complete cases of the present plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.api.training import train
from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.plan import Configuration, IntensityStatistics, Plans, Topology
from autoseg.preprocessing.store import CaseProperties, description_path
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.tasks.segmentation.store import plans_digest, write_volume
from autoseg.trainers.cases import pin_cases
from autoseg.trainers.checkpoint import save_state
from autoseg.trainers.fold import train_fold
from autoseg.trainers.job import Job, check_begun_folds, describe_model, load_fold_data, settle_settings
from autoseg.trainers.settings import Settings
from autoseg.workspace import DatasetFolder, read_model, write_json, write_text

CASES = tuple("abc")
LABELS = Labels(values={"background": 0, "cube": 1})


def plans_with(spacing_mm: float) -> Plans:
    configuration = Configuration(
        spacing_mm=(spacing_mm, 1, 1), median_shape=(4, 4, 4), patch_size=(4, 4, 4), batch_size=2, normalization=("zscore",),
        normalize_inside_mask=(False,),
        network=Topology(features=(4,), strides=((1, 1, 1),), kernel_sizes=((3, 3, 3),), convs_per_stage=(1,)))
    intensities = IntensityStatistics(
        mean=float(np.float32(0.1)), std=1 / 3, median=1e-17, percentile_00_5=-1, percentile_99_5=1e22)
    return Plans(
        dataset="Dataset001_T", planner="default", transpose=(0, 1, 2), versions={}, foreground_intensities={"0": intensities},
        configurations={"3d_fullres": configuration})


def store_case(folder: DatasetFolder, case: str, digest: str) -> None:
    box = ((0, 4), (0, 4), (0, 4))
    properties = CaseProperties(
        case=case, shape_original=(4, 4, 4), spacing_mm=(1, 1, 1), transpose=(0, 1, 2), crop_box=box, shape_cropped=(4, 4, 4),
        shape_resampled=(4, 4, 4), spacing_resampled_mm=(1, 1, 1), versions={})
    zeros = np.zeros((1, 4, 4, 4), np.float32)
    write_volume(folder.preprocessed("3d_fullres"), zeros, zeros.astype(np.int8), properties, LABELS, plans=digest)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Three cases, preprocessed by plans of 1 mm."""
    folder, plans = DatasetFolder(tmp_path / "Dataset001_T"), plans_with(1)
    training = tuple(Case(name=name, images=(tmp_path / name,), label=tmp_path / name) for name in CASES)
    write_json(folder.dataset_json, Dataset(
        name="Dataset001_T", folder=tmp_path, layout="nnunet", channel_names=("CT",), labels=LABELS, file_ending=".nii.gz",
        training=training))
    write_json(folder.plans_json, plans)
    for name in CASES:
        store_case(folder, name, plans_digest(LABELS, plans, plans.configurations["3d_fullres"]))
    return Job(folder, "3d_fullres", "default", "0", None)


def test_cases_of_these_plans_are_taken_though_their_files_are_gone(job: Job) -> None:
    data = load_fold_data(job)
    assert sorted(data.training + data.validation) == list(CASES) and data.folds == 3
    assert data.notes[-1] == "3 cases: 3 folds instead of 5."


def test_cases_that_a_stopped_planning_left_of_older_plans_are_named(job: Job) -> None:
    plans = plans_with(2)
    write_json(job.folder.plans_json, plans)
    store_case(job.folder, "a", plans_digest(LABELS, plans, plans.configurations["3d_fullres"]))
    with pytest.raises(AutosegError, match=r"2 of 3 cases were preprocessed by other plans .*: b, c\. "
                       "Run: autoseg_plan_and_preprocess Dataset001_T -c 3d_fullres"):
        load_fold_data(job)


def test_other_labels_are_other_plans(job: Job) -> None:
    content = json.loads(job.folder.dataset_json.read_text())
    content["labels"]["values"]["ball"] = 2
    write_json(job.folder.dataset_json, content)
    with pytest.raises(AutosegError, match="3 of 3 cases were preprocessed by other plans"):
        load_fold_data(job)


def test_a_case_that_is_not_preprocessed_is_named_with_the_command(job: Job) -> None:
    description_path(job.folder.preprocessed("3d_fullres"), "b").unlink()
    with pytest.raises(AutosegError, match="1 of 3 cases are not preprocessed for 3d_fullres: b. Run: autoseg_plan_and"):
        load_fold_data(job)


def test_fold_all_has_no_splits_and_nothing_to_say_of_them(job: Job) -> None:
    data = load_fold_data(Job(job.folder, "3d_fullres", "default", "all", None))
    assert (data.training, data.validation, data.folds, data.notes) == (list(CASES), [], 0, [])
    assert not job.folder.splits_json.exists()


def test_a_fold_that_was_begun_with_other_plans_does_not_go_on_with_these(job: Job) -> None:
    data = load_fold_data(job)
    describe_model(job, data, Settings(), data.configuration)
    write_text(job.model.fold("1").training_state, "begun")
    describe_model(job, data, Settings(), data.configuration)
    other = data.configuration.model_copy(update={"spacing_mm": (2.0, 1.0, 1.0)})
    with pytest.raises(AutosegError, match=r"holds folds \(1\) of a model with other plans.*--restart begins this one anew"):
        describe_model(job, data, Settings(), other)
    job.model.fold("1").training_state.unlink()
    describe_model(job, data, Settings(), other)


def test_a_run_that_goes_on_is_told_of_folds_with_other_labels_or_plans_or_cases(job: Job) -> None:
    data = load_fold_data(job)
    assert check_begun_folds(job, data) == []
    describe_model(job, data, Settings(batch_size=1, patch_size=(2, 4, 4)), data.configuration)
    pin_cases(job.model.fold("1"), data.cases_of("1"))
    write_text(job.model.fold("1").checkpoint_final, "trained")
    assert check_begun_folds(job, data) == []
    turned = replace(data, splits=data.splits[::-1])
    assert check_begun_folds(job, turned) == []  # fold 1 is in the middle
    with pytest.raises(AutosegError, match="fold_1 was begun with other cases"):
        check_begun_folds(job, replace(data, splits=[data.splits[1], data.splits[0]]))
    described = read_model(job.model.model_json, ModelDescription)
    write_json(job.model.model_json, described.model_copy(update={"labels": Labels(values={"background": 0, "ball": 1})}))
    with pytest.raises(AutosegError, match=r"holds folds \(1\) that were begun with other labels or plans .* Move that folder"):
        check_begun_folds(job, data)


def test_predictions_of_weights_that_are_gone_are_not_taken_for_those_of_new_ones(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a --restart leaves them that was killed while it removed the fold."""
    cpu = Job(job.folder, job.configuration, job.recipe, "0", Settings(), "cpu")
    write_text(cpu.fold_folder.summary_json, "{}")
    found: list[bool] = []
    monkeypatch.setattr("autoseg.trainers.fold.train_network", lambda *arguments: None)
    monkeypatch.setattr(
        "autoseg.trainers.fold.validate_fold", lambda *arguments: found.append(cpu.fold_folder.validation.exists()))
    train_fold(cpu, load_fold_data(cpu), lambda share, text: None)
    write_text(cpu.fold_folder.checkpoint_final, "trained")
    write_text(cpu.fold_folder.validation / "a.nii.gz", "predicted")
    train_fold(cpu, load_fold_data(cpu), lambda share, text: None)
    assert found == [False, True]


@pytest.mark.parametrize("error", [
    MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:128] DefaultCPUAllocator: can't allocate memory"),
])
def test_memory_that_runs_out_is_told_with_what_takes_less(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_out(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("autoseg.trainers.fold.train_network", run_out)
    cpu = Job(job.folder, job.configuration, job.recipe, "0", Settings(), "cpu")
    with pytest.raises(AutosegError, match=r"Memory ran out while fold 0 of 3d_fullres was trained on 2 patches of 4 × 4 × 4 at "
                       r"a time.*--set batch_size=1.*Dataset001_T --memory-gb 4"):
        train_fold(cpu, load_fold_data(cpu), lambda share, text: None)


def test_other_errors_of_a_training_keep_their_traceback(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*arguments: object) -> None:
        raise RuntimeError("a shape does not fit")

    monkeypatch.setattr("autoseg.trainers.fold.train_network", break_down)
    cpu = Job(job.folder, job.configuration, job.recipe, "0", Settings(), "cpu")
    with pytest.raises(RuntimeError, match="a shape does not fit"):
        train_fold(cpu, load_fold_data(cpu), lambda share, text: None)


@pytest.mark.parametrize(("recipe", "settings", "device", "words"), [
    ("default", Settings(patch_size=(4, 4)), "cpu", "2 entries"), ("default", Settings(mirror_axes=(3,)), "cpu", "mirror_axes"),
    ("gone.module:build", Settings(), "cpu", "cannot be imported"), ("default", Settings(), "quantum", "no device"),
])
def test_what_cannot_begin_is_refused_before_restart_throws_anything_away(
    job: Job, recipe: str, settings: Settings, device: str, words: str
) -> None:
    weights = job.folder.model("3d_fullres", recipe).fold("1").checkpoint_final
    write_text(weights, "trained for days")
    assignments = [f"{key}={','.join(map(str, value))}" for key, value in settings.model_dump(exclude_defaults=True).items()]
    with pytest.raises(AutosegError, match=words):
        train(job.folder.name, 1, "3d_fullres", recipe, restart=True, device=device, settings=assignments,
              workspace=job.folder.root.parent, quiet=True)
    assert weights.exists()


@pytest.mark.parametrize("other", ["recipe=multiscale", "batch_size=1", "network=resunet", "base_features=8"])
def test_a_fold_that_cannot_stand_beside_the_others_is_refused_before_restart_throws_it_away(job: Job, other: str) -> None:
    job = replace(job, name="tried")
    data = load_fold_data(job)
    describe_model(job, data, Settings(), data.configuration)
    for fold in "01":
        write_text(job.model.fold(fold).checkpoint_final, "trained for days")
    recipe, settings = ("multiscale", []) if other.startswith("recipe") else ("default", [other])
    with pytest.raises(AutosegError, match=r"holds folds \(1\) of a model with other .* a name of its own \(--name\)"):
        train(job.folder.name, 0, "3d_fullres", recipe, restart=True, device="cpu", settings=settings, name="tried",
              workspace=job.folder.root.parent, quiet=True)
    assert job.model.fold("0").checkpoint_final.exists()


def test_plans_that_differ_in_their_reasons_and_memory_alone_are_the_same_model(job: Job) -> None:
    data = load_fold_data(job)
    describe_model(job, data, Settings(), data.configuration)
    write_text(job.model.fold("1").training_state, "begun")
    told_otherwise = data.configuration.model_copy(update={"reasons": {"network": "Just so."}, "memory_values": 1e9})
    describe_model(job, data, Settings(), told_otherwise)


def test_a_fold_that_was_begun_with_settings_that_are_gone_is_told(job: Job) -> None:
    save_state(job.fold_folder.training_state, {"settings": {**Settings().model_dump(mode="json"), "gone": 1}})
    with pytest.raises(AutosegError, match=r"settings that the recipe does not have, or not so, any more \(gone\)"):
        settle_settings(job, Settings())


def test_commands_that_plan_again_keep_the_planner(job: Job) -> None:
    plans = plans_with(1).model_copy(update={"planner": "resenc_l", "memory_gb": 12.5})
    write_json(job.folder.plans_json, plans)
    description_path(job.folder.preprocessed("3d_fullres"), "a").unlink()
    with pytest.raises(AutosegError, match="-c 3d_fullres --planner resenc_l --memory-gb 12.5"):
        load_fold_data(job)
