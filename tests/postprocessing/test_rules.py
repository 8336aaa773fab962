"""Each rule on tiny volumes, with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.best import DropDetached, DropSmall, KeepLargest, Rule
from autoseg.dataset import Labels
from autoseg.postprocessing.rules import apply_rules, describe, label_names, region_names

NAMES = {1: "kidney", 2: "tumour", 3: "cyst"}
MM = (1.0, 1.0, 1.0)


def line(text: str) -> np.ndarray:
    """(1, 1, X) uint8: one digit per voxel, "." for background."""
    return np.array([[[int(digit) for digit in text.replace(".", "0")]]], np.uint8)


def after(text: str, *rules: Rule, spacing_mm: tuple[float, float, float] = MM) -> str:
    return "".join(map(str, apply_rules(line(text), spacing_mm, rules)[0, 0])).replace("0", ".")


def test_the_largest_components_of_a_label_are_kept() -> None:
    assert after("11.1.111.2", KeepLargest(labels=(1,), count=1)) == "....." + "111.2"
    assert after("11.1.111.2", KeepLargest(labels=(1,), count=2)) == "11...111.2"
    assert after("11.1.111.2", KeepLargest(labels=(1,), count=5)) == "11.1.111.2"


def test_of_equally_large_components_the_first_is_kept() -> None:
    assert after("11.11.11", KeepLargest(labels=(1,), count=1)) == "11......"


def test_a_tumour_that_splits_a_kidney_holds_it_together_in_the_union() -> None:
    split = "1112211.111.2.1"
    assert after(split, KeepLargest(labels=(1, 2), count=2)) == "1112211.111...."
    assert after(split, KeepLargest(labels=(1,), count=2)) == "11122...111.2.."  # the kidney alone loses a true piece


def test_specks_are_spared_when_they_are_small_and_near() -> None:
    volume = "1111.1..11......1"  # 1 voxel 2 mm away, 2 voxels 5 mm away, 1 voxel 13 mm away
    assert after(volume, KeepLargest(labels=(1,), count=1, spared_ml=0.001, spared_mm=2)) == "1111.1" + 11 * "."
    assert after(volume, KeepLargest(labels=(1,), count=1, spared_ml=0.002, spared_mm=12)) == "1111.1..11......."
    assert after(volume, KeepLargest(labels=(1,), count=1, spared_ml=0.002, spared_mm=13)) == volume
    assert after(volume, KeepLargest(labels=(1,), count=1, spared_ml=0.001, spared_mm=13)) == "1111.1..........1"
    spared = KeepLargest(labels=(1,), count=1, spared_ml=0.001, spared_mm=3)
    assert after(volume, spared, spacing_mm=(1, 1, 2)) == "1111" + 13 * "."
    assert after(volume, KeepLargest(labels=(1,), count=1, spared_ml=1.0, spared_mm=0)) == "1111" + 13 * "."


def test_a_speck_is_as_far_as_its_nearest_voxel_from_any_that_is_kept() -> None:
    assert after("111..2....111", KeepLargest(labels=(1, 2), count=2, spared_ml=0.001, spared_mm=3)) == "111..2....111"
    assert after("111...2...111", KeepLargest(labels=(1, 2), count=2, spared_ml=0.001, spared_mm=3)) == "111.......111"


def test_components_below_a_volume_are_dropped_by_their_size_in_ml() -> None:
    assert after("11.1.22.2", DropSmall(labels=(1,), below_ml=0.002)) == "11...22.2"
    assert after("11.1.22.2", DropSmall(labels=(1,), below_ml=0.002), spacing_mm=(1, 1, 2)) == "11.1.22.2"
    assert after("12.1.22.2", DropSmall(labels=(1, 2), below_ml=0.002)) == "12...22.."


def test_components_of_a_label_that_touch_no_anchor_are_dropped() -> None:
    assert after("112.2.23", DropDetached(label=2, anchors=(1,))) == "112....3"
    assert after("112.2.23", DropDetached(label=2, anchors=(1, 3))) == "112...23"
    assert after("2.2", DropDetached(label=2, anchors=(1,))) == "..."


def test_a_shared_corner_is_a_touch() -> None:
    labels = np.zeros((2, 2, 2), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 1, 2
    assert np.array_equal(apply_rules(labels, MM, [DropDetached(label=2, anchors=(1,))]), labels)


def test_rules_are_applied_one_after_the_other() -> None:
    only_the_largest, attached = KeepLargest(labels=(1,), count=1), DropDetached(label=2, anchors=(1,))
    assert after("111.12.2", only_the_largest) == "111..2.2"
    assert after("111.12.2", only_the_largest, attached) == "111....."


def test_a_rule_that_a_later_one_makes_apply_again_is_applied_again() -> None:
    attached, only_the_largest = DropDetached(label=2, anchors=(1,)), KeepLargest(labels=(1,), count=1)
    assert after("111.12.2", attached) == "111.12.."
    assert after("111.12.2", attached, only_the_largest) == "111....."


@pytest.mark.parametrize("seed", range(8))
def test_applying_rules_again_changes_nothing_and_no_voxel_gets_another_label(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.integers(1, 4, (5, 14, 15)) * (random.random((5, 14, 15)) < 0.12)).astype(np.uint16)
    before, spacing_mm = labels.copy(), (3.0, 0.8, 0.8)
    rules: list[Rule] = [
        DropSmall(labels=(3,), below_ml=0.004), KeepLargest(labels=(1, 3), count=4, spared_ml=0.002, spared_mm=2.5),
        DropDetached(label=2, anchors=(1,)), KeepLargest(labels=(1, 2, 3), count=3),
    ]
    cleaned = apply_rules(labels, spacing_mm, [rules[index] for index in random.permutation(4)])
    assert np.array_equal(labels, before) and 0 < np.count_nonzero(cleaned) < np.count_nonzero(labels)
    assert np.array_equal(cleaned[cleaned != 0], labels[cleaned != 0]) and cleaned.dtype == np.uint16
    for position in range(4):
        rules = rules[position:] + rules[:position]
        cleaned = apply_rules(labels, spacing_mm, rules)
        assert np.array_equal(apply_rules(cleaned, spacing_mm, rules), cleaned)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", ">i2", "int64"])
def test_the_dtype_stays_whatever_it_is(dtype: str) -> None:
    labels = line("11.1").astype(dtype)
    cleaned = apply_rules(labels, MM, [KeepLargest(labels=(1,), count=1)])
    assert cleaned.dtype == np.dtype(dtype) and cleaned.ravel().tolist() == [1, 1, 0, 0]


def test_without_foreground_without_the_label_or_without_rules_nothing_happens() -> None:
    rules = [KeepLargest(labels=(1, 2), count=1, spared_ml=1, spared_mm=1), DropSmall(labels=(1,), below_ml=1),
             DropDetached(label=1, anchors=(2,))]
    for labels in (np.zeros((3, 4, 5), np.uint8), np.zeros((1, 1, 1), np.uint8), line("3.33.3")):
        assert np.array_equal(apply_rules(labels, MM, rules), labels)
    assert after("1.1") == "1.1"


def test_a_flat_image_is_cleaned_as_a_volume_of_one_slice() -> None:
    labels = np.zeros((1, 40, 50), np.uint8)
    labels[0, 5:20, 5:20] = 1
    labels[0, 30, 30] = 1
    labels[0, 20, 20] = 1  # touches by a corner
    cleaned = apply_rules(labels, MM, [KeepLargest(labels=(1,), count=1)])
    assert cleaned[0, 30, 30] == 0 and cleaned.sum() == 226


def test_components_are_removed_across_slabs() -> None:
    labels = np.zeros((40, 512, 512), np.uint8)
    labels[3:30, 100:200, 100:200] = 1
    labels[0, 0, 0] = labels[39, 511, 511] = labels[35, 100, 100:102] = 1
    cleaned = apply_rules(labels, MM, [KeepLargest(labels=(1,), count=1)])
    assert cleaned.sum() == 27 * 100 * 100 and cleaned[3, 100, 100] == 1


def test_rules_are_said_in_words() -> None:
    said = {
        describe(KeepLargest(labels=(1, 2), count=2), NAMES): "keep the 2 largest components of kidney ∪ tumour",
        describe(KeepLargest(labels=(1,), count=1, spared_ml=0.02, spared_mm=26), NAMES):
            "keep the largest component of kidney, but spare specks of at most 0.02 ml within 26 mm of it",
        describe(KeepLargest(labels=(1, 2), count=2, spared_ml=0.02, spared_mm=26), NAMES):
            "keep the 2 largest components of kidney ∪ tumour, but spare specks of at most 0.02 ml within 26 mm of them",
        describe(DropSmall(labels=(3,), below_ml=0.01), NAMES): "drop cyst components below 0.01 ml (the smallest in training)",
        describe(DropDetached(label=2, anchors=(1,)), NAMES): "drop tumour components that touch no kidney",
        describe(DropSmall(labels=(7,), below_ml=12), NAMES): "drop label 7 components below 12 ml (the smallest in training)",
    }
    assert all(found == expected for found, expected in said.items())


def test_unions_of_many_labels_are_named_by_some_and_regions_by_their_own_name() -> None:
    many = {value: f"bone {value}" for value in range(1, 31)}
    assert describe(KeepLargest(labels=tuple(many), count=1), many) == "keep the largest component of all foreground"
    assert describe(KeepLargest(labels=tuple(range(1, 21)), count=1), many) == (
        "keep the largest component of bone 1 ∪ bone 2 ∪ bone 3 ∪ 17 others")
    regions = {"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    labels = Labels(values=regions, regions_class_order=(1, 2, 3))
    names, named = label_names(labels), region_names(labels)
    assert names == {1: "label 1", 2: "label 2", 3: "enhancing"}
    assert describe(KeepLargest(labels=(2, 3), count=1), names, named) == "keep the largest component of core"
    assert describe(KeepLargest(labels=(1, 3), count=1), names, named) == "keep the largest component of label 1 ∪ enhancing"
