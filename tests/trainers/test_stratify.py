"""Groups dealt out to folds: answers worked out by hand, and what must hold for any groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.trainers.stratify import spread


def alone(cases: Sequence[str]) -> list[list[str]]:
    return [[case] for case in cases]


def sizes(folds: list[list[str]]) -> list[int]:
    return sorted(map(len, folds), reverse=True)


def test_a_label_in_as_many_cases_as_folds_goes_to_each_fold_once() -> None:
    cases = [f"c{number}" for number in range(10)]
    labels = {case: {"organ", "rare"} if number < 5 else {"organ"} for number, case in enumerate(cases)}
    folds = spread(alone(cases), labels, 5)
    assert sizes(folds) == [2] * 5
    assert all(sum("rare" in labels[case] for case in fold) == 1 for fold in folds)


def test_two_rare_labels_do_not_meet_while_folds_are_free() -> None:
    cases = list("abcdefgh")
    folds = spread(alone(cases), {"a": {"x"}, "b": {"x"}, "c": {"y"}, "d": {"y"}}, 4)
    assert sizes(folds) == [2] * 4
    assert all(sum(case in "abcd" for case in fold) == 1 for fold in folds)


def test_the_larger_group_of_a_rare_label_has_a_fold_of_its_own() -> None:
    """Label x in a patient of three cases and in three lone ones, two folds: 3 and 3."""
    groups = [["p1", "p2", "p3"], ["q"], ["r"], ["s"], ["t"], ["u"]]
    folds = spread(groups, {case: {"x"} for case in ("p1", "p2", "p3", "q", "r", "s")}, 2)
    with_patient = next(fold for fold in folds if "p1" in fold)
    assert {"p1", "p2", "p3"} <= set(with_patient) and not {"q", "r", "s"} & set(with_patient)
    assert sizes(folds) == [4, 4]


def test_folds_that_dealing_leaves_uneven_are_evened_by_an_exchange() -> None:
    """3, 3, 2, 2, 2 dealt largest first to the smaller fold gives 7 and 5; 3 + 3 and 2 + 2 + 2 is right."""
    groups = [[f"{patient}{scan}" for scan in range(count)] for patient, count in zip("abcde", (3, 3, 2, 2, 2), strict=True)]
    assert sizes(spread(groups, {}, 2)) == [6, 6]


def test_one_patient_with_most_of_the_cases_leaves_no_fold_empty() -> None:
    assert sizes(spread([["a"] * 10, ["b"], ["c"], ["d"], ["e"]], {}, 5)) == [10, 1, 1, 1, 1]


def test_the_exchange_that_evens_sizes_costs_the_labels_least() -> None:
    """Twelve lone cases, "x" in six of them: three folds of four, with two of them in each."""
    cases = [f"c{number:02d}" for number in range(12)]
    labels = {case: {"x"} for case in cases[::2]}
    folds = spread(alone(cases), labels, 3)
    assert [len(fold) for fold in folds] == [4, 4, 4]
    assert [sum(case in labels for case in fold) for fold in folds] == [2, 2, 2]


def test_any_groups_stay_whole_and_fill_folds_that_are_as_equal_as_their_sizes_allow() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = [[f"g{group}_{scan}" for scan in range(rng.integers(1, 6))] for group in range(rng.integers(5, 40))]
        cases = [case for group in groups for case in group]
        labels = {case: {label for label in "xyz" if rng.random() < 0.3} for case in cases}
        folds = spread(groups, labels, 5)
        assert sorted(case for fold in folds for case in fold) == sorted(cases)
        assert all(set(group) <= set(fold) or not set(group) & set(fold) for fold in folds for group in groups)
        assert all(fold == sorted(fold) for fold in folds) and min(map(len, folds)) > 0
        if len(groups) > 20:
            assert max(map(len, folds)) - min(map(len, folds)) <= 1
        assert spread(groups, labels, 5) == folds


def test_lone_cases_spread_every_label_evenly() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cases = [f"c{number:03d}" for number in range(rng.integers(20, 120))]
        labels = {case: {label for label, share in (("x", 0.1), ("y", 0.9)) if rng.random() < share} for case in cases}
        folds = spread(alone(cases), labels, 5)
        assert max(map(len, folds)) - min(map(len, folds)) <= 1
        for label in "xy":
            held = [sum(label in labels[case] for case in fold) for fold in folds]
            assert max(held) - min(held) <= 2
            assert sum(held) < 5 or min(held) > 0


def test_thousands_of_cases_are_dealt_without_delay_and_evenly() -> None:
    cases = [f"c{number:05d}" for number in range(6000)]
    labels = {case: {"x"} for case in cases[:1500]}
    folds = spread(alone(cases), labels, 5)
    assert [len(fold) for fold in folds] == [1200] * 5
    assert [sum(case in labels for case in fold) for fold in folds] == [300] * 5
