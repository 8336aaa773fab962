"""A detector's fold from its slices to its validation: what it writes, and that it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from autoseg.evaluation.csv_table import read_rows
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.pictures import SAMPLES, panels_png
from autoseg.tasks.anomaly.scores import SCORES, SLICE_SCORES, CaseScore, SliceScore
from autoseg.tasks.anomaly.summary import AnomalySummary
from autoseg.trainers import loop
from autoseg.trainers.anomaly import fold as detector_fold
from autoseg.trainers.anomaly.data import load_data
from autoseg.trainers.anomaly.fold import steps, train_networks
from autoseg.trainers.anomaly.learner import GanLearner
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.fold import run_fold
from autoseg.trainers.job import Job
from autoseg.training_log import read_log
from autoseg.workspace import read_model

MakeJob = Callable[..., Job[AnomalySettings]]
GAN_VALUES = {"generator_loss", "discriminator_loss", "D(x)", "D(G(z))"}


def quietly(share: float, text: str) -> None:
    """Reports nothing."""


def train_fold(job: Job[AnomalySettings], report: Callable[[float, str], None] = quietly) -> Any:
    return run_fold(job, steps(job, load_data(job), report))


def is_blank(picture: Path) -> bool:
    """Whether nearly all its pixels are alike."""
    pixels = np.asarray(Pillow.open(picture).convert("L"), float)
    return bool((abs(pixels - np.median(pixels)) > 30).mean() < 0.005)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr(loop, "draw_progress", lambda *arguments: None)
    monkeypatch.setattr(detector_fold, "draw_samples", lambda *arguments: None)


def test_a_fold_writes_all_that_it_should(make_job: MakeJob) -> None:
    job = make_job(epochs=4, encoder=True, encoder_share=0.5, sample_epochs=3)
    summary = train_fold(job)
    place = job.fold_folder
    log = read_log(place.log_jsonl)
    assert [set(epoch.values) for epoch in log] == [GAN_VALUES, GAN_VALUES, {"encoder_loss"}, {"encoder_loss"}]
    for epoch in log[:2]:
        assert epoch.training_loss == pytest.approx(epoch.values["generator_loss"] + epoch.values["discriminator_loss"])
        assert 0 < epoch.values["D(x)"] < 1 and 0 < epoch.values["D(G(z))"] < 1
    assert log[2].training_loss == log[2].values["encoder_loss"]
    assert {epoch.learning_rate for epoch in log} == {2e-4} and log[0].validation_loss is None
    samples = sorted(path.name for path in (place.root / SAMPLES).iterdir())
    assert samples == ["epoch_00003.png", "epoch_00004.png"]  # every third, and the last
    validated = load_data(job).validation
    pictures = [place.progress_png, *(place.root / SAMPLES).iterdir(), *(panels_png(place, case) for case in validated)]
    assert not any(is_blank(picture) for picture in pictures)
    assert {name.partition(".")[0] for name in load_file(place.checkpoint_final)} == {"generator", "discriminator", "encoder"}
    scores = read_rows(place.validated(SCORES), CaseScore)
    assert sorted(score.case for score in scores) == sorted(validated)
    assert {score.case: score.truth for score in scores} == {
        case: "normal" if int(case[-2:]) < 8 else "abnormal" for case in validated}
    assert [row.case for row in read_rows(place.validated(SLICE_SCORES), SliceScore)] == [score.case for score in scores]
    assert summary == read_model(place.summary_json, AnomalySummary)
    assert not list(job.folder.root.rglob(".tmp-*"))


def test_the_weights_are_those_of_the_average_and_score_as_the_model(make_job: MakeJob, without_pictures: None) -> None:
    job = make_job(epochs=1)
    pieces, settings, device = steps(job, load_data(job), quietly), job.settings or job.defaults, torch.device("cpu")
    pieces.describe(settings)
    pieces.train(settings, device)
    loaded = load_detector(job.model, ["0"])
    torch.manual_seed(0)
    latent = torch.rand(3, 4) * 2 - 1
    learner = GanLearner(loaded.description.gan, job.settings, torch.device("cpu"))  # type: ignore[arg-type]
    learner.load_state_dict(torch.load(job.fold_folder.training_state, weights_only=True)["learner"])
    assert torch.equal(loaded.networks[0].generator(latent), learner.averaged(latent))
    assert not torch.equal(learner.generator.eval()(latent), learner.averaged(latent))


@pytest.mark.parametrize(("killed_in", "saved"), [(2, 1e9), (4, 0)], ids=["GAN, nothing saved", "encoder, saved each epoch"])
def test_a_training_that_is_killed_ends_with_the_weights_of_an_unbroken_one(
    make_job: MakeJob, without_pictures: None, monkeypatch: pytest.MonkeyPatch, killed_in: int, saved: float
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", saved)
    wanted = {"epochs": 4, "iterations": 2, "encoder": True, "encoder_share": 0.5, "spectral_norm": True}
    unbroken, broken = make_job("all", name="unbroken", **wanted), make_job("all", name="broken", **wanted)
    train_fold(unbroken)

    def kill(share: float, text: str) -> None:
        if f"epoch {killed_in}/4" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fold(broken, kill)
    assert not broken.fold_folder.checkpoint_final.exists()
    assert broken.fold_folder.training_state.exists() == (saved == 0)
    train_fold(broken)
    expected, found = (load_file(job.fold_folder.checkpoint_final) for job in (unbroken, broken))
    assert expected.keys() == found.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    logs = [[epoch.values for epoch in read_log(job.fold_folder.log_jsonl)] for job in (unbroken, broken)]
    assert logs[0] == logs[1] and len(logs[0]) == 4


def test_a_validation_that_is_killed_goes_on_with_the_cases_that_are_left(
    make_job: MakeJob, without_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=1)
    scored: list[str] = []
    score_case = AnomalyDetector.score_case

    def killed(self: AnomalyDetector, name: str, *arguments: Any, **named: Any) -> Any:
        if len(scored) == 1:
            raise KeyboardInterrupt
        scored.append(name)
        return score_case(self, name, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(AnomalyDetector, "score_case", killed)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    first = read_rows(job.fold_folder.validated(SCORES), CaseScore)
    assert [score.case for score in first] == scored and not job.fold_folder.summary_json.exists()

    def counted(self: AnomalyDetector, name: str, *arguments: Any, **named: Any) -> Any:
        scored.append(name)
        return score_case(self, name, *arguments, **named)

    monkeypatch.setattr(AnomalyDetector, "score_case", counted)
    train_fold(job)
    assert sorted(scored) == sorted(load_data(job).validation)
    after = read_rows(job.fold_folder.validated(SCORES), CaseScore)
    assert after[0] == first[0] and len(after) == len(scored)


@pytest.mark.parametrize("encoder_s", [0.25, 1.0, 3.0])
def test_with_max_hours_the_encoder_has_its_share_at_the_end_and_nothing_comes_after_it(
    make_job: MakeJob, without_pictures: None, monkeypatch: pytest.MonkeyPatch, encoder_s: float
) -> None:
    """A step of the GAN takes 1 s, and of the encoder more or less; 250 s, of which 20 % are kept for the validation."""
    now, turns = 0.0, []
    step = GanLearner.training_step

    def training_step(self: GanLearner, batch: torch.Tensor) -> dict[str, float]:
        nonlocal now
        now += encoder_s if self.is_encoders_turn else 1.0
        turns.append(self.is_encoders_turn)
        return step(self, batch)

    job = make_job(max_hours=250 / 3600, epochs=1000, iterations=100, encoder=True, encoder_share=0.25, batch_size=2)
    data = load_data(job)
    assert job.settings is not None
    with monkeypatch.context() as patch:
        patch.setattr("time.monotonic", lambda: now)
        patch.setattr(GanLearner, "training_step", training_step)
        train_networks(job, data, job.settings, torch.device("cpu"), quietly)
    assert turns == sorted(turns)  # the GAN first, then the encoder
    of_gan = turns.count(False)
    assert 0.7 * 200 < of_gan < 0.8 * 200 and 165 < now < 220  # epochs of up to 30 s
    assert turns.count(True) * encoder_s > 0.1 * 200


def test_the_online_validation_of_segmentation_means_nothing_here(make_job: MakeJob) -> None:
    job = make_job()
    assert job.settings is not None
    shape = detector_fold.gan_shape(load_data(job).plans, job.settings)
    learner = GanLearner(shape, job.settings, torch.device("cpu"))
    with pytest.raises(NotImplementedError):
        learner.validation_step(torch.zeros(1, 1, 64, 64))
    assert not learner.is_exhausted
