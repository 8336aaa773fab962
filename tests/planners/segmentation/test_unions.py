"""Which unions are measured, and what they are measured to be, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Labels, load_dataset
from autoseg.files import write_json
from autoseg.fingerprint import Fingerprint, LabelOfDataset, Range
from autoseg.image_io import read_image, write_label
from autoseg.planners.segmentation.fingerprint import build_fingerprint, measure
from autoseg.planners.segmentation.unions import measure_unions, relevant_unions, with_unions
from autoseg.verification.inspection import run_inspections
from autoseg.workspace import read_model


def label(components: int = 1, **touches: float) -> LabelOfDataset:
    """touches: such as _2=0.95."""
    per_case = Range(minimum=1, median=1, maximum=components)
    return LabelOfDataset(
        name="x", cases=3, volume_ml=per_case, components=per_case, smallest_ml=1.0,
        touches={other[1:]: share for other, share in touches.items()}, inside=())


def classes(*values: int) -> Labels:
    return Labels(values={"background": 0, **{f"class {value}": value for value in values}})


def test_labels_are_joined_where_one_nearly_always_touches_the_other() -> None:
    kidneys_and_tumour = {"1": label(2, _2=0.5), "2": label(1, _1=0.95), "3": label(1, _1=0.3)}
    assert relevant_unions(kidneys_and_tumour, classes(1, 2, 3)) == [(1,), (2,), (3,), (1, 2), (1, 2, 3)]


def test_a_family_is_a_label_with_all_that_always_touch_it_and_chains_hang_together() -> None:
    labels = {"1": label(2), "2": label(1, _1=1.0), "3": label(1, _1=1.0), "4": label(1, _3=0.9), "5": label(3)}
    found = relevant_unions(labels, classes(1, 2, 3, 4, 5))
    assert found == [(1,), (2,), (3,), (4,), (5,), (1, 2), (1, 3), (1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 4, 5)]


def test_pairs_of_labels_that_are_always_whole_are_left_out() -> None:
    assert relevant_unions({"1": label(1, _2=1.0), "2": label(1), "3": label(1)}, classes(1, 2, 3)) == [
        (1,), (2,), (3,), (1, 2), (1, 2, 3)]  # (1, 2) hang together
    assert (1, 2) not in relevant_unions(
        {"1": label(1, _2=1.0), "2": label(1, _3=1.0), "3": label(1)}, classes(1, 2, 3))


def test_regions_are_unions_of_the_values_that_occur() -> None:
    regions = Labels(values={"background": 0, "whole": (1, 2, 3), "core": (2, 3)}, regions_class_order=(1, 2))
    assert relevant_unions({"1": label(), "2": label()}, regions) == [(1,), (2,), (1, 2)]


def test_specks_are_components_of_less_than_a_twentieth_of_the_union() -> None:
    labels = np.zeros((4, 12, 30), np.uint8)
    labels[:, :5, :5], labels[:, :5, 20:25] = 1, 1  # 100 voxels each
    labels[0, 0, 8] = 1  # 4 voxels of 2 mm from the first
    labels[3, 11, 24] = 2  # 7 voxels of 3 mm from the second
    measured = measure_unions(labels, (1.0, 3.0, 2.0), None, [(1,), (2,), (1, 2), (3,)])
    assert set(measured) == {"1", "2", "1+2"}
    kidneys = measured["1"]
    assert (kidneys.components, kidneys.main_components, kidneys.smallest_ml) == (3, 2, 0.006)
    assert (kidneys.largest_speck_ml, kidneys.farthest_speck_mm) == (0.006, 8)
    assert (measured["2"].components, measured["2"].main_components, measured["2"].largest_speck_ml) == (1, 1, 0)
    both = measured["1+2"]
    assert (both.components, both.main_components, both.largest_speck_ml, both.farthest_speck_mm) == (4, 2, 0.006, 21)


def test_where_all_components_are_small_the_largest_ones_are_the_main_ones() -> None:
    labels = np.zeros((1, 1, 120), np.uint8)
    labels[..., ::2] = 1
    labels[..., 1] = 1  # 3 voxels in one piece, 58 single ones
    measured = measure_unions(labels, (1.0, 1.0, 1.0), None, [(1,)])["1"]
    assert (measured.components, measured.main_components, measured.farthest_speck_mm) == (59, 1, 116)


def test_the_ignored_value_joins_nothing() -> None:
    labels = np.array([[[1, 9, 1]]], np.uint8)
    assert measure_unions(labels, (1.0, 1.0, 1.0), 9, [(1,)])["1"].components == 2


def test_unions_are_pooled_over_cases_and_old_fingerprints_have_none(tiny_dataset: Path, tmp_path: Path) -> None:
    for number in range(3):
        path = tiny_dataset / f"imagesTr/tiny_{number}_0000.nii.gz"
        labels = np.zeros((4, 6, 5), np.uint8)
        labels[0:4, 0:4, 0:4] = 1
        labels[3, 3, 3] = 2
        labels[0, 5, 4] = number == 0  # a speck of 0.003 ml, √5 mm away
        write_label(tiny_dataset / f"labelsTr/tiny_{number}.nii.gz", labels, read_image(path))
    dataset = load_dataset(tiny_dataset)
    before = build_fingerprint(dataset, list(run_inspections(dataset, measure, workers=1)))
    (tiny_dataset / "labelsTr/tiny_2.nii.gz").write_text("no label any more")
    fingerprint = with_unions(before, dataset, workers=1)
    both = fingerprint.unions["1+2"]
    assert (both.labels, both.cases, both.cases_with_specks) == ((1, 2), 2, 1)
    assert (both.components.maximum, both.main_components.maximum, both.smallest_ml) == (2, 1, 0.003)
    assert both.largest_speck_ml is not None and both.largest_speck_ml.maximum == 0.003
    assert both.farthest_speck_mm is not None and both.farthest_speck_mm.maximum == pytest.approx(5**0.5, rel=1e-5)
    assert set(fingerprint.cases["tiny_0"].unions) == {"1", "1+2"} and not fingerprint.cases["tiny_1"].unions
    write_json(tmp_path / "fingerprint.json", fingerprint)
    assert read_model(tmp_path / "fingerprint.json", Fingerprint) == fingerprint
    old = before.model_dump(mode="json")
    del old["unions"]
    for case in old["cases"].values():
        del case["unions"]
    write_json(tmp_path / "old.json", old)
    assert read_model(tmp_path / "old.json", Fingerprint) == before
