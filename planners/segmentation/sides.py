"""Left and right: labels that are named and placed as each other's mirror image, and the axis that runs from one to the other."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from autoseg.dataset import Labels
from autoseg.errors import many, some
from autoseg.fingerprint import CaseFingerprint, Fingerprint, SidePair
from autoseg.image import AxisOrder, Geometry, axis_order
from autoseg.plan import Sides
from autoseg.planners.segmentation.anatomy import rounded
from autoseg.sides import pairs_in_words, swapped_values

WORDS = (
    ("left", "right"), ("l", "r"), ("lt", "rt"), ("lh", "rh"), ("links", "rechts"), ("linke", "rechte"), ("linker", "rechter"),
    ("linkes", "rechtes"), ("gauche", "droite"), ("gauche", "droit"), ("sinistra", "destra"), ("sinistro", "destro"),
    ("izquierda", "derecha"), ("izquierdo", "derecho"))
PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")  # "kidneyL", "LKidney", "rib_3"; "L3" is one part: a vertebra
GLUED = re.compile("(left|right)", re.IGNORECASE)  # "leftkidney"
CHAMBERS = ("atri", "ventri")  # of the heart; those of the brain are lateral

MOST_SAID = 3
NEARLY_ALL = 0.9  # share of the cases
SIDE_BY_SIDE = 0.85  # cosine: that of the way between the centres with the way from right to left, in the median case
MUCH_SMALLER = 0.6  # volume by the other's

Point = tuple[float, float, float]  # (x, y, z) of DICOM's frame, mm: x grows towards the patient's left


class _Place(NamedTuple):
    centre_mm: Point
    volume_ml: float


def named_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return (left, right) of names that differ in one word alone, which says the side; none that could be of two pairs."""
    sides: dict[tuple[object, ...], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in names:
        parts = [part.lower() for part in PARTS.findall(GLUED.sub(r" \1 ", name))]
        for place, part in enumerate(parts):
            for words in WORDS:
                if part in words:
                    sides[(words, *parts[:place], *parts[place + 1:])][words.index(part)].append(name)
    pairs = dict.fromkeys((left[0], right[0]) for left, right in sides.values() if len(left) == len(right) == 1)
    times = Counter(name for pair in pairs for name in pair)
    return [pair for pair in pairs if times[pair[0]] == times[pair[1]] == 1]


def sided_values(labels: Labels) -> list[int]:
    """Return the label values, ascending, whose place is measured: those of labels and regions that are named in pairs."""
    named = {name for pair in named_pairs(labels.foreground) for name in pair}
    return sorted({value for name in named for value in labels.foreground[name]})


def centres_mm(labels: np.ndarray, geometry: Geometry, values: Sequence[int]) -> dict[str, Point]:
    """Return the centre of each label value that is there, by the value as a string; none where the file says no directions.

    labels: (Z, Y, X). values: ascending. Works slice by slice.
    """
    if not geometry.has_direction or not values:
        return {}
    sums = np.zeros((4, len(values)))  # of ones, x, y, z
    for z, plane in enumerate(labels):
        found = np.isin(plane, values)
        y, x = np.nonzero(found)
        which = np.searchsorted(values, plane[found])
        for row, weights in enumerate((None, x, y, np.full(len(x), z))):
            sums[row] += np.bincount(which, weights, len(values))
    there = np.flatnonzero(sums[0])
    voxels = np.concatenate((sums[1:, there] / sums[0, there], np.ones((1, len(there)))))
    world = (geometry.affine() @ voxels)[:3].T
    return {str(values[int(i)]): (rounded(x), rounded(y), rounded(z)) for i, (x, y, z) in zip(there, world, strict=True)}


def side_pairs(cases: Sequence[CaseFingerprint], labels: Labels) -> tuple[SidePair, ...]:
    """Return every pair that names suggest, with what the places in the cases say of it.

    A pair whose labels are never in one case together is judged by the middle between labels of the other pairs.
    """
    places = [_places(case, labels) for case in cases]
    pairs = [_by_both(pair, places) for pair in named_pairs(labels.foreground)]
    sure = [pair for pair in pairs if pair.is_mirrored]
    pairs = [pair if pair.cases else _by_middle(pair, places, sure) for pair in pairs]
    mirrored = [(pair.left, pair.right) for pair in pairs if pair.is_mirrored]
    if swapped_values(labels, mirrored) is None:
        why = "the regions that they overlap with have no mirror image"
        pairs = [pair.model_copy(update={"is_mirrored": False, "reason": why}) if pair.is_mirrored else pair for pair in pairs]
    return tuple(pairs)


def _places(case: CaseFingerprint, labels: Labels) -> dict[str, _Place]:
    """Return where each label or region lies that is in the case and was measured."""
    found = {}
    for name, values in labels.foreground.items():
        parts = [(centre, its.volume_ml) for value in values
                 if (its := case.labels.get(str(value))) is not None and (centre := its.centre_mm) is not None]
        if total := sum(ml for _, ml in parts):
            x, y, z = (sum(centre[axis] * ml for centre, ml in parts) / total for axis in range(3))
            found[name] = _Place((x, y, z), total)
    return found


def _by_both(names: tuple[str, str], places: Sequence[Mapping[str, _Place]]) -> SidePair:
    """Judge a pair by the cases that hold both."""
    left, right = names
    both = [(its[left], its[right]) for its in places if left in its and right in its]
    if not both:
        return SidePair(left=left, right=right, cases=0, left_is_left=0, is_mirrored=False,
                        reason="no case whose header says where left is holds both")
    leftwards = sum(one.centre_mm[0] > other.centre_mm[0] for one, other in both)
    pair = SidePair(left=left, right=right, cases=len(both), left_is_left=leftwards, is_mirrored=False, reason="")
    if max(leftwards, len(both) - leftwards) < NEARLY_ALL * len(both):
        reason = f"{left} lies farther left in {leftwards} of {len(both)} cases, farther right in the others"
    elif _are_chambers(left):
        reason = "the heart's chambers are no mirror images of each other"
    elif statistics.median(_across(one.centre_mm, other.centre_mm) for one, other in both) < SIDE_BY_SIDE:
        reason = "they lie more above or before each other than side by side"
    elif max(sum(a.volume_ml < MUCH_SMALLER * b.volume_ml for a, b in both),
             sum(b.volume_ml < MUCH_SMALLER * a.volume_ml for a, b in both)) >= NEARLY_ALL * len(both):
        reason = "one of them is nearly always much smaller"
    else:
        return pair.model_copy(update={"is_mirrored": True, "reason": _by_place(pair)})
    return pair.model_copy(update={"reason": reason})


def _by_place(pair: SidePair) -> str:
    if 2 * pair.left_is_left >= pair.cases:
        return f"{pair.left} lies on the patient's left of {pair.right} in {pair.left_is_left} of {many(pair.cases, 'case')}"
    return (f"{pair.left} lies on the patient's right of {pair.right} in {pair.cases - pair.left_is_left} of "
            f"{many(pair.cases, 'case')}: are the names the viewer's, or the headers wrong?")


def _by_middle(pair: SidePair, places: Sequence[Mapping[str, _Place]], sure: Sequence[SidePair]) -> SidePair:
    """Judge a pair whose labels are never in one case by the middle between the labels of other pairs."""
    agree = []
    for its in places:
        known = [(its[other.left].centre_mm[0], its[other.right].centre_mm[0]) for other in sure
                 if other.left in its and other.right in its]
        for name, sign in ((pair.left, 1), (pair.right, -1)):
            if known and name in its:
                lefts, rights = (statistics.fmean(of) for of in zip(*known, strict=True))
                agree.append((name, sign * (its[name].centre_mm[0] - (lefts + rights) / 2) * (lefts - rights) > 0))
    if {name for name, _ in agree} != {pair.left, pair.right} or _are_chambers(pair.left):
        return pair
    right = sum(is_so for _, is_so in agree)
    if right < NEARLY_ALL * len(agree):
        return pair
    return pair.model_copy(update={"is_mirrored": True, "reason": (
        f"never in one case, but on the sides of {sure[0].left} and {sure[0].right} in {right} of {many(len(agree), 'case')}")})


def _across(one: Point, other: Point) -> float:
    """Return which share of the way between two points goes from left to right, 0 to 1."""
    return abs(one[0] - other[0]) / max(math.dist(one, other), 1e-6)


def _are_chambers(name: str) -> bool:
    parts = [part.lower() for part in PARTS.findall(name)]
    return any(part.startswith(CHAMBERS) for part in parts) and not any(part.startswith("lat") for part in parts)


def sides_of(fingerprint: Fingerprint, transpose: tuple[int, int, int]) -> Sides:
    """Return the axis of the plans that runs from left to right or back, and the labels that are mirrored along it.

    transpose: as in `Plans`. No axis where a training case is not known to be in the dataset's order: nothing is swapped then.
    """
    axis, why = _axis(fingerprint, transpose)
    found = [(pair.left, pair.right) for pair in fingerprint.sides if pair.is_mirrored]
    if axis is not None or not fingerprint.sides:
        return Sides(axis=axis, pairs=tuple(found), reason=" ".join(_said(fingerprint.sides)))
    unsure = pairs_in_words([(pair.left, pair.right) for pair in fingerprint.sides])
    return Sides(axis=None, reason=f"Labels are named in pairs ({unsure}), but {why}, so nothing is swapped.")


def _said(pairs: Sequence[SidePair]) -> Iterator[str]:
    """Yield a sentence for each pair; for the first few of each kind, where there are many."""
    for kind, are_mirrored in (("", True), ("not ", False)):
        its = [pair for pair in pairs if pair.is_mirrored == are_mirrored]
        for pair in its[:MOST_SAID]:
            yield f"{pair.left} and {pair.right} are {kind}taken for mirror images: {pair.reason}."
        if len(its) > MOST_SAID:
            yield f"{len(its) - MOST_SAID} more pairs are {kind}taken for it (see fingerprint.json)."


def _axis(fingerprint: Fingerprint, transpose: tuple[int, int, int]) -> tuple[int | None, str]:
    """Return the axis, or None and why not."""
    order = fingerprint.orientation
    if order is None:
        return None, "no image says how its axes run in the patient"
    other = [name for name, case in fingerprint.cases.items() if not _is_turned(case, order)]
    if other:
        return None, f"it is not known of {many(len(other), 'case')} ({some(other)}) which axis runs from left to right"
    along_x_y_z = next(place for place, letter in enumerate(order) if letter in "LR")
    return transpose.index(2 - along_x_y_z), ""


def _is_turned(case: CaseFingerprint, order: str) -> bool:
    """Tell whether a case's axes are brought to the order of the dataset (see `axis_order`)."""
    return case.orientation == order or axis_order(case.orientation, order, case.shape) != AxisOrder()
