"""Which steps of a fold are taken, by what exists already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoseg.device import machine_in_words
from autoseg.errors import AutosegError
from autoseg.files import _host, write_json, write_text
from autoseg.provenance import Origin
from autoseg.tasks.anomaly import INFO
from autoseg.trainers.checkpoint import save_state
from autoseg.trainers.fold import FoldSteps, run_fold
from autoseg.trainers.job import Job, pin_settings
from autoseg.trainers.recipe import Recipe
from autoseg.trainers.settings import TrainingSettings
from autoseg.training_log import TrainingRecord
from autoseg.workspace import DatasetFolder, read_model

SETTINGS = TrainingSettings()
CASES = Origin.of(train={"a": "1"}, val={"b": "2"})


class Steps:
    """Notes which steps were taken; its files are those that a training writes."""

    def __init__(self, root: Path, name: str = "mine") -> None:
        self.job: Job[TrainingSettings] = Job(
            DatasetFolder(root / "D"), INFO, "slices", "mine", Recipe(dict, SETTINGS, ""), "0", SETTINGS, SETTINGS, "cpu", name)
        self.taken: list[str] = []
        self.told: list[TrainingSettings] = []

    def run(self, cases: Origin = CASES, error: BaseException | None = None) -> str | None:
        self.taken.clear()
        return run_fold(self.job, FoldSteps[TrainingSettings, str](
            cases=cases, describe=self.describe,
            train=lambda settings, device: self.train(device, error), too_large=lambda settings: "64 things. Take 32.",
            validate=lambda settings, device: self.validate()), begins=self.told.append)

    def describe(self, settings: TrainingSettings) -> None:
        self.taken.append("describe")
        write_text(self.job.model.model_json, "{}")

    def train(self, device: torch.device, error: BaseException | None) -> None:
        self.taken.append("train")
        assert device == torch.device("cpu")
        if error is not None:
            raise error
        write_text(self.job.fold_folder.checkpoint_final, "weights")

    def validate(self) -> str:
        self.taken.append("validate")
        write_text(self.job.fold_folder.summary_json, "{}")
        return "summary"


def test_a_new_fold_is_described_trained_and_validated(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    assert steps.run() == "summary" and steps.taken == ["describe", "train", "validate"]
    assert steps.job.fold_folder.cases_json.exists()
    record = read_model(steps.job.fold_folder.training_json, TrainingRecord)
    assert record.settings == SETTINGS.model_dump(mode="json")
    assert record.machines == (machine_in_words(torch.device("cpu")),) and "core" in record.machines[0]


def test_a_finished_fold_keeps_no_state_but_its_settings_and_its_machines(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    folder = steps.job.fold_folder
    with pytest.raises(KeyboardInterrupt):
        steps.run(error=KeyboardInterrupt())
    save_state(folder.training_state, {"settings": {}})  # not read: training.json has them
    write_json(folder.training_json, read_model(folder.training_json, TrainingRecord).model_copy(update={"machines": ("GPU",)}))
    steps.run()
    assert not folder.training_state.exists() and folder.checkpoint_final.exists()
    assert read_model(folder.training_json, TrainingRecord).machines == ("GPU", machine_in_words(torch.device("cpu")))
    steps.job = replace(steps.job, settings=SETTINGS.model_copy(update={"epochs": 7}))
    assert pin_settings(steps.job) == SETTINGS  # validation runs with those of the training


def test_a_trained_fold_is_validated_alone(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    steps.run()
    assert steps.run() == "summary" and steps.taken == ["validate"]
    steps.job.model.model_json.unlink()
    steps.run()
    assert steps.taken == ["describe", "validate"]


def test_a_validation_and_leftovers_of_weights_that_are_gone_go_before_the_training(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    steps.run()
    left = steps.job.fold_folder.root / f".tmp-{_host()}.999999999.00000000-log.jsonl"  # of a process that is gone
    left.touch()
    steps.job.fold_folder.checkpoint_final.unlink()
    with pytest.raises(KeyboardInterrupt):
        steps.run(error=KeyboardInterrupt())
    assert steps.taken == ["describe", "train"]
    assert not left.exists() and not steps.job.fold_folder.validation.exists()


@pytest.mark.parametrize("error", [
    MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:128] DefaultCPUAllocator: can't allocate memory"),
])
def test_memory_that_runs_out_in_the_training_is_told_with_what_takes_less(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(AutosegError, match=r"Memory ran out while fold 0 of slices was trained on 64 things\. Take 32\."):
        Steps(tmp_path).run(error=error)
    with pytest.raises(RuntimeError, match="something else"):
        Steps(tmp_path, "other").run(error=RuntimeError("something else"))


def test_a_fold_that_was_begun_with_other_cases_does_not_go_on(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    steps.run()
    with pytest.raises(AutosegError, match=r"was begun with other cases than the folds have now \(a, b\)"):
        steps.run(Origin.of(train={"b": "2"}, val={"a": "1"}))
    assert steps.taken == []


def test_a_training_that_goes_on_is_told_with_the_settings_that_it_was_started_with(tmp_path: Path) -> None:
    steps, started = Steps(tmp_path), SETTINGS.model_copy(update={"epochs": 7})
    steps.job = replace(steps.job, settings=started)
    with pytest.raises(KeyboardInterrupt):
        steps.run(error=KeyboardInterrupt())
    save_state(steps.job.fold_folder.training_state, {"settings": started.model_dump(mode="json")})
    steps.job = replace(steps.job, settings=None)  # --continue
    steps.run()
    assert steps.told == [started, started]
    steps.run()
    assert len(steps.told) == 2  # what is trained is validated alone
