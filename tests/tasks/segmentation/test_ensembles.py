"""Pairs of models on the validation cases: what is predicted and evaluated, and what stays of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.best import Member
from autoseg.dataset import Dataset, load_dataset
from autoseg.evaluation.summary import Summary
from autoseg.image_io import read_label, write_label
from autoseg.tasks.segmentation import ensembles
from autoseg.workspace import DatasetFolder

FOLDS = [["tiny_0", "tiny_1"], ["tiny_2"]]
MODELS = ("2d", "3d_fullres", "3d_lowres")


def member(name: str, weights: str = "digest") -> Member:
    return Member(configuration=name, recipe="default", weights={"0": weights, "1": weights})


class Job:
    """Pairs of models that predict every voxel as organ; `predicted` counts their passes through a case."""

    def __init__(self, root: Path, dataset: Dataset) -> None:
        self.folder, self.dataset = DatasetFolder(root), dataset
        self.predicted: list[tuple[int, ...]] = []
        self.members = self

    def __iter__(self) -> Any:
        return iter([self] * len(MODELS))

    stage = None

    def read_preprocessed(self, folder: Path, case: str, previous: None) -> str:
        return f"{case} for {folder.name}"

    def predict_combinations(self, prepared: Sequence[str], combinations: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        assert [entry.split(" for ")[1] for entry in prepared] == list(MODELS)
        self.predicted += combinations
        return [np.ones((4, 6, 5), np.uint8) for _ in combinations]

    def run(self, *members: Member) -> dict[tuple[Member, ...], Summary]:
        self.predicted.clear()
        models = [self.folder.model(name, "default") for name in MODELS]
        return ensembles.predict_pairs(
            self.folder, self.dataset, FOLDS, models, members or [member(name) for name in MODELS], ["cpu"],
            lambda share, text: None, workers=1)


@pytest.fixture
def job(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    made = Job(tmp_path / "workspace", load_dataset(tiny_dataset))
    monkeypatch.setattr(ensembles, "load_model", lambda model, folds, device: (model.configuration, folds))
    monkeypatch.setattr(ensembles, "previous_predictions", lambda *_: {})
    monkeypatch.setattr(ensembles, "Predictor", lambda models, device: made)
    return made


def test_every_pair_is_evaluated_on_all_cases_after_one_pass_through_each(job: Job) -> None:
    found = job.run()
    assert [tuple(member.name for member in pair) for pair in found] == [
        ("2d", "3d_fullres"), ("2d", "3d_lowres"), ("3d_fullres", "3d_lowres")]
    assert job.predicted == [(0, 1), (0, 2), (1, 2)] * 3
    for summary in found.values():
        assert [case.case for case in summary.metric_per_case] == ["tiny_0", "tiny_1", "tiny_2"]
        assert summary.mean["1"]["Dice"] == pytest.approx(2 * 8 / (8 + 120))
    assert (job.folder.ensemble("2d + 3d_fullres") / "summary.csv").exists()


def test_what_the_same_weights_made_stays_and_what_is_missing_is_made(job: Job) -> None:
    before = job.run()
    assert repr(job.run()) == repr(before) and job.predicted == []
    (job.folder.ensemble("2d + 3d_lowres") / "tiny_1.nii.gz").unlink()
    again = job.run()
    assert job.predicted == [(0, 2)] and again.keys() == before.keys()
    for pair, summary in again.items():  # made anew, the file has another time
        assert repr(summary) == repr(before[pair].model_copy(update={"made_from": summary.made_from}))


def test_what_other_or_unknown_weights_made_goes(job: Job) -> None:
    job.run()
    job.run(member("2d"), member("3d_fullres", "others"), member("3d_lowres"))
    assert job.predicted == [(0, 1), (1, 2)] * 3
    (job.folder.ensemble("2d + 3d_fullres") / "made_from.json").write_text("{}")
    job.run(member("2d"), member("3d_fullres", "others"), member("3d_lowres"))
    assert job.predicted == [(0, 1)] * 3


def test_references_that_changed_are_compared_anew_without_predicting(job: Job) -> None:
    before = job.run()
    label = next(case.label for case in job.dataset.training if case.label is not None)
    write_label(label, np.ones((4, 6, 5), np.uint8), like=read_label(label))
    after = job.run()
    assert job.predicted == []
    for pair, summary in after.items():
        assert summary.metric_per_case[0].metrics["1"]["Dice"] == 1 > before[pair].metric_per_case[0].metrics["1"]["Dice"]
