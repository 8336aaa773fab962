"""Trainings by two and three processes on the CPU against one process: the same losses, weights and results."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from autoseg import api
from autoseg.dataset import Labels
from autoseg.distributed import World, world
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.launching import launch
from autoseg.plan import Configuration, Topology
from autoseg.trainers import loop
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.segmentation import SegmentationSettings, segmentation_learner
from autoseg.trainers.segmentation.batches import Batch
from autoseg.training_log import read_log
from autoseg.workspace import FoldFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes there find each other in other ways")

CPU = torch.device("cpu")
CLASSES = Labels(values={"background": 0, "a": 1, "b": 2})
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
SPARSE = Labels(values={"background": 0, "a": 1, "b": 2, "ignore": 3}, ignore=3)
STEPS = 20
VARIANTS: dict[str, tuple[Labels, bool, dict[str, Any]]] = {  # labels, whether Dice pools the batch, settings
    "plain": (CLASSES, False, {}),
    "batch Dice, in parts": (CLASSES, True, {"accumulate": 3}),
    "batch Dice": (CLASSES, True, {}),
    "regions": (REGIONS, True, {}),
    "ignore label": (SPARSE, False, {}),
    "batch norm": (CLASSES, True, {"norm": "batch"}),
}


def settings_of(changes: dict[str, Any]) -> SegmentationSettings:
    return SegmentationSettings.model_validate({
        "precision": "float32", "epochs": 5, "iterations": 4, "learning_rate": 0.01, "momentum": 0.9, "warmup": 0.0, **changes})


def learner_of(labels: Labels, pools: bool, settings: SegmentationSettings) -> Any:
    topology = Topology(features=(4, 6, 8), strides=((1, 1), (2, 2), (2, 2)), kernel_sizes=((3, 3),) * 3,
                        convs_per_stage=(1, 1, 1), norm=settings.norm or "instance")
    configuration = Configuration(
        spacing_mm=(1.0, 1.0), median_shape=(16, 16), patch_size=(16, 16), batch_size=2, normalization=("zscore",),
        normalize_inside_mask=(False,), network=topology, batch_dice=pools)
    outputs = labels.output_channels
    return segmentation_learner(configuration, TrainingData(labels, 1000, (1000 // outputs,) * outputs), settings, CPU)


class Shared:
    """Batches of noise, of which this process takes its share; for the validation, whole ones."""

    def __init__(self, labels: Labels, samples: int, is_validation: bool = False) -> None:
        self.labels, self.samples = labels, samples
        self.share = world().whole_batches(samples) if is_validation else world().share_of_each(samples)

    def batches(self, first: int, count: int) -> Iterator[Batch]:
        for number in range(first, first + count):
            random = torch.Generator().manual_seed(self.share.number(number))
            label = torch.randint(0, len(self.labels.known_values), (self.samples, 1, 4, 4), generator=random).float()
            label = nn.functional.interpolate(label, (16, 16), mode="nearest").to(torch.int16)
            image = label.float() + torch.randn(self.samples, 1, 16, 16, generator=random)
            mine = slice(self.share.positions.start, self.share.positions.stop)
            yield Batch(image[mine], label[mine])


def steps_of(names: list[str], samples: int) -> dict[str, Any]:
    """Losses of 20 steps of each variant, and the weights after them, as lists."""
    found = {}
    for name in names:
        labels, pools, changes = VARIANTS[name]
        learner = learner_of(labels, pools, settings_of(changes))
        losses = [learner.training_step(batch)["loss"] for batch in Shared(labels, samples).batches(0, STEPS)]
        found[name] = losses, {key: value.tolist() for key, value in learner.modules["network"].state_dict().items()}
    return found


def left_over() -> list[psutil.Process]:
    """The processes that this one has started, but for those that stay: one that cleans up after others, one that reads files."""
    return [child for child in psutil.Process().children()
            if not any(kept in " ".join(child.cmdline()) for kept in ("resource_tracker", "foreign_process"))]


@pytest.mark.parametrize(("processes", "samples", "names"), [
    (2, 4, list(VARIANTS)), (3, 7, ["plain", "batch Dice, in parts", "batch norm"])], ids=["2 on 4", "3 on 7"])
def test_processes_make_the_steps_of_one(processes: int, samples: int, names: list[str]) -> None:
    found = launch(processes, "cpu", steps_of, {"names": names, "samples": samples})
    expected = steps_of(names, samples)
    for name in names:
        assert found[name][0] == pytest.approx(expected[name][0], abs=1e-5), name
        for key, values in expected[name][1].items():
            torch.testing.assert_close(
                torch.tensor(found[name][1][key]), torch.tensor(values), rtol=0, atol=1e-5, msg=f"{name}: {key}")
    assert not left_over()


@pytest.mark.parametrize("name", [name for name in VARIANTS if "norm" not in name and "parts" not in name])
def test_parts_of_a_batch_make_the_steps_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, pools, changes = VARIANTS[name]
    whole = steps_of([name], 5)[name]
    monkeypatch.setitem(VARIANTS, name, (labels, pools, {**changes, "accumulate": 4}))
    parts = steps_of([name], 5)[name]
    assert parts[0] == pytest.approx(whole[0], abs=1e-5)
    for key, values in whole[1].items():
        torch.testing.assert_close(torch.tensor(parts[1][key]), torch.tensor(values), rtol=0, atol=1e-5, msg=key)


def test_a_second_pass_is_made_only_where_the_loss_sums_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the network's runs in 5 steps: one of a rehearsal, and 2 parts a step, twice where sums are needed first."""
    runs = []
    for pools in (False, True):
        learner = learner_of(CLASSES, pools, settings_of({"accumulate": 2}))
        counted: list[None] = []
        learner.modules["network"].register_forward_hook(lambda *its, counted=counted: counted.append(None))
        for batch in Shared(CLASSES, 4).batches(0, 5):
            learner.training_step(batch)
        runs.append(len(counted))
    assert runs == [1 + 5 * 2, 1 + 5 * 4]


def test_parts_are_refused_where_they_would_change_the_training() -> None:
    with pytest.raises(AutosegError, match="accumulate=2 would compute batch norm from a part"):
        learner_of(CLASSES, False, settings_of({"accumulate": 2, "norm": "batch"}))
    learner = learner_of(CLASSES, False, settings_of({"accumulate": 2}))
    with pytest.raises(AutosegError, match="hands its targets to `step`"):
        learner.step(torch.zeros(2, 1, 16, 16), lambda logits: logits[0].mean())


def test_shares_are_the_whole_batch_and_each_batch_is_taken_once() -> None:
    worlds = [World(rank, 3) for rank in range(3)]
    assert [list(its.share_of_each(7).positions) for its in worlds] == [[0, 1], [2, 3], [4, 5, 6]]
    for first, count in ((0, 5), (5, 5), (7, 1), (10, 12)):
        taken = []
        for its in worlds:
            own, many = its.turns(first, count)
            taken += [its.whole_batches(2).number(number) for number in range(own, own + many)]
        assert sorted(taken) == list(range(first, first + count))
    with pytest.raises(AutosegError, match=r"A batch of 2 cannot be shared by 3 .*--gpus 2.*--batch-per-gpu 1 makes it 3"):
        worlds[0].share_of_each(2)


def train_run(folder: str, die_in: str = "", by: int = 0, kill: bool = False) -> None:
    """Train five epochs; process number `by` fails, or is killed, when it shows what holds `die_in`."""
    loop.SECONDS_BETWEEN_STATES = 0
    settings = settings_of({})  # not Adam, which makes steps of the rounding where a gradient is 0, as of biases before a norm

    def report(share: float, text: str) -> None:
        if die_in and die_in in text and world().rank == by:
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise AutosegError("The disk is full.")

    run = loop.Run(
        learner_of(CLASSES, True, settings), Shared(CLASSES, 3), Shared(CLASSES, 3, is_validation=True), ["a", "b"], settings,
        FoldFolder(Path(folder)), Schedule(settings), report, validation_batches=3, keeps_best=True)
    loop.train(run)


def test_two_processes_then_one_then_two_end_with_the_weights_of_an_unbroken_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", 0)
    (tmp_path / "broken").mkdir()
    (tmp_path / "unbroken").mkdir()
    broken = {"folder": str(tmp_path / "broken")}
    with pytest.raises(AutosegError, match=r"Process 1 of 2 was killed \(SIGKILL\).* all others were ended\. The same command"):
        launch(2, "cpu", train_run, {**broken, "die_in": "epoch 3/5", "by": 1, "kill": True})
    assert not left_over() and not (tmp_path / "broken" / "checkpoint_final.safetensors").exists()
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(AutosegError, match=r"The disk is full\."):
        train_run(**broken, die_in="epoch 4/5")
    launch(2, "cpu", train_run, broken)
    train_run(str(tmp_path / "unbroken"))
    logs = [[line.model_dump(exclude={"seconds", "finished_at"}) for line in read_log(FoldFolder(tmp_path / name).log_jsonl)]
            for name in ("broken", "unbroken")]
    assert len(logs[0]) == len(logs[1]) == 5
    for found, expected in zip(*logs, strict=True):
        for key in ("training_loss", "validation_loss", "mean_dice"):
            assert found[key] == pytest.approx(expected[key], abs=1e-5), key
    for name in ("checkpoint_final.safetensors", "checkpoint_best.safetensors"):
        found, expected = (load_file(tmp_path / run / name) for run in ("broken", "unbroken"))
        assert list(found) == list(expected)
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-5, msg=key)


FLAGS = ("--device", "cpu", "--epochs", "2", "--iterations", "2", "--set", "precision=float32", "batch_size=3",
         "learning_rate=0.001", "momentum=0.5")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, make_balls: Any) -> tuple[Path, Path]:
    """A dataset of six cases, of which fold 0 validates on three, planned; and its workspace."""
    root = tmp_path_factory.mktemp("balls")
    source = make_balls(root, with_ball=6, without=0)
    names = [f"ball_{number}" for number in range(6)]
    write_json(source / "splits_final.json", [{"train": names[3:], "val": names[:3]}, {"train": names[:3], "val": names[3:]}])
    api.plan_and_preprocess(source, workers=1, workspace=root / "workspace", quiet=True)
    return source, root / "workspace"


@pytest.fixture(scope="module")
def one(planned: tuple[Path, Path]) -> Any:
    """Fold 0, trained by one process."""
    source, workspace = planned
    return api.train(source, 0, workspace=workspace, quiet=True, name="one", device="cpu", epochs=2, iterations=2, settings={
        "precision": "float32", "batch_size": 3, "learning_rate": 0.001, "momentum": 0.5})


def test_three_processes_validate_three_cases_as_one_does(planned: tuple[Path, Path], one: Any) -> None:
    source, workspace = planned
    validation = one.folder / "validation"
    before = {path.name: path.read_bytes() for path in validation.iterdir()}
    shutil.rmtree(validation)
    again = api.train(source, 0, workspace=workspace, quiet=True, name="one", device="cpu", gpus=3)
    assert again.summary.model_dump_json() == one.summary.model_dump_json()  # as text: Dice of what is nowhere is no number
    assert {path.name: path.read_bytes() for path in validation.iterdir()} == before


def test_torchrun_trains_as_one_process_does(planned: tuple[Path, Path], one: Any) -> None:
    source, workspace = planned
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "autoseg.cli.train",
         str(source), "0", "--workspace", str(workspace), *FLAGS, "--name", "two"],
        capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Wrote ") == 1 and ran.stdout.count("Next: ") == 1
    two = one.folder.parents[1] / "two" / "fold_0"
    found, expected = (load_file(folder / "checkpoint_final.safetensors") for folder in (two, one.folder))
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-5, msg=key)
    assert sorted(path.name for path in two.rglob("*")) == sorted(path.name for path in one.folder.rglob("*"))


def test_ctrl_c_ends_all_processes_and_the_same_command_goes_on_until_its_time_is_over(planned: tuple[Path, Path]) -> None:
    source, workspace = planned
    fold = FoldFolder(workspace / source.name / "models" / "3d_fullres" / "stopped" / "fold_0")
    command = [sys.executable, "-m", "autoseg.cli.train", str(source), "0", "--workspace", str(workspace), "--name", "stopped",
               "--device", "cpu", "--gpus", "2", "--max-hours", "0.004", "--set", "batch_size=2", "base_features=4",
               "validation_iterations=1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored in the background
    until = time.monotonic() + 300
    while not (fold.log_jsonl.exists() and read_log(fold.log_jsonl)):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to every process of the command
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in error, error
    assert not [its for its in psutil.process_iter(["cmdline"]) if "stopped" in (its.info["cmdline"] or [])]
    assert not fold.checkpoint_final.exists()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    epochs = [line.epoch for line in read_log(fold.log_jsonl)]
    assert epochs == list(range(len(epochs))) and fold.checkpoint_final.exists()


def test_what_several_processes_cannot_do_is_refused(planned: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, workspace = planned
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(AutosegError, match=r"4 GPUs were asked for, and this machine has 2 .*--gpus 2.*--device cpu"):
        api.train(source, 0, workspace=workspace, gpus=4)
    with pytest.raises(AutosegError, match="cuda:1 is one device, and each of 2 processes"):
        api.train(source, 0, workspace=workspace, gpus=2, device="cuda:1")
    with pytest.raises(AutosegError, match="--batch-per-gpu and --set batch_size contradict"):
        api.train(source, 0, workspace=workspace, device="cpu", batch_per_gpu=2, settings={"batch_size": 3})
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(AutosegError, match="leave out --gpus"):
        api.train(source, 0, workspace=workspace, gpus=2)
