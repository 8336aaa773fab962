"""Left and right: which labels change places where an image is mirrored, so that what is called left stays on the left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from autoseg.dataset import Labels
from autoseg.errors import some

Pairs = Sequence[tuple[str, str]]  # names of labels or regions that are each other's mirror image


class Mirroring(NamedTuple):
    """The axes of a patch that are mirrored, 0 the first. Labels of each pair in `swapped` change places where an odd number of
    `swap_axes` is mirrored."""

    axes: tuple[int, ...] = ()
    swap_axes: tuple[int, ...] = ()
    swapped: tuple[tuple[str, str], ...] = ()

    @property
    def in_words(self) -> str:
        """Return the axes, and which labels change places: "axes 0, 1, 2; along axis 2 kidney_l and kidney_r change places"."""
        if not self.axes:
            return "no axis"
        said = _axes(self.axes)
        if not self.swapped:
            return said
        both = "" if len(self.swap_axes) == 1 else ", and not along both"
        return f"{said}; along {_axes(self.swap_axes, ' or ')}{both}, {pairs_in_words(self.swapped)} change places"


def swaps(swap_axes: Iterable[int], mirrored: Iterable[int]) -> bool:
    """Tell whether labels change places where these axes are mirrored."""
    return len({*mirrored} & {*swap_axes}) % 2 == 1


def pairs_in_words(pairs: Pairs, most: int = 3) -> str:
    """Return "kidney_l and kidney_r", several with semicolons."""
    named = [f"{left} and {right}" for left, right in pairs[:most]]
    return "; ".join(named) + (f"; and {len(pairs) - most} more pairs" if len(pairs) > most else "")


def pairs_fault(labels: Labels, pairs: Pairs) -> str:
    """Return why labels or regions of these names cannot change places; "" where they can."""
    names = [name for pair in pairs for name in pair]
    if unknown := [name for name in names if name not in labels.foreground]:
        return f"there is no label {some(unknown)}"
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        return f"{some(twice)} is named twice"
    if swapped_values(labels, pairs) is None:
        return "a label lies in regions whose mirror images have no label in common"
    return ""


def swapped_values(labels: Labels, pairs: Pairs) -> dict[int, int] | None:
    """Return what label values become where the labels or regions of each pair change places; those that change only.

    None where that cannot be said: a value lies in regions whose mirror images no value lies in together.
    """
    partner = _partners(pairs)
    values = sorted({value for values in labels.foreground.values() for value in values})
    alike: dict[frozenset[str], list[int]] = defaultdict(list)
    for value in values:
        alike[frozenset(name for name, its in labels.foreground.items() if value in its)].append(value)
    swapped: dict[int, int] = {}
    for around, its in alike.items():
        mirrored = frozenset(partner.get(name, name) for name in around)
        if mirrored not in alike:
            return None
        if mirrored != around:
            swapped |= dict.fromkeys(its, alike[mirrored][0])
    return swapped


def swapped_channels(labels: Labels, pairs: Pairs) -> list[int]:
    """Return the output channel that takes the place of each one where the labels or regions of each pair change places."""
    partner = _partners(pairs)
    if labels.has_regions:
        names = list(labels.foreground)
        return [names.index(partner.get(name, name)) for name in names]
    channels = list(range(labels.output_channels))
    for name, other in partner.items():
        channels[labels.foreground[name][0]] = labels.foreground[other][0]
    return channels


def _partners(pairs: Pairs) -> dict[str, str]:
    return {one: other for pair in pairs for one, other in (pair, pair[::-1])}


def _axes(axes: Sequence[int], joint: str = ", ") -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {joint.join(map(str, axes))}"
