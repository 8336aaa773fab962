"""Candidates from hand-made fingerprints."""

from __future__ import annotations

import pytest

from autoseg.best import DropDetached, DropSmall, KeepLargest
from autoseg.dataset import Labels
from autoseg.fingerprint import Fingerprint, LabelOfDataset, Range, UnionOfDataset
from autoseg.postprocessing.selection import candidate_rules, rounded_down, rounded_up

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2, "spleen": 3})


def spread(minimum: float, median: float, maximum: float) -> Range:
    return Range(minimum=minimum, median=median, maximum=maximum)


def label(name: str, smallest_ml: float, **touches: float) -> LabelOfDataset:
    return LabelOfDataset(name=name, cases=9, volume_ml=spread(1, 2, 3), components=spread(1, 1, 2), smallest_ml=smallest_ml,
                          touches={other[1:]: share for other, share in touches.items()}, inside=())


def fingerprint(*unions: UnionOfDataset) -> Fingerprint:
    kidney, tumour = label("kidney", 0.00261116, _2=0.5), label("tumour", 6.40314, _1=0.97, _3=0.1)
    return Fingerprint(
        dataset="D", versions={}, channel_names=("CT",), foreground_intensities={}, orientations={}, foreground_components=None,
        labels={"1": kidney, "2": tumour, "3": label("spleen", 90)},
        unions={"+".join(map(str, union.labels)): union for union in unions}, cases={})


def union(*labels: int, main: Range, specks: tuple[Range, Range] | None = None, smallest_ml: float = 1.0) -> UnionOfDataset:
    return UnionOfDataset(
        labels=labels, cases=9, components=main, main_components=main, smallest_ml=smallest_ml,
        cases_with_specks=4 if specks else 0, largest_speck_ml=specks[0] if specks else None,
        farthest_speck_mm=specks[1] if specks else None)


def test_a_union_is_kept_to_as_many_components_as_training_shows() -> None:
    rules = candidate_rules(fingerprint(union(1, 2, main=spread(2, 2, 2))), LABELS)
    assert [rule for rule in rules if isinstance(rule, KeepLargest)] == [KeepLargest(labels=(1, 2), count=2)]


def test_where_training_shows_specks_they_are_spared_first_then_some_then_none() -> None:
    specks = (spread(0.0026, 0.0118, 0.0190735), spread(2.8125, 4.55431, 25.8941))
    rules = candidate_rules(fingerprint(union(1, 2, main=spread(1, 2, 2), specks=specks)), LABELS)
    assert rules[:3] == [
        KeepLargest(labels=(1, 2), count=2, spared_ml=0.02, spared_mm=26),
        KeepLargest(labels=(1, 2), count=2, spared_ml=0.02, spared_mm=4.6),
        KeepLargest(labels=(1, 2), count=2),
    ]


def test_the_median_number_is_tried_where_some_case_shows_more() -> None:
    rules = candidate_rules(fingerprint(union(3, main=spread(1, 1.5, 3))), LABELS)
    assert rules[:2] == [KeepLargest(labels=(3,), count=3), KeepLargest(labels=(3,), count=1)]


def test_all_foreground_comes_first() -> None:
    main = spread(1, 1, 1)
    rules = candidate_rules(fingerprint(union(1, main=main), union(1, 2, 3, main=main)), LABELS)
    assert rules[:2] == [KeepLargest(labels=(1, 2, 3), count=1), KeepLargest(labels=(1,), count=1)]


def test_small_components_and_detached_ones_are_suspect() -> None:
    rules = candidate_rules(fingerprint(union(1, main=spread(1, 1, 1), smallest_ml=0.00261116)), LABELS)
    assert rules[1:] == [
        DropSmall(labels=(1,), below_ml=0.0026), DropSmall(labels=(2,), below_ml=6.4), DropSmall(labels=(3,), below_ml=90),
        DropDetached(label=2, anchors=(1,)),
    ]


def test_a_region_is_cleaned_as_a_whole() -> None:
    regions = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    rules = candidate_rules(fingerprint(union(1, 2, main=spread(1, 1, 1), smallest_ml=0.5)), regions)
    assert DropSmall(labels=(1, 2), below_ml=0.5) in rules


def test_a_fingerprint_of_an_earlier_version_gives_what_can_be_known_without_unions() -> None:
    rules = candidate_rules(fingerprint(), LABELS)
    assert [rule.labels for rule in rules if isinstance(rule, KeepLargest)] == [(1, 2, 3), (1,), (2,), (3,)]
    assert len(rules) == 4 + 3 + 1
    empty = fingerprint().model_copy(update={"labels": {}})
    assert candidate_rules(empty, LABELS) == []


@pytest.mark.parametrize(("measure", "up", "down"), [
    (0.0190735, 0.020, 0.019), (25.8941, 26, 25), (26.0, 26, 26), (123.4, 130, 120), (0.0, 0, 0), (0.02, 0.02, 0.02)])
def test_measures_are_rounded_to_two_digits_towards_the_safe_side(measure: float, up: float, down: float) -> None:
    assert rounded_up(measure) == pytest.approx(up) and rounded_up(measure) >= measure
    assert rounded_down(measure) == pytest.approx(down) and rounded_down(measure) <= measure
