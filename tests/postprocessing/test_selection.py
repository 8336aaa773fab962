"""Which rules are accepted, on hand-made cases; Dice against `confusion_counts` of volumes that were really edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.best import DropDetached, DropSmall, KeepLargest, Rule
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.metrics import confusion_counts, mean_without_nan
from autoseg.evaluation.summary import Pair
from autoseg.image import Geometry, Image
from autoseg.image_io import write_label
from autoseg.postprocessing.rules import apply_rules
from autoseg.postprocessing.selection import choose_rules

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
SPACING_MM = (1.0, 1.0, 1.0)


def pairs(folder: Path, *cases: tuple[str, str]) -> list[Pair]:
    """Files of (reference, prediction), one digit per voxel, "." for background."""
    return [pair_of(folder, f"case_{number}", *map(line, case)) for number, case in enumerate(cases)]


def line(text: str) -> np.ndarray:
    return np.array([[[int(digit) for digit in text.replace(".", "0")]]], np.uint8)


def pair_of(folder: Path, name: str, reference: np.ndarray, prediction: np.ndarray) -> Pair:
    pair = Pair(name, folder / "reference" / f"{name}.nii.gz", folder / "prediction" / f"{name}.nii.gz")
    for path, labels in ((pair.reference, reference), (pair.prediction, prediction)):
        write_label(path, labels, Image(labels[None], Geometry(SPACING_MM)))
    return pair


LARGEST_KIDNEY, LARGEST_TUMOUR = KeepLargest(labels=(1,), count=1), KeepLargest(labels=(2,), count=1)
LARGEST, ATTACHED = KeepLargest(labels=(1, 2), count=1), DropDetached(label=2, anchors=(1,))


def test_a_rule_that_only_removes_what_is_wrong_is_accepted_with_its_gain(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("1111....", "1111..11"), ("1111....", "1111...."))
    (tried,) = choose_rules(cases, LABELS, [LARGEST_KIDNEY])
    assert tried.accepted and tried.says == "keep the largest component of kidney"
    assert tried.classes_before == {"1": pytest.approx((0.8 + 1) / 2), "2": None} and tried.classes_after == {"1": 1, "2": None}
    assert (tried.dice_before, tried.dice_after) == (pytest.approx(0.9), 1)
    assert (tried.better, tried.worse, tried.p_value, tried.is_weak) == (1, 0, 0.5, True)


@pytest.mark.parametrize(("better", "worse", "p_value"), [(4, 0, 1 / 16), (5, 0, 1 / 32), (7, 1, 9 / 256), (0, 0, 1.0)])
def test_the_evidence_for_a_rule_is_a_sign_test_over_the_cases_that_change(
    tmp_path: Path, better: int, worse: int, p_value: float
) -> None:
    """By hand: of n fair coins, the chance of at least k heads."""
    cases = pairs(tmp_path, *[("111111....", "111111..11")] * better, *[("11.111....", "11.111....")] * worse,
                  *[("1111......", "1111......")] * 2)
    (tried,) = choose_rules(cases, LABELS, [LARGEST_KIDNEY])
    assert (tried.better, tried.worse, tried.p_value) == (better, worse, pytest.approx(p_value))
    assert tried.is_weak == (p_value >= 0.05) and ("weak evidence" in tried.evidence) == tried.is_weak


def test_a_false_component_in_a_case_without_the_class_counts_as_a_better_case(tmp_path: Path) -> None:
    (tried,) = choose_rules(pairs(tmp_path, ("111...", "111..2"), ("1122..", "1122..")), LABELS, [ATTACHED])
    assert (tried.better, tried.worse) == (1, 0)


def test_a_rule_that_lowers_one_class_is_not_accepted_however_much_it_helps_another(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("1111.2..........", "1111.2.111111111"), ("1111.2.22", "1111.2.22"))
    union = KeepLargest(labels=(1, 2), count=1)
    (tried,) = choose_rules(cases, LABELS, [union])
    assert not tried.accepted and (tried.classes_after["2"] or 0) < (tried.classes_before["2"] or 0)


def test_a_rule_that_changes_nothing_is_not_accepted(tmp_path: Path) -> None:
    tried = choose_rules(pairs(tmp_path, ("11.22", "11.22")), LABELS, [LARGEST_KIDNEY, LARGEST_TUMOUR])
    assert [entry.accepted for entry in tried] == [False, False] and tried[0].dice_before == tried[0].dice_after == 1


def test_a_false_component_in_a_case_without_the_class_leaves_the_mean(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("111...", "111..2"), ("1122..", "1122.."))
    (tried,) = choose_rules(cases, LABELS, [ATTACHED])
    assert tried.accepted and tried.classes_before == {"1": 1, "2": 0.5} and tried.classes_after == {"1": 1, "2": 1}


def test_a_class_that_vanishes_from_every_case_does_not_fall(tmp_path: Path) -> None:
    (tried,) = choose_rules(pairs(tmp_path, ("111...", "111..2")), LABELS, [ATTACHED])
    assert tried.accepted and tried.classes_before["2"] == 0 and tried.classes_after["2"] is None
    assert (tried.dice_before, tried.dice_after) == (0.5, 1)


def test_the_best_rule_comes_first_and_the_others_are_tried_on_top_of_it(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("1111112.........", "1111112.11.22.2."), ("11112", "11112"))
    candidates: list[Rule] = [LARGEST_TUMOUR, LARGEST_KIDNEY, ATTACHED, DropSmall(labels=(2,), below_ml=0.0005)]
    tried = choose_rules(cases, LABELS, candidates)
    assert [(entry.rule, entry.accepted) for entry in tried] == [
        (ATTACHED, True), (LARGEST_KIDNEY, True), (LARGEST_TUMOUR, False), (candidates[3], False)]
    assert tried[1].dice_before == tried[0].dice_after and tried[1].dice_after == 1
    assert all(entry.dice_before == entry.dice_after == 1 for entry in tried[2:])


def test_a_rule_that_was_accepted_acts_again_on_what_a_later_one_leaves_of_a_case_that_it_did_not_change(tmp_path: Path) -> None:
    """In the first case the tumour touches a false kidney: it is detached only once that is gone."""
    cases = pairs(tmp_path, ("1111.......", "1111....112"), ("11112......", "11112.2...."))
    tried = choose_rules(cases, LABELS, [LARGEST_KIDNEY, ATTACHED])
    assert [(entry.rule, entry.accepted) for entry in tried] == [(ATTACHED, True), (LARGEST_KIDNEY, True)]
    assert tried[0].classes_after["2"] == 0.5 and tried[1].classes_after == {"1": 1, "2": 1}


def test_of_equally_good_rules_the_first_is_taken(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("1111....", "1111..11"))
    for candidates in ([LARGEST, LARGEST_KIDNEY], [LARGEST_KIDNEY, LARGEST]):
        assert [entry.rule for entry in choose_rules(cases, LABELS, candidates)] == candidates


@pytest.mark.parametrize("labels", [
    Labels(values={"background": 0, "a": 1, "b": 2, "c": 3}, ignore=4),
    Labels(values={"background": 0, "whole": (1, 2, 3), "core": (2, 3), "inner": 3, "ignore": 4},
           regions_class_order=(1, 2, 3), ignore=4),
])
def test_dice_is_that_of_volumes_which_the_rules_were_really_applied_to(labels: Labels, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    cases, volumes = [], []
    for name in ("x", "y", "z"):
        reference = np.kron(random.integers(0, 5, (2, 4, 4)), np.ones((2, 3, 3), int)).astype(np.uint8)
        prediction = np.where(random.random(reference.shape) < 0.15, random.integers(0, 4, reference.shape), reference)
        prediction = (prediction * (prediction < 4) * (random.random(reference.shape) < 0.6)).astype(np.uint8)
        cases.append(pair_of(tmp_path, name, reference, prediction))
        volumes.append((reference, prediction))
    candidates: list[Rule] = [
        *(KeepLargest(labels=union, count=count) for union in ((1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3)) for count in (1, 3)),
        *(DropSmall(labels=(value,), below_ml=0.003) for value in (1, 2, 3)),
        KeepLargest(labels=(1, 2), count=1, spared_ml=0.002, spared_mm=2), DropDetached(label=1, anchors=(3,)),
    ]
    tried = choose_rules(cases, labels, candidates)
    accepted = [entry.rule for entry in tried if entry.accepted]
    for position, entry in enumerate(tried):
        rules = accepted[:position + 1] if entry.accepted else [*accepted, entry.rule]
        counts = [confusion_counts(ref, apply_rules(pred, SPACING_MM, rules), labels) for ref, pred in volumes]
        expected = {key: mean_without_nan([case[key].dice for case in counts]) for key in counts[0]}
        assert entry.classes_after == {key: pytest.approx(dice) for key, dice in expected.items()}
        assert entry.dice_after == pytest.approx(mean_without_nan(list(expected.values())))
    assert len(tried) == len(candidates) and {entry.rule for entry in tried} == set(candidates)


def test_a_case_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("1111....", "1111..11"), ("1111....", "1111...."), ("11", "11"))
    cases[1].prediction.write_text("no image")
    write_label(cases[2].prediction, line("111"), Image(line("111")[None], Geometry(SPACING_MM)))
    with pytest.raises(AutosegError, match="case_1"):
        choose_rules(cases[:2], LABELS, [LARGEST_KIDNEY])
    with pytest.raises(AutosegError, match=r"case case_2: .* does not lie on the grid"):
        choose_rules(cases[2:], LABELS, [LARGEST_KIDNEY])
    with pytest.raises(AutosegError, match="no validation prediction"):
        choose_rules([], LABELS, [LARGEST_KIDNEY])


def test_without_candidates_there_is_nothing_to_choose_and_progress_is_reported(tmp_path: Path) -> None:
    cases = pairs(tmp_path, ("1111....", "1111..11"))
    assert choose_rules(cases, LABELS, []) == []
    shares: list[float] = []
    choose_rules(cases, LABELS, [LARGEST_KIDNEY], progress=lambda share, text: shares.append(share))
    assert shares == [1.0]
