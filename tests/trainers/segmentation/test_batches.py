"""Patches: which ones are drawn, and that they are the same from memory and in every order."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.dataset import Labels
from autoseg.preprocessing import store
from autoseg.tasks.segmentation.store import StoredVolume, open_volume, write_volume
from autoseg.trainers.augmentation import AUGMENTATIONS, Augmentation
from autoseg.trainers.background import BackgroundBatches
from autoseg.trainers.segmentation import batches
from autoseg.trainers.segmentation.batches import (
    Batch,
    BatchStream,
    CaseInMemory,
    PatchSampler,
    finished,
    kept_in_memory,
    read_padded,
)


def test_a_patch_is_what_lies_in_the_case_with_zeros_beyond_it(cases: list[StoredVolume]) -> None:
    whole = cases[0].read_data()
    image, label = read_padded(cases[0], np.array([-2, 3, 15]), np.array([8, 5, 9]))
    assert image.shape == (1, 8, 5, 9) and label.shape == (1, 8, 5, 9) and label.dtype == np.int16
    assert np.array_equal(image[:, 2:, :, :5], whole[:, :6, 3:8, 15:])
    assert not image[:, :2].any() and not image[:, :, :, 5:].any()


def test_the_last_third_of_a_batch_holds_foreground_at_its_centre(cases: list[StoredVolume]) -> None:
    sampler = PatchSampler(cases, (4, 4, 4), 6, 1 / 3, None, seed=0)
    for number in range(10):
        samples = sampler.draw(number)
        assert all(int(sample.label[0, 2, 2, 2]) == 1 for sample in samples[4:])


def test_a_patch_on_foreground_is_centred_on_the_rarer_class_as_often_as_asked(cases: list[StoredVolume], tmp_path: Path) -> None:
    seg = np.zeros((1, *cases[0].shape), np.int8)
    seg[0, 2:12, 2:12, 2:12], seg[0, 13, 15, 15:17] = 1, 2  # 1000 voxels and 2
    labels = Labels(values={"background": 0, "organ": 1, "lesion": 2})
    write_volume(tmp_path / "two", seg.astype(np.float32), seg, cases[0].properties, labels)
    case = open_volume(tmp_path / "two", cases[0].name)
    share = {}
    for prefers_rare in (False, True):
        sampler = PatchSampler([case], (2, 2, 2), 2, 1.0, None, seed=0, prefers_rare=prefers_rare)
        centres = [int(sample.label[0, 1, 1, 1]) for number in range(100) for sample in sampler.draw(number)]
        assert set(centres) <= {1, 2}
        share[prefers_rare] = centres.count(2) / len(centres)
    assert 0.4 < share[False] < 0.6 and share[True] > 0.98  # 1000 / 1002


def test_a_batch_depends_on_its_number_alone(cases: list[StoredVolume]) -> None:
    sampler = PatchSampler(cases, (8, 8, 8), 2, 1 / 3, None, seed=0)
    later_first = sampler.draw(5)
    sampler.draw(0)
    for one, other in zip(later_first, sampler.draw(5), strict=True):
        assert torch.equal(one.image, other.image)
    assert not torch.equal(sampler.draw(5)[0].image, sampler.draw(6)[0].image)


def test_batches_come_in_order_from_several_threads(cases: list[StoredVolume]) -> None:
    sampler = PatchSampler(cases, (8, 8, 8), 2, 1 / 3, None, seed=0)
    stream = BatchStream(sampler, lambda samples: samples, threads=3)  # type: ignore[arg-type, return-value]
    for number, samples in zip(range(4, 12), stream.batches(4, 8), strict=True):
        assert torch.equal(samples[0].image, sampler.draw(number)[0].image)  # type: ignore[index]
    stream.close()


def test_the_same_patches_are_drawn_from_memory_as_from_disk(cases: list[StoredVolume]) -> None:
    in_ram = kept_in_memory(cases, channels=1)
    assert all(isinstance(case, CaseInMemory) for case in in_ram)
    samplers = [PatchSampler(kept, (8, 16, 30), 6, 0.5, None, seed=7) for kept in (cases, in_ram)]
    for one, other in zip(samplers[0].draw(3), samplers[1].draw(3), strict=True):
        assert torch.equal(one.image, other.image) and torch.equal(one.label, other.label) and one.seed == other.seed


def test_a_dataset_that_does_not_fit_into_memory_stays_on_disk(cases: list[StoredVolume], monkeypatch) -> None:
    monkeypatch.setattr(batches, "free_memory_bytes", lambda: 1000)
    assert kept_in_memory(cases, channels=1) == cases


@pytest.mark.parametrize("is_in_memory", [False, True])
def test_boxes_that_leave_the_case_are_what_padding_it_first_would_give(cases: list[StoredVolume], is_in_memory: bool) -> None:
    case, margin = cases[0], 40
    beyond = [(0, 0)] + [(margin, margin)] * 3
    whole, seg = np.pad(case.read_data(), beyond), np.pad(case.read_seg(), beyond, constant_values=-1)
    rng = np.random.default_rng(0)
    for _ in range(50):
        inside = rng.integers(0, case.shape)
        low = inside - rng.integers(0, 20, 3)
        size = inside - low + rng.integers(1, 20, 3)
        image, label = read_padded(CaseInMemory(case) if is_in_memory else case, low, size, outside=-1)
        box = (slice(None), *(slice(a + margin, a + n + margin) for a, n in zip(low, size, strict=True)))
        assert image.dtype == np.float32 and label.dtype == np.int16
        assert np.array_equal(image, whole[box]) and np.array_equal(label, seg[box])


@pytest.mark.skipif(sys.platform == "win32", reason="batches are made by threads there")
@pytest.mark.parametrize("patch_size", [(8, 16, 30), (16, 16)])
def test_processes_make_the_batches_that_threads_make(cases: list[StoredVolume], patch_size: tuple[int, ...]) -> None:
    augmentation = Augmentation(patch_size, tuple(range(len(patch_size))), masked_channels=(0,))
    sampler = PatchSampler(kept_in_memory(cases, channels=1), patch_size, 4, 0.5, augmentation, seed=7)
    threads = BatchStream(sampler, lambda samples: finished(samples, augmentation, torch.device("cpu")), threads=2)
    processes = BackgroundBatches(sampler.make, lambda its: Batch(**its), processes=2)
    try:
        for one, other in zip(threads.batches(3, 5), processes.batches(3, 5), strict=True):
            assert torch.equal(one.image, other.image) and torch.equal(one.label, other.label)
            assert other.image.shape == (4, 1, *patch_size) and other.label.dtype == torch.int16
    finally:
        threads.close()
        processes.close()


def test_what_processes_keep_in_memory_counts_once_for_each(cases: list[StoredVolume], monkeypatch) -> None:
    needed = sum(int(np.prod(case.shape)) for case in cases) * 6
    monkeypatch.setattr(batches, "free_memory_bytes", lambda: 4 * 3 * needed)
    assert all(isinstance(case, CaseInMemory) for case in kept_in_memory(cases, 1, processes=3))
    assert kept_in_memory(cases, 1, processes=4) == cases


def with_previous_of(case: StoredVolume, folder: Path, labels: np.ndarray) -> StoredVolume:
    """The case with a previous stage's prediction (Z, Y, X), stored as a first stage would."""
    store.write_case(folder, store.StoredDescription(case=case.name, shapes={}, origin="", plans=""), [
        store.Part("", labels[np.newaxis].astype(np.int8), (8, 8, 8))])
    stored = store.StoredCase(folder, store.read_description(folder, case.name, store.StoredDescription))
    return dataclasses.replace(case, previous=stored)


@pytest.mark.parametrize("keep", [list, lambda cases: kept_in_memory(cases, channels=1)])
def test_a_previous_stage_s_labels_are_channels_behind_the_image(cases: list[StoredVolume], tmp_path: Path, keep: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 6, cases[0].shape)
    case = with_previous_of(cases[0], tmp_path / "previous", labels)
    sampler = PatchSampler(keep([case]), (20, 20, 20), 2, 0.0, None, seed=0, values=(2, 5))
    batch = finished(sampler.draw(0), None, torch.device("cpu"), sampler.values)
    assert batch.image.shape == (2, 3, 20, 20, 20) and batch.label.shape == (2, 1, 20, 20, 20)
    inside = (slice(3, 17), slice(1, 19), slice(0, 20))
    for channel, value in enumerate((2, 5), start=1):
        assert np.array_equal(batch.image[0, channel][inside].numpy(), labels == value)
    assert not batch.image[0, 1:, :3].any() and not batch.image[0, 1:, :, :1].any()


def test_previous_labels_move_as_the_label_does(cases: list[StoredVolume], tmp_path: Path, monkeypatch) -> None:
    """They are the label itself here, so they must be the same after each warp, mirroring and change of intensities."""
    monkeypatch.setattr(batches, "change_previous", lambda channels, rng: channels)
    case = with_previous_of(cases[0], tmp_path / "previous", cases[0].read_seg()[0])
    for transforms in AUGMENTATIONS.values():
        often = dataclasses.replace(transforms, rotation=0.8, scaling=0.5, noise=0.8, brightness=0.8, gamma=0.8)
        augmentation = Augmentation((12, 12, 12), (0, 1, 2), (0,), often, swap_axes=(2,), swapped=((1, 4), (4, 1)))
        sampler = PatchSampler([case], (12, 12, 12), 8, 1.0, augmentation, seed=0, values=(1, 4))
        batch = finished(sampler.draw(0), augmentation, torch.device("cpu"), sampler.values)
        assert set(batch.label.unique().tolist()) == {0, 1, 4}  # some were mirrored
        assert torch.equal(batch.image[:, 1:], torch.cat([batch.label == value for value in (1, 4)], dim=1).float())


def test_only_training_changes_the_previous_stage_s_labels(cases: list[StoredVolume], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(batches, "change_previous", lambda channels, rng: torch.ones_like(channels))
    case = with_previous_of(cases[0], tmp_path / "previous", cases[0].read_seg()[0])
    augmentation = Augmentation((8, 8, 8), (0,))
    for given, expected in ((augmentation, {1.0}), (None, {0.0, 1.0})):
        sampler = PatchSampler([case], (8, 8, 8), 2, 1.0, given, seed=0, values=(1,))
        batch = sampler.make(0)
        assert set(batch["image"][:, 1].unique().tolist()) == expected and set(batch["label"].unique().tolist()) == {0, 1}
