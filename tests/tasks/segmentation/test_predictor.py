"""From images to segmentations, in memory and on disk, with networks whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import blosc2
import numpy as np
import pytest
import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, read_label, write_image
from autoseg.inference.inputs import list_inputs
from autoseg.tasks.segmentation import member as member_module
from autoseg.tasks.segmentation import predictor as predictor_module
from autoseg.tasks.segmentation.files import CaseFiles
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel, load_model
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.ways import Way

CPU = torch.device("cpu")


class Identity(nn.Module):
    """Logits are the image's channels."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


class Constant(nn.Module):
    """The same logits everywhere."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.logits.view(1, -1, *[1] * (x.dim() - 2)).expand(len(x), -1, *x.shape[2:])]


class Lopsided(nn.Module):
    """The image, and more for class 1 towards the end of each axis: it knows left from right."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        logits = x.clone()
        for axis in range(2, x.dim()):
            logits[:, 1] += torch.linspace(-1, 1, x.shape[axis]).view(-1, *[1] * (x.dim() - 1 - axis))
        return [logits]


def predictor_of(description: Any, *networks: nn.Module, mirroring: bool = True) -> Predictor:
    model = LoadedModel(description, list(networks), tuple(map(str, range(len(networks)))))
    return Predictor([model], CPU, precision="float32", way=Way(axes=None if mirroring else ()))


def of_weights(file: Path, description: Any, logits: tuple[int, ...]) -> Predictor:
    """One whose answer is constant, as weights of this file would give it."""
    file.write_text(str(logits))
    return Predictor([LoadedModel(description, [Constant(*logits)], ("0",), (file,))], CPU, precision="float32")


def random_image(channels: int, shape: tuple[int, ...], spacing_mm: Any = (1.0, 1.0, 1.0), seed: int = 0) -> Image:
    array = np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)
    return Image(array, Geometry(spacing_mm, (5.0, -7.0, 11.0)))


def save(folder: Path, name: str, image: Image) -> Path:
    folder.mkdir(exist_ok=True)
    write_image(folder / name, image.array, image)
    return folder


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("patch_size", [(8, 6, 7), (9, 8), (32, 32, 32)])
def test_a_network_that_gives_back_its_input_segments_by_the_brightest_channel(
    transpose: tuple[int, int, int], patch_size: tuple[int, ...], describe: Any
) -> None:
    image = random_image(3, (11, 17, 14))
    image.array[:, :2] = 0  # the crop takes these away
    image.array[:, :, :, 12:] = 0
    labels = predictor_of(describe(3, 3, patch_size, transpose), Identity()).predict_image(image)
    assert labels.dtype == np.uint8
    assert (labels == image.array.argmax(0)).all()


def test_an_image_of_another_spacing_is_segmented_on_its_own_grid(describe: Any) -> None:
    z, y, x = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 20), np.linspace(-1, 1, 24), indexing="ij")
    smooth = np.stack([0.5 - z, z + y, x - y]).astype(np.float32)
    labels = predictor_of(describe(3, 3), Identity()).predict_image(Image(smooth, Geometry((2.0, 0.7, 1.3))))
    assert labels.shape == (12, 20, 24)
    assert (labels == smooth.argmax(0)).mean() > 0.97


def test_folds_are_averaged_and_do_not_vote(describe: Any) -> None:
    folds = [Constant(0, 1, 0), Constant(0, 1, 0), Constant(0, 1, 0), Constant(0, 0, 4)]
    image = random_image(1, (5, 6, 7))
    assert (predictor_of(describe(), *folds).predict_image(image) == 2).all()
    assert (predictor_of(describe(), *folds[:3]).predict_image(image) == 1).all()


@pytest.mark.parametrize("patch_size", [(8, 6, 10), (8, 6)])
def test_with_mirroring_a_mirrored_image_gives_the_mirrored_segmentation(
    patch_size: tuple[int, ...], describe: Any
) -> None:
    image = random_image(2, (9, 13, 16))
    mirrored = Image(np.ascontiguousarray(image.array[:, :, ::-1, ::-1]), image.geometry)
    axes = (1, 2) if len(patch_size) == 3 else (0, 1)
    description = describe(2, 2, patch_size, mirror_axes=axes)
    for mirroring in (True, False):
        predictor = predictor_of(description, Lopsided(), mirroring=mirroring)
        same = predictor.predict_image(mirrored) == predictor.predict_image(image)[:, ::-1, ::-1]
        assert same.mean() > 0.999 if mirroring else same.mean() < 0.95


def test_regions_overlap_and_are_painted_in_their_order(describe: Any) -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    image = random_image(2, (6, 7, 8))
    predicted = predictor_of(describe(2, labels=labels), Identity()).predict_image(image)
    assert (predicted == np.where(image.array[1] > 0, 2, np.where(image.array[0] > 0, 1, 0))).all()


def test_an_image_with_other_channels_than_the_model_is_refused(describe: Any) -> None:
    with pytest.raises(AutosegError, match=r"case x: the image has 1 channel, but the model takes 2 \(channel0, channel1"):
        predictor_of(describe(2), Identity()).predict_image(random_image(1, (5, 5, 5)), "x")


def test_progress_counts_tiles_to_the_end(describe: Any) -> None:
    seen: list[tuple[str, float]] = []
    predictor_of(describe(3), Identity()).predict_image(
        random_image(3, (12, 8, 8)), "x", progress=lambda *counts: seen.append(counts))
    assert seen == [("x", 0.5), ("x", 1.0)]


def test_memory_that_runs_out_is_told_without_a_traceback(describe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(member_module, "stream_logits", no_memory)
    with pytest.raises(AutosegError, match=r"case x: memory ran out .* \(preprocessed shape \(3, 5, 5, 5\)"):
        predictor_of(describe(3), Identity()).predict_image(random_image(3, (5, 5, 5)), "x")


def test_a_trained_model_segments_files_on_their_own_grid(describe: Any, save_model: Any, tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path, describe(patch_size=(16, 16, 16), mirror_axes=(1,)), folds=("0", "1")))
    images = save(tmp_path / "in", "a_0000.nii.gz", random_image(1, (9, 10, 11), (3.0, 0.8, 0.8)))
    save(images, "b.nrrd", random_image(1, (5, 20, 10)))
    predictor = Predictor([model], CPU, precision="float32")
    outcomes = list(predictor.predict_files(list_inputs(images, model.description), tmp_path / "deep" / "out"))
    assert [outcome.value.path.name for outcome in outcomes] == ["a.nii.gz", "b.nrrd"]
    for outcome in outcomes:
        label, image = read_label(outcome.value.path), read_image(outcome.item.images[0])
        assert not label.geometry.differences(image.geometry, image.array.shape[1:])
        assert (label.array[0] == predictor.predict_image(image)).all()


def three_cases(folder: Path) -> Path:
    """Cases a, b and c, of which b is no image."""
    images = save(folder / "in", "a.nii.gz", random_image(3, (4, 5, 6)))
    (images / "b.nii.gz").write_bytes(b"no image")
    return save(images, "c.nii.gz", random_image(3, (6, 5, 4)))


def watched(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to which case, in order, and in the main thread or beside it."""
    done: list[str] = []

    def watch(name: str, of: Any, case_of: Any) -> None:
        usual = getattr(of, name)

        def watching(*arguments: Any) -> Any:
            where = "" if current_thread() is main_thread() else " beside"
            done.append(f"{name} {case_of(*arguments)}{where}")
            return usual(*arguments)

        monkeypatch.setattr(of, name, watching)

    watch("_prepare", predictor, lambda item: item.name)
    watch("_predict", predictor, lambda prepared, *_: prepared[0][1].case)
    watch("write", CaseFiles, lambda _, names, made: next(iter(names.values()))[0])
    return done


@pytest.mark.parametrize("free_gb", [100, 0])
def test_the_next_case_is_prepared_beside_where_memory_allows_and_the_result_is_the_same(
    free_gb: int, describe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = save(save(tmp_path / "in", "a.nii.gz", random_image(3, (4, 5, 6))), "c.nii.gz", random_image(3, (6, 5, 4)))
    predictor = predictor_of(describe(3), Identity())
    monkeypatch.setattr(predictor_module, "free_memory_bytes", lambda: free_gb * 10**9)
    done = watched(predictor, monkeypatch)
    outcomes = list(predictor.predict_files(list_inputs(images, predictor.description), tmp_path / "out"))
    assert sorted(done) == sorted(["_prepare a", "_predict a", "write a beside", f"_prepare c{' beside' * bool(free_gb)}",
                                   "_predict c", "write c beside"])
    assert [outcome.item.name for outcome in outcomes] == ["a", "c"]
    for outcome in outcomes:
        image = read_image(outcome.item.images[0])
        assert (read_label(outcome.value.path).array[0] == image.array.argmax(0)).all()


def test_a_failed_write_is_told_of_its_own_case_and_stops_no_other(
    describe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, predictor, usual = three_cases(tmp_path), predictor_of(describe(3), Identity()), CaseFiles.write

    def full_disk(files: CaseFiles, names: Any, made: Any) -> None:
        if "a.nii.gz" in names.values():
            raise OSError("No space left on device")
        usual(files, names, made)

    monkeypatch.setattr(CaseFiles, "write", full_disk)
    inputs = list_inputs(images, predictor.description)
    outcomes = list(predictor.predict_files(inputs, tmp_path / "out"))
    assert [outcome.item.name for outcome in outcomes] == ["a", "b", "c"]
    assert str(outcomes[0].error) == "case a: No space left on device." and outcomes[1].error and not outcomes[2].error
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["c.nii.gz"]
    monkeypatch.setattr(CaseFiles, "write", usual)
    again = {outcome.item.name: outcome for outcome in predictor.predict_files(inputs, tmp_path / "out")}
    assert again["c"].value.was_there and not again["a"].value.was_there and (tmp_path / "out" / "a.nii.gz").exists()


def test_a_command_that_is_stopped_ends_with_whole_files_and_the_next_goes_on(describe: Any, tmp_path: Path) -> None:
    images, predictor = save(tmp_path / "in", "a.nii.gz", random_image(3, (4, 5, 6))), predictor_of(describe(3), Identity())
    for name in "bcd":
        save(images, f"{name}.nii.gz", random_image(3, (6, 5, 4)))

    def stopped(case: str, share: float) -> None:
        if case == "c":
            raise KeyboardInterrupt

    inputs = list_inputs(images, predictor.description)
    with pytest.raises(KeyboardInterrupt):
        list(predictor.predict_files(inputs, tmp_path / "out", progress=stopped))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["a.nii.gz", "b.nii.gz"]
    outcomes = list(predictor.predict_files(inputs, tmp_path / "out"))
    assert {outcome.item.name: outcome.value.was_there for outcome in outcomes} == {"a": True, "b": True, "c": False, "d": False}


def test_beside_a_cuda_device_cases_are_prepared_ahead_and_a_bad_one_stops_no_other(
    describe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, predictor = three_cases(tmp_path), predictor_of(describe(3), Identity())
    predictor.device = torch.device("cuda")  # in name: tiles stay where they are
    monkeypatch.setattr(EnsembleMember, "_band_device", lambda *_: CPU)
    monkeypatch.setattr(EnsembleMember, "_predict_tile", lambda _, tile, networks, mirrored: tile)
    outcomes = list(predictor.predict_files(list_inputs(images, predictor.description), tmp_path / "out"))
    assert [(outcome.item.name, outcome.error is None) for outcome in outcomes] == [("a", True), ("b", False), ("c", True)]
    for outcome in (outcomes[0], outcomes[2]):
        image = read_image(outcome.item.images[0])
        assert (read_label(outcome.value.path).array[0] == image.array.argmax(0)).all()


def test_weights_that_changed_make_another_model(describe: Any, tmp_path: Path) -> None:
    description = describe(1, 2)
    inputs = list_inputs(save(tmp_path / "in", "a.nii.gz", random_image(1, (4, 5, 6))), description)
    ones, zeros = (of_weights(tmp_path / f"{logits}.safetensors", description, logits) for logits in ((0, 1), (1, 0)))
    assert [outcome.error for outcome in ones.predict_files(inputs, tmp_path / "out")] == [None]
    with pytest.raises(AutosegError, match=r"holds outputs that another model or other options made: weights"):
        next(zeros.predict_files(inputs, tmp_path / "out"))


def test_probabilities_are_written_beside_labels_also_where_labels_are_there_already(
    describe: Any, tmp_path: Path
) -> None:
    description = describe(1, 2)
    images = save(tmp_path / "in", "a.nii.gz", random_image(1, (4, 5, 6)))
    predictor, inputs = predictor_of(description, Constant(0, 1)), list_inputs(images, description)
    for with_probabilities, was_there in ((False, False), (True, False), (True, True)):
        [outcome] = predictor.predict_files(inputs, tmp_path / "out", save_probabilities=with_probabilities)
        assert outcome.value.was_there == was_there
    stored = blosc2.open(str(tmp_path / "out" / "a.b2nd"), mode="r")[...]
    np.testing.assert_allclose(stored[1], 1 / (1 + np.exp(-1)), atol=1e-3)
    record = [json.loads(line) for line in (tmp_path / "out" / "autoseg_prediction.jsonl").read_text().splitlines()]
    assert {line["output"] for line in record[1:]} == {"a.nii.gz"}


def test_an_output_folder_that_is_a_file_is_named(describe: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(AutosegError, match="out"):
        next(predictor_of(describe(), Constant(0, 1, 0)).predict_files([], tmp_path / "out"))


def test_small_cases_of_a_folder_share_batches_and_large_ones_do_not(
    describe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five cases of one tile and one of many, three at a time: the files are those of one after the other."""
    batches: list[int] = []

    class Seen(Identity):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            batches.append(len(x))
            return super().forward(x)

    description, random, images = describe(channels=2, classes=2), np.random.default_rng(0), tmp_path / "images"
    for number in range(6):
        size = 24 if number == 3 else 8
        for channel in range(2):
            image = Image(random.normal(size=(1, size, size, size)).astype(np.float32), Geometry((1.0, 1.0, 1.0)))
            write_image(images / f"c{number}_{channel:04d}.nii.gz", image.array, image)
    found = []
    for at_once in (1, 3):
        batches.clear()
        predictor = Predictor([LoadedModel(description, [Seen()], ("0",))], CPU, "float32", cases_at_once=at_once)
        inputs = list_inputs(images, description)
        outcomes = list(predictor.predict_files(inputs, tmp_path / str(at_once)))
        assert [outcome.item.name for outcome in outcomes] == [f"c{number}" for number in range(6)]
        assert not any(outcome.error for outcome in outcomes)
        found.append([read_label(tmp_path / str(at_once) / f"c{number}.nii.gz").array for number in range(6)])
        assert max(batches) == 1 if at_once == 1 else max(batches) <= 3
        assert sum(batches) == 5 + 5**3
    assert all(map(np.array_equal, *found))
    for number, labels in enumerate(found[0]):
        channels = [read_image(images / f"c{number}_{channel:04d}.nii.gz").array[0] for channel in range(2)]
        assert number == 3 or np.array_equal(labels[0], channels[1] > channels[0])
