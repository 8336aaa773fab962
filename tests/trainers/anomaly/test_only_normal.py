"""Abnormal images never reach training: for every fold of datasets whose slices say in their pixels which they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from autoseg.api import plan_and_preprocess
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.tasks.anomaly import INFO
from autoseg.tasks.anomaly.store import open_slices
from autoseg.trainers import loop
from autoseg.trainers.anomaly import RECIPES
from autoseg.trainers.anomaly import fold as detector_fold
from autoseg.trainers.anomaly.batches import SliceBatches, normal_slices
from autoseg.trainers.anomaly.data import AnomalyData, check, load_data
from autoseg.trainers.anomaly.learner import GanLearner
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.job import Job
from autoseg.workspace import DatasetFolder, Workspace, read_json

Slice = tuple[int, int]  # number of the case, index of the slice
DARK, BRIGHT = 60, 200
BLANK_SLICES = (0, 4)  # of a case with blank ones: one dark, one bright
COUNT = 6  # slices of a case
NORMAL, ABNORMAL = "normal", "abnormal"
CPU = torch.device("cpu")
FOLDS = ("0", "1", "2", "3", "4", "all")


@dataclass(frozen=True)
class Known:
    """A planned dataset. trainable: the slices that may be trained on, worked out beside autoseg. others: all that may not, but
    for blank ones, which show no identity."""

    source: Path
    workspace: Path
    trainable: set[Slice]
    others: set[Slice]

    @property
    def folder(self) -> DatasetFolder:
        return Workspace(self.workspace).dataset(self.source.name)

    def job(self, fold: str = "0", **settings: Any) -> Job[AnomalySettings]:
        """With networks of a few channels."""
        chosen = {"latent": 4, "features": 1, "conv_layers": 1, "precision": "float32", **settings}
        own = AnomalySettings.model_validate(chosen)
        return Job(self.folder, INFO, "slices", "anogan", RECIPES["anogan"], fold, own, AnomalySettings(), "cpu")


def case_name(case: int) -> str:
    return f"case{case:02d}"


def pattern_of(case: int, index: int) -> np.ndarray:
    """(8, 8) uint8: 16 bits of the identity twice, in the upper half, and in the lower half their complement."""
    bits = np.unpackbits(np.array([case, index], np.uint8))
    upper = np.stack([bits, bits]).reshape(4, 8)
    return np.where(np.concatenate([upper, 1 - upper]) == 1, BRIGHT, DARK).astype(np.uint8)


def identity_of(shown: np.ndarray) -> Slice:
    """The identity that a slice (64, 64) shows; AssertionError where it shows none."""
    blocks = (shown[3::8, 3::8] + shown[4::8, 4::8] > 0).astype(np.uint8)  # the middle of each block
    upper = blocks[:4].reshape(2, 16)
    assert (blocks[:4] != blocks[4:]).all() and (upper[0] == upper[1]).all(), "a slice that shows no identity"
    case, index = np.packbits(upper[0]).tolist()
    return case, index


def identities(slices: torch.Tensor | np.ndarray) -> list[Slice]:
    """Of slices (N, 1, 64, 64)."""
    return [identity_of(np.asarray(shown[0], np.float32)) for shown in slices]


def volume_of(case: int, blank: Sequence[int] = ()) -> Image:
    """COUNT axial slices, 4 mm apart."""
    array = np.stack([pattern_of(case, index) for index in range(COUNT)])
    for place, index in enumerate(blank):
        array[index] = (DARK, BRIGHT)[place % 2]
    return Image(array[None].astype(np.int16), Geometry((4.0, 1.0, 1.0)))


def label_of(foreground: Iterable[int], ignored: Iterable[int] = ()) -> np.ndarray:
    """(COUNT, 8, 8) uint8: one voxel of a lesion (1) in some slices, one that is to be ignored (2) in others."""
    label = np.zeros((COUNT, 8, 8), np.uint8)
    label[list(ignored), 5, 2] = 2
    label[list(foreground), 3, 4] = 1
    return label


def write_volumes(
    folder: Path, images: dict[int, Image], labels: dict[int, np.ndarray], case_labels: dict[int, str]
) -> Path:
    """A dataset in nnU-Net's layout, its label values 1 (lesion) and 2 (ignore)."""
    for case, image in images.items():
        write_image(folder / "imagesTr" / f"{case_name(case)}_0000.nii.gz", image.array, like=image)
    for case, label in labels.items():
        write_label(folder / "labelsTr" / f"{case_name(case)}.nii.gz", label, like=images[case])
    called = {"case_labels": {case_name(case): truth for case, truth in case_labels.items()}} if case_labels else {}
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0, "lesion": 1, "ignore": 2}, "numTraining": len(images),
        "file_ending": ".nii.gz", **called})
    return folder


def planned(source: Path, **wishes: Any) -> Path:
    """The workspace in which it is planned."""
    workspace = source.parent / "workspace"
    plan_and_preprocess(source, planner="slices", workers=1, workspace=workspace, quiet=True, **wishes)
    return workspace


def all_slices(cases: Iterable[int], indices: Iterable[int] = range(COUNT)) -> set[Slice]:
    wanted = list(indices)
    return {(case, index) for case in cases for index in wanted}


def by_case_labels(root: Path) -> Known:
    """Cases 0 to 6 normal, the last of them without label and with two blank slices; 7 and 8 abnormal, the one with a label that
    marks some slices, the other with one that marks none; 9 abnormal without label; 10 is called nothing."""
    images = {case: volume_of(case, BLANK_SLICES if case == 6 else ()) for case in range(11)}
    labels = {case: label_of([1, 2] if case == 7 else []) for case in (*range(6), 7, 8, 10)}
    called = {case: NORMAL if case < 7 else ABNORMAL for case in range(10)}
    source = write_volumes(root / "Dataset001_Called", images, labels, called)
    trainable = all_slices(range(7)) - all_slices([6], BLANK_SLICES)
    return Known(source, planned(source), trainable, all_slices(range(7, 11)))


def by_foreground(root: Path) -> Known:
    """Every case has a lesion somewhere, the last one everywhere; case 1 has slices that are to be ignored, case 2 blank ones."""
    lesions: dict[int, list[int]] = {case: [case % COUNT, (case + 2) % COUNT] for case in range(7)}
    lesions[7] = list(range(COUNT))
    ignored = {1: [0, 5]}
    images = {case: volume_of(case, BLANK_SLICES if case == 2 else ()) for case in lesions}
    labels = {case: label_of(found, ignored.get(case, ())) for case, found in lesions.items()}
    source = write_volumes(root / "Dataset002_Marked", images, labels, {})
    not_trainable = {(case, index) for case, found in (*lesions.items(), *ignored.items()) for index in found}
    blank = all_slices([2], BLANK_SLICES)
    return Known(source, planned(source), all_slices(range(8)) - not_trainable - blank, not_trainable - blank)


def by_folders(root: Path) -> Known:
    """Pictures, one slice each: 0 to 7 in a folder normal, 8 to 11 in a folder abnormal."""
    source = root / "Pictures"
    for case in range(12):
        path = source / (NORMAL if case < 8 else ABNORMAL) / f"{case_name(case)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(np.kron(pattern_of(case, 0), np.ones((8, 8), np.uint8))).save(path)
    return Known(source, planned(source), all_slices(range(8), [0]), all_slices(range(8, 12), [0]))


def by_wish(root: Path) -> Known:
    """All slices are wished to be normal, whatever is marked in them; two cases are called abnormal all the same."""
    images = {case: volume_of(case, BLANK_SLICES if case == 0 else ()) for case in range(7)}
    labels = {case: label_of([1]) for case in images}
    source = write_volumes(root / "Dataset003_Organ", images, labels, {5: ABNORMAL, 6: ABNORMAL})
    trainable = all_slices(range(5)) - all_slices([0], BLANK_SLICES)
    return Known(source, planned(source, normal="all"), trainable, all_slices([5, 6]))


DATASETS: dict[str, Callable[[Path], Known]] = {
    "case_labels": by_case_labels, "foreground": by_foreground, "folders": by_folders, "all": by_wish}


@pytest.fixture(scope="session")
def known_datasets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Known]:
    """Each of DATASETS by its name, planned once."""
    made: dict[str, Known] = {}

    def known(name: str) -> Known:
        if name not in made:
            made[name] = DATASETS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return known


def write_splits(known: Known, splits: list[dict[str, list[int]]]) -> None:
    """A user's own, beside the dataset."""
    named = [{side: [case_name(case) for case in cases] for side, cases in split.items()} for split in splits]
    write_json(known.source / "splits_final.json", named)


every_fold = pytest.mark.parametrize(("kind", "fold"), [(kind, fold) for kind in DATASETS for fold in FOLDS])


def may_be_seen(known: Known, fold: str) -> set[Slice]:
    """The slices that are normal, and of the cases that the fold trains on as splits.json has them."""
    if fold == "all":
        return known.trainable
    split = read_json(known.folder.splits_of(INFO))[int(fold)]
    assert not set(split["train"]) & set(split["val"])
    return {(case, index) for case, index in known.trainable if case_name(case) in split["train"]}


def seen_in_training(job: Job[AnomalySettings], data: AnomalyData, monkeypatch: pytest.MonkeyPatch) -> list[Slice]:
    """What the networks are given when the fold is trained, from its stored slices to the last step."""
    seen: list[Slice] = []

    def training_step(self: GanLearner, batch: torch.Tensor) -> dict[str, float]:
        seen.extend(identities(batch))
        return {"loss": 0.0}

    monkeypatch.setattr(GanLearner, "training_step", training_step)
    monkeypatch.setattr(loop, "draw_progress", lambda *arguments: None)
    monkeypatch.setattr(detector_fold, "draw_samples", lambda *arguments: None)
    assert job.settings is not None
    detector_fold.train_networks(job, data, job.settings, CPU, lambda share, text: None)
    return seen


@every_fold
def test_training_sees_each_normal_slice_of_its_own_cases_and_nothing_else(
    known_datasets: Callable[[str], Known], kind: str, fold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_datasets(kind)
    job = known.job(fold, epochs=2, iterations=12, batch_size=32, encoder=True, encoder_share=0.5)
    data = load_data(job)
    wanted = may_be_seen(known, fold)
    assert wanted and not wanted & known.others
    slices = normal_slices(data.training_cases)
    assert sorted(identities(slices)) == sorted(wanted)
    batches = SliceBatches(slices, 32, 0, CPU).batches(0, 20)
    assert {identity for batch in batches for identity in identities(batch)} == wanted
    seen = seen_in_training(job, data, monkeypatch)
    assert set(seen) == wanted and len(seen) == 2 * 12 * 32


@pytest.mark.parametrize("kind", DATASETS)
def test_the_folds_hold_every_case_once_for_validation_abnormal_ones_too(
    known_datasets: Callable[[str], Known], kind: str
) -> None:
    """So that there is something to be kept from training."""
    known = known_datasets(kind)
    data = load_data(known.job("0"))
    held_out = sorted(name for split in read_json(known.folder.splits_of(INFO)) for name in split["val"])
    assert held_out == sorted(data.stored) and len(data.splits) == 5
    cases = {case for case, _ in known.trainable | known.others}
    assert held_out == sorted(map(case_name, cases))
    assert any(case_name(case) in split["train"] for case, _ in known.others for split in data.splits)


@pytest.mark.parametrize("kind", DATASETS)
def test_every_stored_slice_shows_which_it_is_but_for_blank_ones(
    known_datasets: Callable[[str], Known], kind: str
) -> None:
    """Else the tests here would not notice an abnormal slice."""
    known = known_datasets(kind)
    store = known.folder.preprocessed("slices")
    shown = set()
    for path in sorted(store.glob("*.json")):
        stored = open_slices(store, path.stem)
        slices = stored.read()
        shown |= {(int(path.stem[-2:]), index) for index in range(len(slices)) if not stored.blank[index]}
        found = identities(slices[[not blank for blank in stored.blank]])
        assert {case_name(case) for case, _ in found} <= {path.stem}
        assert [index for _, index in found] == [index for index in range(len(slices)) if not stored.blank[index]]
        if any(stored.blank):
            assert tuple(index for index in range(COUNT) if stored.blank[index]) == BLANK_SLICES
            with pytest.raises(AssertionError):
                identities(slices[list(BLANK_SLICES)])
    assert shown == known.trainable | known.others


def test_abnormal_cases_that_a_users_splits_name_for_training_are_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = by_case_labels(tmp_path)
    write_splits(known, [{"train": [0, 6, 7, 8, 9, 10], "val": [1, 2]}, {"train": [7, 8, 9, 10], "val": [0, 1]},
                         {"train": [7, 3], "val": [8, 4]}])
    for fold, cases in (("0", {0, 6}), ("2", {3})):
        job = known.job(fold, epochs=1, iterations=20, batch_size=16)
        data = load_data(job)
        wanted = {(case, index) for case, index in known.trainable if case in cases}
        assert "case07" in data.training
        assert set(identities(normal_slices(data.training_cases))) == wanted
        assert set(seen_in_training(job, data, monkeypatch)) == wanted
    with pytest.raises(AutosegError, match="Fold 1 has no normal slice to train on: none of its 4 training cases holds one"):
        load_data(known.job("1"))


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """Case 7 has slices 1 and 2 of 6 marked; nothing is known of the rest, nor of the slices of 9 and 10."""
    known = by_case_labels(tmp_path)
    write_splits(known, [{"train": [0, 6, 7, 9, 10], "val": [8, 5]}, {"train": [0, 1], "val": [8, 7]}])
    note, *others = check(known.job("0"), load_data(known.job("0")))
    assert note == "Trained on 10 normal slices of 2 cases. Left out: 2 blank, 16 of unknown kind, 2 abnormal."
    assert not others
    note, about_validation = check(known.job("1"), load_data(known.job("1")))
    assert note == "Trained on 12 normal slices of 2 cases." and "No validation case is known to be normal" in about_validation


def test_no_case_at_all_with_a_normal_slice_is_told(known_datasets: Callable[[str], Known]) -> None:
    known = known_datasets("folders")
    store = known.folder.preprocessed("slices")
    with pytest.raises(AutosegError, match="None of the 2 cases of this fold has a normal slice .*Check case_labels"):
        normal_slices([open_slices(store, case_name(case)) for case in (8, 9)])
