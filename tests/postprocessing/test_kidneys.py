"""Real kidneys with planted false components: fingerprint, candidates, selection and application, end to end.

The masks' own specks are of at most 0.02 ml and lie within 26 mm of the kidneys; what is planted is larger, or farther away
than any of them. Nearer and smaller than a true speck, nothing but the image itself could tell a false one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autoseg.best import KeepLargest, TriedRule
from autoseg.components.graph import label_components
from autoseg.dataset import Case, Dataset, Labels
from autoseg.evaluation.summary import Pair
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.image import Image
from autoseg.image_io import read_label, write_label
from autoseg.planners.segmentation.anatomy import measure_labels
from autoseg.planners.segmentation.fingerprint import MeasuredVolume, build_fingerprint
from autoseg.planners.segmentation.unions import with_unions
from autoseg.postprocessing.files import postprocess_files
from autoseg.postprocessing.rules import apply_rules
from autoseg.postprocessing.selection import candidate_rules, choose_rules
from autoseg.training_images import measure_image
from autoseg.verification.inspection import Inspection

KIDNEY, TUMOUR = 1, 2
LABELS = Labels(values={"background": 0, "kidney": KIDNEY, "tumour": TUMOUR})
FAR_MM = 30.0  # farther from the kidneys than any true speck
SPLIT = "case_00021_split"

Spacing = tuple[float, float, float]


@pytest.fixture(scope="module")
def masks(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The real masks (case_00030, whose kidney is split by its tumour, where it is there), and one that is split here.

    Unpacked, as the tests read them several times.
    """
    found = sorted((shared_data / "kits19_masks").glob("*.nii.gz"))
    if not found:
        pytest.skip("the kidney masks are not here")
    folder = tmp_path_factory.mktemp("masks")
    for path in found:
        mask = read_label(path)
        write_label(folder / path.name.removesuffix(".gz"), mask.array[0], mask)
        if "case_00021" in path.name:
            write_label(folder / f"{SPLIT}.nii", with_a_kidney_split(mask.array[0]), mask)
    return sorted(folder.iterdir())


def with_a_kidney_split(labels: np.ndarray) -> np.ndarray:
    """A slab through one kidney, and through it only, becomes tumour: the kidney label falls into three pieces."""
    kidneys, _ = label_components(labels == KIDNEY)
    whole = kidneys == 1 + np.argmin(np.bincount(kidneys.ravel())[1:])
    rows = np.flatnonzero(whole.any(axis=(1, 2)))
    middle = int(rows.mean())
    split = labels.copy()
    split[middle - 1 : middle + 2][whole[middle - 1 : middle + 2]] = TUMOUR
    assert label_components(split == KIDNEY)[1] == 3
    return split


def plant(labels: np.ndarray, spacing_mm: Spacing, seed: int) -> np.ndarray:
    """The labels with a third kidney of some 40 ml, a tumour of 3 ml that touches nothing, and specks, all far away."""
    random, planted = np.random.default_rng(seed), labels.copy()
    allowed = np.ones(labels.shape, bool)
    for box in ndimage.find_objects(label_components(labels != 0)[0]):
        allowed[grown(box, [int(np.ceil(FAR_MM / mm)) for mm in spacing_mm])] = False
    specks = [np.ones(size, bool) for size in [(2, 3, 3)] * 3 + [(1, 1, 1)] * 3]
    shapes = [(KIDNEY, ball(21.2, spacing_mm)), (TUMOUR, ball(9, spacing_mm))]
    for value, shape in shapes + [(value, speck) for value in (KIDNEY, TUMOUR) for speck in specks]:
        where = free_place(allowed, shape, random)
        planted[where][shape] = value
        allowed[grown(where, [2, 2, 2])] = False  # plants do not touch each other
    return planted


def ball(radius_mm: float, spacing_mm: Spacing) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(-(radius_mm // mm), radius_mm // mm + 1) * mm for mm in spacing_mm), indexing="ij")
    return np.asarray(z**2 + y**2 + x**2 <= radius_mm**2)


def free_place(allowed: np.ndarray, shape: np.ndarray, random: np.random.Generator) -> tuple[slice, ...]:
    """A random box of the shape's size that is allowed in full."""
    for _ in range(10_000):
        corner = [random.integers(0, n - size + 1) for n, size in zip(allowed.shape, shape.shape, strict=True)]
        where = tuple(slice(start, start + size) for start, size in zip(corner, shape.shape, strict=True))
        if allowed[where].all():
            return where
    raise AssertionError("no place is left")


def grown(box: tuple[slice, ...], by: list[int]) -> tuple[slice, ...]:
    return tuple(slice(max(0, part.start - n), part.stop + n) for part, n in zip(box, by, strict=True))


@pytest.fixture(scope="module")
def fingerprint(masks: list[Path]) -> Fingerprint:
    """Of the masks; there are no images, and rules need none."""
    cases = tuple(Case(name=path.stem, images=(path,), label=path) for path in masks)
    dataset = Dataset(name="Kidneys", folder=masks[0].parent, layout="nnunet", channel_names=("CT",), labels=LABELS,
                      file_ending=".nii", training=cases)
    inspections = [inspected(case, path) for case, path in zip(cases, masks, strict=True)]
    return with_unions(build_fingerprint(dataset, inspections), dataset, workers=1)


def inspected(case: Case, path: Path) -> Inspection[MeasuredVolume]:
    label = read_label(path)
    shape = label.array.shape[1:]
    measured, components = measure_labels(label.array[0], label.geometry.spacing_mm, None)
    found = CaseFingerprint(
        spacing_mm=label.geometry.spacing_mm, shape=shape, shape_after_crop=shape, share_kept=1, orientation="LPS",
        labels=measured, foreground_components=components)
    return Inspection(case, [], measured=MeasuredVolume(found, np.zeros((1, 2), np.float32), True, measure_image(label)))


@pytest.fixture(scope="module")
def predicted(masks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """The masks with what was planted into them, as predictions of themselves."""
    folder = tmp_path_factory.mktemp("predictions")
    pairs = []
    for seed, path in enumerate(masks):
        mask = read_label(path)
        planted = plant(mask.array[0], mask.geometry.spacing_mm, seed)
        pairs.append(Pair(path.stem, path, folder / f"{path.name.split('.')[0]}.nii"))
        write_label(pairs[-1].prediction, planted, mask)
    return pairs


@pytest.fixture(scope="module")
def tried(predicted: list[Pair], fingerprint: Fingerprint) -> list[TriedRule]:
    return choose_rules(predicted, LABELS, candidate_rules(fingerprint, LABELS), workers=1)


def test_training_shows_two_main_components_in_every_case_and_a_few_true_specks(fingerprint: Fingerprint) -> None:
    union = fingerprint.unions["1+2"]
    assert union.main_components.minimum == union.main_components.maximum == 2
    assert fingerprint.labels["2"].touches == {"1": 1.0} and fingerprint.unions["1"].main_components.maximum == 3
    assert union.largest_speck_ml is not None and union.largest_speck_ml.maximum == pytest.approx(0.0190735)
    assert union.farthest_speck_mm is not None and union.farthest_speck_mm.maximum == pytest.approx(25.9, abs=0.05)
    specks = {name: case.unions["1+2"].farthest_speck_mm for name, case in fingerprint.cases.items()}
    for name, away_mm in {"case_00037": 2.8, "case_00152": 3.2, "case_00176": 5.9, "case_00038": 0}.items():
        assert specks[name] == pytest.approx(away_mm, abs=0.05)


def test_what_was_planted_goes_and_no_true_voxel_is_lost(
    predicted: list[Pair], tried: list[TriedRule], tmp_path: Path
) -> None:
    rules = [entry.rule for entry in tried if entry.accepted]
    done = list(postprocess_files([pair.prediction for pair in predicted], tmp_path / "out", rules, workers=1))
    assert len(done) == len(predicted) and all(outcome.error is None for outcome in done)
    for pair in predicted:
        reference, prediction = read_label(pair.reference), read_label(pair.prediction)
        cleaned = read_label(tmp_path / "out" / pair.prediction.name)
        assert np.count_nonzero(prediction.array) - np.count_nonzero(reference.array) > 1000, pair
        assert np.array_equal(cleaned.array, reference.array), pair
        assert cleaned.array.dtype == prediction.array.dtype and not cleaned.geometry.differences(
            reference.geometry, reference.array.shape[1:])


def test_the_rule_that_does_it_is_about_kidneys_and_tumours_together_and_spares_true_specks(tried: list[TriedRule]) -> None:
    assert [entry.says for entry in tried if entry.accepted] == [
        "keep the 2 largest components of kidney ∪ tumour, but spare specks of at most 0.02 ml within 26 mm of them"]
    assert tried[0].dice_after == 1 and tried[0].dice_before < 0.95
    assert "drop tumour components that touch no kidney" in [entry.says for entry in tried]


def test_rules_for_the_kidneys_alone_or_without_mercy_for_specks_would_lose_true_voxels(masks: list[Path]) -> None:
    strict, alone = KeepLargest(labels=(1, 2), count=2), KeepLargest(labels=(1,), count=2)
    lost = {strict: set(), alone: set()}
    for path in masks:
        mask: Image = read_label(path)
        for rule, cases in lost.items():
            if not np.array_equal(apply_rules(mask.array[0], mask.geometry.spacing_mm, [rule]), mask.array[0]):
                cases.add(path.stem)
    assert lost[strict] >= {"case_00015", "case_00037", "case_00152", "case_00176"} and SPLIT not in lost[strict]
    assert lost[alone] >= {"case_00037", "case_00038", SPLIT}
