"""Training end to end on tiny cases: batches, the loop, resumption to the same weights, time budgets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.plan import Configuration, Topology
from autoseg.tasks.segmentation.store import StoredVolume
from autoseg.trainers import loop
from autoseg.trainers.checkpoint import save_state, save_weights
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.segmentation import SegmentationLearner, SegmentationSettings, segmentation_learner
from autoseg.trainers.segmentation.configure import augmentation_for, batch_stream, effective_configuration
from autoseg.trainers.settings import PlateauSettings
from autoseg.workspace import FoldFolder

LABELS = Labels(values={"background": 0, "cube": 1})
DATA = TrainingData(LABELS, 1000, (900, 100))
CPU = torch.device("cpu")


def configuration(dimensions: int = 3) -> Configuration:
    axes = dimensions
    return Configuration(
        spacing_mm=(1.0,) * axes, median_shape=(16,) * axes, patch_size=(16,) * axes, batch_size=2,
        normalization=("zscore",), normalize_inside_mask=(False,),
        network=Topology(
            features=(4, 8), strides=((1,) * axes, (2,) * axes), kernel_sizes=((3,) * axes,) * 2, convs_per_stage=(1, 1)
        ),
    )


def make_run(cases: list[StoredVolume], folder: Path, settings: SegmentationSettings, dimensions: int = 3) -> loop.Run:
    plan = effective_configuration(configuration(dimensions), settings, 2)
    learner = segmentation_learner(plan, DATA, settings, CPU)
    augmentation, processes = augmentation_for(plan, settings, LABELS, None), settings.batch_processes or 0
    training = batch_stream(cases[:2], plan, settings, augmentation, CPU, 1, settings.seed, processes)
    validation = batch_stream(cases[2:], plan, settings, None, CPU, 1, settings.seed + 1, processes)
    return loop.Run(
        learner, training, validation, ["cube"], settings, FoldFolder(folder), Schedule(settings), lambda share, text: None,
        settings.validation_iterations, keeps_best=True)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_training_learns_the_bright_cube(cases: list[StoredVolume], tmp_path: Path, dimensions: int) -> None:
    settings = SegmentationSettings(epochs=6, iterations=12, batch_size=4, momentum=0.9, learning_rate=0.05)
    run = make_run(cases, tmp_path / "fold", settings, dimensions)
    loop.train(run)
    assert run.history[-1].dice["cube"] is not None and run.history[-1].dice["cube"] > 0.8
    lines = [json.loads(line) for line in run.folder.log_jsonl.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(6))
    assert run.folder.progress_png.read_bytes().startswith(b"\x89PNG")
    assert run.folder.checkpoint_final.exists() and run.folder.checkpoint_best.exists()


@pytest.mark.parametrize("settings", [
    SegmentationSettings(epochs=4, iterations=3, loss="exp_log", optimizer="adam", schedule="plateau", augmentation="elastic",
             plateau=PlateauSettings(patience=1, factor=0.5, threshold=1.0)),
    SegmentationSettings(epochs=4, iterations=3, network="unet3plus", loss="hybrid", norm="batch", classification_guided=True,
             base_features=2),
    pytest.param(SegmentationSettings(epochs=4, iterations=3, batch_processes=2), marks=pytest.mark.skipif(
        sys.platform == "win32", reason="batches are made by threads there")),
], ids=["as multiscale", "guided unet3plus with batch norm and dropout", "batches of processes, then of threads"])
def test_a_training_that_is_killed_ends_with_the_weights_of_an_unbroken_one(
    cases: list[StoredVolume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: SegmentationSettings
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", 0)
    loop.train(make_run(cases, tmp_path / "unbroken", settings.model_copy(update={"batch_processes": None})))
    broken = make_run(cases, tmp_path / "broken", settings)

    def kill_in_third_epoch(share: float, text: str) -> None:
        if "epoch 3/4" in text:
            raise KeyboardInterrupt

    broken.report = kill_in_third_epoch
    with pytest.raises(KeyboardInterrupt):
        loop.train(broken)
    assert not broken.folder.checkpoint_final.exists()
    continued = make_run(cases, tmp_path / "broken", settings)
    loop.train(continued)
    for stream in (broken.training, broken.validation, continued.training, continued.validation):
        stream.close()  # type: ignore[union-attr]
    expected = load_file(tmp_path / "unbroken" / "checkpoint_final.safetensors")
    found = load_file(tmp_path / "broken" / "checkpoint_final.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_state_goes_on_in_another_precision_as_on_another_device(cases: list[StoredVolume], tmp_path: Path) -> None:
    """From a CPU in float32 to float16, as on CUDA, and back: the gradients' scale is in one of the states only."""
    def learner(precision: Literal["float32", "float16"]) -> SegmentationLearner:
        return segmentation_learner(configuration(), DATA, SegmentationSettings(precision=precision), CPU)

    batch = next(make_run(cases, tmp_path, SegmentationSettings()).training.batches(0, 1))
    plain, scaled = learner("float32"), learner("float16")
    plain.training_step(batch)
    scaled.load_state_dict(plain.state_dict())
    before = scaled.modules["network"].state_dict()
    assert all(torch.equal(values, before[name]) for name, values in plain.modules["network"].state_dict().items())
    scaled.training_step(batch)
    plain.load_state_dict(scaled.state_dict())
    again = learner("float16")
    again.load_state_dict(scaled.state_dict())
    assert again.scaler.state_dict() == scaled.scaler.state_dict() != {}


def test_a_state_that_holds_code_is_not_read(cases: list[StoredVolume], tmp_path: Path) -> None:
    run = make_run(cases, tmp_path / "fold", SegmentationSettings(epochs=1, iterations=1))
    run.folder.root.mkdir()
    torch.save({"learner": Path("/")}, run.folder.training_state)
    with pytest.raises(AutosegError, match="more than tensors and plain values"):
        loop.train(run)


def test_a_loss_that_is_no_number_stops_with_a_word_on_what_to_do(cases: list[StoredVolume], tmp_path: Path) -> None:
    run = make_run(cases, tmp_path / "fold", SegmentationSettings(epochs=1, iterations=2, warmup=0, learning_rate=0.01))
    run.learner.training_step = lambda batch: {"loss": float("nan")}  # type: ignore[method-assign]
    with pytest.raises(AutosegError, match=r"became NaN in epoch 1, iteration 1.* lower the learning rate, 0\.01 here"):
        loop.train(run)


def test_the_learning_rate_falls_to_zero_along_the_polynomial() -> None:
    learner = segmentation_learner(configuration(), DATA, SegmentationSettings(warmup=0.1), CPU)
    rates = []
    for progress in (0.05, 0.1, 0.5, 1.0):
        learner.set_progress(progress)
        rates.append(learner.optimizers["network"].param_groups[0]["lr"])
    assert rates[0] < 0.6 * 0.01
    assert rates[1:] == pytest.approx([0.01 * 0.9**0.9, 0.01 * 0.5**0.9, 0.0])


@pytest.mark.parametrize("warmup", [0.001, 0.01, 0.05, 0.5])
def test_the_warm_up_rises_to_the_rate_of_the_schedule_and_never_above_it(warmup: float) -> None:
    learner = segmentation_learner(configuration(), DATA, SegmentationSettings(warmup=warmup), CPU)
    rates = []
    for step in range(1001):
        learner.set_progress(step / 1000 * warmup)
        rates.append(learner.optimizers["network"].param_groups[0]["lr"] / (0.01 * (1 - step / 1000 * warmup) ** 0.9))
    assert max(rates) <= 1 + 1e-9 and rates[-1] == pytest.approx(1) and rates == sorted(rates)


def test_a_training_is_over_when_its_rate_is_exhausted(cases: list[StoredVolume], tmp_path: Path) -> None:
    plateau = PlateauSettings(patience=1, factor=0.01, floor=1e-3, threshold=1e6)
    settings = SegmentationSettings(
        epochs=9, iterations=1, schedule="plateau", plateau=plateau, learning_rate=0.01, warmup=0)
    run = make_run(cases, tmp_path / "fold", settings)
    loop.train(run)
    assert [epoch.learning_rate for epoch in run.history] == [0.01, 0.01]  # the first epoch is the best; the second, no better
    assert run.folder.checkpoint_final.exists()
    again = make_run(cases, tmp_path / "fold", settings)
    loop.train(again)
    assert len(again.history) == 2


def test_a_disk_that_is_full_is_named_by_weights_and_states(
    cases: list[StoredVolume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the errors that safetensors 0.8 and torch 2.13 raised on a full tmpfs."""
    def no_space(*arguments: object, **named: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    def torch_stops(*arguments: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr("autoseg.inference.checkpoints.save_file", no_space)
    monkeypatch.setattr("torch.save", torch_stops)
    modules = make_run(cases, tmp_path / "fold", SegmentationSettings(epochs=1, iterations=1)).learner.modules
    with pytest.raises(AutosegError, match="The disk is full"):
        save_weights(tmp_path / "fold" / "weights", modules, {})
    with pytest.raises(AutosegError, match="The disk is full"):
        save_state(tmp_path / "fold" / "state", {"epoch": 1})
    assert not list((tmp_path / "fold").iterdir())


@pytest.mark.parametrize("where", [
    ("learner",), ("learner", "modules"), ("learner", "modules", "network"), ("learner", "optimizers", "network"),
    ("learner", "optimizers", "network", "state"), ("learner", "optimizers", "network", "state", 0, "momentum_buffer"),
    ("learner", "optimizers", "network", "param_groups", 0, "momentum"),
    ("history",), ("best",), ("schedule",), ("schedule", "epochs")])
def test_a_state_of_another_structure_is_told(cases: list[StoredVolume], tmp_path: Path, where: tuple[str | int, ...]) -> None:
    run = make_run(cases, tmp_path / "fold", SegmentationSettings(epochs=2, iterations=1))
    loop.train(run)
    whole = run.folder.training_state.read_bytes()
    for value in (None, "x", [1], {}, torch.zeros(2, 3)):
        run.folder.training_state.write_bytes(whole)
        state = torch.load(run.folder.training_state, weights_only=True)
        inner = state
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = value
        torch.save(state, run.folder.training_state)
        again = make_run(cases, tmp_path / "fold", SegmentationSettings(epochs=2, iterations=1))
        try:
            loop.resume(again)
        except AutosegError as error:
            assert "--restart" in str(error)
        else:  # what an optimizer may forget, or an empty history
            assert value in ({}, None)
