"""Pairs of labels that are named and placed as left and right, and the axis between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Labels, load_dataset
from autoseg.files import write_json
from autoseg.fingerprint import CaseFingerprint, Fingerprint, LabelOfCase, SidePair
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.planners.segmentation.fingerprint import build_fingerprint, measure
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.planners.segmentation.sides import centres_mm, named_pairs, side_pairs, sides_of
from autoseg.verification.inspection import run_inspections

KIDNEYS = ("kidney_left", "kidney_right")


@pytest.mark.parametrize(("names", "pairs"), [
    (["kidney_left", "kidney_right", "liver"], [("kidney_left", "kidney_right")]),
    (["Right Kidney", "Left Kidney"], [("Left Kidney", "Right Kidney")]),
    (["kidney_l", "kidney_r", "kidney"], [("kidney_l", "kidney_r")]),
    (["L. femur", "R. femur"], [("L. femur", "R. femur")]),
    (["lt-lung", "rt-lung"], [("lt-lung", "rt-lung")]),
    (["LKidney", "RKidney", "eyeL", "eyeR"], [("LKidney", "RKidney"), ("eyeL", "eyeR")]),
    (["leftkidney", "RIGHTKIDNEY"], [("leftkidney", "RIGHTKIDNEY")]),
    (["Left-Hippocampus", "Right-Hippocampus", "Left-Amygdala"], [("Left-Hippocampus", "Right-Hippocampus")]),
    (["Niere links", "Niere rechts", "rein droit", "rein gauche"],
     [("Niere links", "Niere rechts"), ("rein gauche", "rein droit")]),
    (["rib_left_3", "rib_right_3", "rib_left_4"], [("rib_left_3", "rib_right_3")]),
    (["L1", "R1", "L2", "cleft", "bright", "LV", "RV"], []),  # vertebrae, ribs; ventricles in one word
    (["kidney_left", "kidney left", "kidney_right"], []),  # which of the two?
    (["left", "right"], [("left", "right")]),
])
def test_names_that_differ_in_the_side_alone_are_paired(names: list[str], pairs: list[tuple[str, str]]) -> None:
    assert named_pairs(names) == pairs


def test_centres_are_those_of_the_header() -> None:
    """In RAS, x grows to the patient's right: DICOM's x (to the left) falls. An oblique header moves all three."""
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3:5], labels[3, 0, 0], labels[0, 0, 1] = 7, 9, 4
    lps = Geometry((3.0, 2.0, 1.0), (10.0, 20.0, 30.0))
    assert centres_mm(labels, lps, [7, 8, 9]) == {"7": (13.5, 24.0, 33.0), "9": (10.0, 20.0, 39.0)}
    ras = Geometry((3.0, 2.0, 1.0), (10.0, 20.0, 30.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    assert centres_mm(labels, ras, [7]) == {"7": (6.5, 16.0, 33.0)}
    c, s = np.cos(0.5), np.sin(0.5)
    oblique = Geometry((3.0, 2.0, 1.0), (0.0, 0.0, 0.0), (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
    assert centres_mm(labels, oblique, [7])["7"] == pytest.approx((3.5 * c - 4 * s, 3.5 * s + 4 * c, 3), abs=1e-4)
    assert centres_mm(labels, Geometry((3.0, 2.0, 1.0), has_direction=False), [7]) == {}


Centre = tuple[float, float, float]


def case(
    orientation: str | None = "LPS", shape: tuple[int, int, int] = (9, 9, 9), **labels: tuple[Centre, float]
) -> CaseFingerprint:
    """A case with labels by value ("v1"): centre and volume."""
    return CaseFingerprint(
        spacing_mm=(1, 1, 1), shape=shape, shape_after_crop=shape, share_kept=1, orientation=orientation,
        labels={key[1:]: LabelOfCase(volume_ml=ml, components=1, smallest_ml=ml, largest_ml=ml, centre_mm=centre)
                for key, (centre, ml) in labels.items()})


def decided(cases: list[CaseFingerprint], values: Any = None, order: Any = None) -> list[SidePair]:
    values = values or {"background": 0, "kidney_left": 1, "kidney_right": 2}
    return list(side_pairs(cases, Labels(values=values, regions_class_order=order)))


LEFT, RIGHT = (60.0, 0.0, 5.0), (-50.0, 0.0, 0.0)


def test_a_pair_that_lies_left_and_right_in_nearly_all_cases_is_mirrored() -> None:
    usual, turned = case(v1=(LEFT, 100), v2=(RIGHT, 90)), case(v1=(RIGHT, 100), v2=(LEFT, 90))
    pair, = decided([usual] * 10 + [case(v1=(LEFT, 100))])
    assert (pair.left, pair.cases, pair.left_is_left, pair.is_mirrored) == ("kidney_left", 10, 10, True)
    assert decided([usual] * 9 + [turned])[0].is_mirrored
    pair, = decided([usual] * 6 + [turned] * 4)
    assert not pair.is_mirrored and "farther left in 6 of 10 cases" in pair.reason
    pair, = decided([turned] * 5)
    assert pair.is_mirrored and "lies on the patient's right of kidney_right in 5 of 5 cases" in pair.reason


def test_what_is_named_left_and_right_but_is_no_mirror_image_is_not_paired() -> None:
    """The chambers of the heart lie askew; lobes of the liver differ in size in every case, tumours now this way, now that."""
    askew = case(v1=((40.0, 30.0, 10.0), 100), v2=((10.0, 0.0, 0.0), 100))
    assert "side by side" in decided([askew] * 3)[0].reason
    lobes = case(v1=(LEFT, 300), v2=(RIGHT, 900))
    pair, = decided([lobes] * 3)
    assert not pair.is_mirrored and "much smaller" in pair.reason
    assert decided([lobes, case(v1=(LEFT, 900), v2=(RIGHT, 300))])[0].is_mirrored
    heart = {"background": 0, "left ventricle": 1, "right ventricle": 2}
    beside = case(v1=(LEFT, 100), v2=(RIGHT, 100))
    assert "chambers" in decided([beside], heart)[0].reason
    brain = {"background": 0, "Left-Lateral-Ventricle": 1, "Right-Lateral-Ventricle": 2}
    assert decided([beside], brain)[0].is_mirrored


def test_labels_that_are_never_together_are_judged_by_the_other_pairs() -> None:
    values = {"background": 0, "kidney_left": 1, "kidney_right": 2, "tumour_left": 3, "tumour_right": 4}
    kidneys = {"v1": (LEFT, 100), "v2": (RIGHT, 90)}
    left, right = case(**kidneys, v3=((40.0, 0, 0), 5)), case(**kidneys, v4=((-20.0, 0, 0), 5))
    assert [pair.is_mirrored for pair in decided([left, right], values)] == [True, True]
    wrong = case(**kidneys, v4=((30.0, 0, 0), 5))
    assert [pair.is_mirrored for pair in decided([left, wrong], values)] == [True, False]
    assert [pair.is_mirrored for pair in decided([left, left], values)] == [True, False]  # a right one was never seen
    alone = [case(v3=((40.0, 0, 0), 5)), case(v4=((-20.0, 0, 0), 5))]
    assert [pair.is_mirrored for pair in decided(alone, values)] == [False, False]


def test_regions_are_paired_as_wholes_and_only_where_all_that_they_overlap_with_is_mirrored() -> None:
    its = case(v1=(LEFT, 100), v2=(RIGHT, 100), v3=((80.0, 0, 0), 10), v4=((-70.0, 0, 0), 10))
    values = {"background": 0, "left": (1, 3), "right": (2, 4), "left_tumour": 3, "right_tumour": 4}
    assert [pair.is_mirrored for pair in decided([its], values, (1, 2, 3, 4))] == [True, True]
    unpaired = {"background": 0, "left": (1, 3), "right": (2, 4), "tumour": 3}
    pair, = decided([its], unpaired, (1, 2, 3))
    assert not pair.is_mirrored and "no mirror image" in pair.reason


def fingerprint(cases: list[CaseFingerprint], orientation: str | None) -> Fingerprint:
    pair = SidePair(left="kidney_left", right="kidney_right", cases=2, left_is_left=2, is_mirrored=True, reason="because")
    return Fingerprint(
        dataset="D", versions={}, channel_names=("CT",), foreground_intensities={}, orientations={}, orientation=orientation,
        foreground_components=None, labels={}, sides=(pair,), cases={f"c{number}": its for number, its in enumerate(cases)})


@pytest.mark.parametrize(("orientation", "transpose", "axis"), [
    ("LPS", (0, 1, 2), 2), ("RAS", (0, 1, 2), 2), ("LPS", (2, 0, 1), 0), ("LPS", (1, 0, 2), 2), ("PIR", (0, 1, 2), 0),
    ("SRA", (0, 1, 2), 1), ("SRA", (1, 0, 2), 0)])
def test_the_axis_is_that_of_the_header_in_the_order_of_the_plans(
    orientation: str, transpose: tuple[int, int, int], axis: int
) -> None:
    """"PIR": x runs to the back, y down, z to the right, so that z, the first axis of an array, is it."""
    sides = sides_of(fingerprint([case(orientation)] * 2, orientation), transpose)
    assert sides.axis == axis and sides.pairs == (KIDNEYS,)


def test_cases_of_other_orders_count_as_they_are_turned_and_those_that_cannot_be_turned_forbid_it() -> None:
    turned = [case("LPS"), case("RAS"), case("SAR")]
    assert sides_of(fingerprint(turned, "LPS"), (0, 1, 2)).axis == 2
    for other, said in ((case(None), "1 case (c3)"), (case("SAR", shape=(1, 9, 9)), "1 case (c3)")):
        sides = sides_of(fingerprint([*turned, other], "LPS"), (0, 1, 2))
        assert sides.axis is None and sides.pairs == () and said in sides.reason and "nothing is swapped" in sides.reason
    sides = sides_of(fingerprint([case(None)], None), (0, 1, 2))
    assert sides.axis is None and "no image says" in sides.reason


def test_a_dataset_is_planned_with_its_sides(tmp_path: Path) -> None:
    """Cases stored in other orders: the kidney at the same place of the patient is the left one in all of them."""
    folder = tmp_path / "Dataset001_Kidneys"
    label = np.zeros((16, 20, 24), np.uint8)
    label[4:9, 6:12, 15:20], label[4:9, 6:12, 4:9] = 1, 2
    image = np.random.default_rng(0).integers(1, 100, (1, 16, 20, 24)).astype(np.int16)
    lps, ras = Geometry((2.0, 2.0, 2.0)), Geometry((2.0, 2.0, 2.0), (46.0, 38.0, 0.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    for name, geometry, flip in (("a", lps, False), ("b", lps, False), ("c", ras, True)):
        turned, its = (image[..., ::-1, ::-1], label[..., ::-1, ::-1]) if flip else (image, label)
        like = Image(np.ascontiguousarray(turned), geometry)
        write_image(folder / f"imagesTr/{name}_0000.nii.gz", like.array, like)
        write_label(folder / f"labelsTr/{name}.nii.gz", np.ascontiguousarray(its), like)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney_left": 1, "kidney_right": 2}, "numTraining": 3,
        "file_ending": ".nii.gz"})
    dataset = load_dataset(folder)
    measured = build_fingerprint(dataset, list(run_inspections(dataset, measure, workers=1)))
    assert measured.cases["a"].labels == measured.cases["c"].labels
    assert [(pair.cases, pair.left_is_left) for pair in measured.sides] == [(3, 3)]
    plans = PLANNERS["default"](dataset, measured)
    assert plans.sides is not None and (plans.sides.axis, plans.sides.pairs) == (2, (KIDNEYS,))
