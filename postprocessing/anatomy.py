"""Candidate rules from what the training labels look like, never from a list of organs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from autoseg.best import DropDetached, DropSmall, KeepLargest, Rule
from autoseg.dataset import Labels
from autoseg.fingerprint import Fingerprint, UnionOfDataset, linked, union_key


def candidate_rules(fingerprint: Fingerprint, labels: Labels) -> list[Rule]:
    """Every rule worth a try, each once; of two that gain the same, the one that stands first is to be preferred.

    - keep the largest components of all foreground, of each class or region, and of unions of linked labels (see
      `Fingerprint.unions`): as many as a training case has main ones, at most and in the median. Where a training case
      holds specks besides, they are spared in a first candidate (as large and as far from the main ones as any in
      training), in a second one (as far as in the median of the cases with specks), and not at all in a third.
    - drop components smaller than any in training, of each class or region;
    - drop components of a label that do not touch the label that at least 9 of 10 touch in training.

    Without measured unions, as in a fingerprint of an earlier version: keep one component of all foreground and of each.
    """
    values = tuple(sorted(int(value) for value in fingerprint.labels))
    rules: list[Rule] = []
    for union in sorted(fingerprint.unions.values(), key=lambda union: union.labels != values):  # all foreground first
        rules.extend(_keep_largest(union))
    if values and not fingerprint.unions:
        rules.extend(KeepLargest(labels=union, count=1) for union in [values, *((value,) for value in values)])
    rules.extend(_drop_small(fingerprint, labels))
    for value, other in linked(fingerprint.labels):
        rules.append(DropDetached(label=value, anchors=(other,)))
    return list(dict.fromkeys(rules))


def _keep_largest(union: UnionOfDataset) -> Iterator[KeepLargest]:
    most, median = int(union.main_components.maximum), int(union.main_components.median)
    if union.largest_speck_ml is not None and union.farthest_speck_mm is not None:
        spared_ml = rounded_up(union.largest_speck_ml.maximum)
        for spared_mm in (union.farthest_speck_mm.maximum, union.farthest_speck_mm.median):
            yield KeepLargest(labels=union.labels, count=most, spared_ml=spared_ml, spared_mm=rounded_up(spared_mm))
    yield KeepLargest(labels=union.labels, count=most)
    if median < most:
        yield KeepLargest(labels=union.labels, count=median)


def _drop_small(fingerprint: Fingerprint, labels: Labels) -> Iterator[DropSmall]:
    for values in labels.foreground.values():
        occurring = tuple(sorted(value for value in values if str(value) in fingerprint.labels))
        union = fingerprint.unions.get(union_key(occurring))
        if union is not None:
            yield DropSmall(labels=occurring, below_ml=rounded_down(union.smallest_ml))
        elif len(occurring) == 1:
            yield DropSmall(labels=occurring, below_ml=rounded_down(fingerprint.labels[str(occurring[0])].smallest_ml))


def rounded_up(measure: float) -> float:
    """To two significant digits, never below `measure`."""
    return float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(measure)))


def rounded_down(measure: float) -> float:
    """To two significant digits, never above `measure`."""
    return float(Context(prec=2, rounding=ROUND_FLOOR).create_decimal(repr(measure)))
