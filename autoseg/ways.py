"""Ways to predict: how far tiles lie apart and along which axes they are mirrored; what each costs, and what it changes.

Small frozen models, without torch. `best.json` holds those that find-best measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from autoseg.errors import AutosegError, many
from autoseg.plan import Frozen

TILE_STEP = 0.5  # of neighbouring tiles, as a share of the patch
STEPS = (TILE_STEP, 0.65, 0.8)  # that are compared
NOT_WORSE = 0.001  # by how much Dice and NSD may fall, at the lower end of their intervals

Axes = tuple[int, ...]


class Way(Frozen):
    """A way to predict. step: how far neighbouring tiles lie apart, as a share of the patch.

    axes: those of the volume as networks see it (0 to 2; a 2D network sees 1 and 2) that tiles are mirrored along, of which each
    model takes those that its training mirrored; None for all of these. skip_empty: whether tiles cover only the part of an image
    that may hold objects (see `autoseg.plan.Emptiness`).
    """

    step: Annotated[float, Field(gt=0, le=1)] = TILE_STEP
    axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] | None = None
    skip_empty: bool = False


FULL = Way()


class OnCase(Frozen):
    """A way to predict, measured on one case.

    evaluations: how often a network ran, with one fold of each model; a 2D network runs once for each slice. cost: the values
    that its convolutions put out in all of them, so that networks of several sizes add up. seconds: its share of the time that
    the ways took together. dice, nsd: means over the classes; nan where neither side holds any.
    """

    way: Way
    evaluations: int
    cost: float
    seconds: float
    dice: float
    nsd: float


class Difference(Frozen):
    """The mean over the cases of (candidate − best) in one measure, with a 95 % bootstrap interval over the cases.

    p_value: two-sided Wilcoxon signed-rank test over the same pairs (Wilcoxon 1945); 1 where all pairs are equal.
    """

    mean: float
    low: float
    high: float
    p_value: float

    @property
    def in_brackets(self) -> str:
        """Return "-0.0002 [-0.0006, +0.0003]"; without the interval where a single case gives none."""
        known = self.low == self.low
        return f"{self.mean:+.4f}" + (f" [{self.low:+.4f}, {self.high:+.4f}]" if known else "")


class MeasuredWay(Frozen):
    """A way to predict, measured on the validation cases. evaluations, seconds, dice, nsd: means over the cases (see `OnCase`).

    cost: as a share of the full way's. dice_change, nsd_change: to the full way; None for that itself. may_be_worse: whether Dice
    or NSD may have fallen by more than allowed.
    """

    way: Way
    evaluations: float
    cost: float
    seconds: float
    dice: float
    nsd: float
    dice_change: Difference | None = None
    nsd_change: Difference | None = None
    may_be_worse: bool = False

    @property
    def times_fewer(self) -> str:
        """Return how many times fewer network evaluations it takes than the full way, such as "7.9"."""
        return f"{1 / self.cost:.3g}"


class Ways(Frozen):
    """The ways to predict with the chosen models, each validation case by the fold that did not train on it.

    measured: the full way, which the others are compared with, then the others, the dearest first. chosen, fastest: indices of
    the cheapest that is not worse, and of the cheapest of all. not_worse: by how much Dice and NSD may fall, at the lower ends of
    their intervals. tolerance_mm: of NSD. device: that the seconds are of.
    """

    measured: Annotated[tuple[MeasuredWay, ...], Field(min_length=1)]
    chosen: Annotated[int, Field(ge=0)]
    fastest: Annotated[int, Field(ge=0)]
    not_worse: float
    tolerance_mm: float
    cases: int
    device: str

    @property
    def full(self) -> MeasuredWay:
        """Return the full way."""
        return self.measured[0]

    @property
    def chosen_way(self) -> MeasuredWay:
        """Return the cheapest way that is not worse."""
        return self.measured[min(self.chosen, len(self.measured) - 1)]

    @property
    def fastest_way(self) -> MeasuredWay:
        """Return the cheapest way of all."""
        return self.measured[min(self.fastest, len(self.measured) - 1)]

    @property
    def worth_showing(self) -> list[MeasuredWay]:
        """Return the full, chosen and fastest way, and those than which no other is cheaper or has a higher Dice for as much."""
        kept = (self.full, self.chosen_way, self.fastest_way)
        return [one for one in self.measured if one in kept or not any(
            other.cost <= one.cost and other.dice >= one.dice and (other.cost, other.dice) != (one.cost, one.dice)
            for other in self.measured)]

    def in_words(self, way: Way) -> str:
        """Return what a way leaves out, such as "mirroring left out, tiles 0.65 of the patch apart"."""
        return way_in_words(way, self.full.way)

    def name(self, measured: MeasuredWay) -> str:
        """Return the same for a table, in which the full way is "in full"."""
        return "in full" if measured is self.full else self.in_words(measured.way)

    def says(self, measured: MeasuredWay) -> str:
        """Return a way with what it changes and saves."""
        name = self.in_words(measured.way)
        if measured.dice_change is None or measured.nsd_change is None:
            return name
        return (f"{name}: Dice changed by {measured.dice_change.in_brackets} and NSD by {measured.nsd_change.in_brackets} on "
                f"{many(self.cases, 'case')}, {measured.times_fewer} times fewer network evaluations")

    @property
    def reason(self) -> str:
        """Return why the chosen way is chosen."""
        rule = f"the lower ends of both intervals lie above {-self.not_worse:g}"
        if self.chosen_way.dice_change is None:
            others = f"no cheaper way of {len(self.measured) - 1} is shown to be not worse on {many(self.cases, 'case')} ({rule})"
            return f"{self.in_words(self.full.way)}; {others if len(self.measured) > 1 else 'there is no cheaper one'}"
        return f"{self.says(self.chosen_way)}; the cheapest way that is not worse: {rule}"


@dataclass(frozen=True)
class Wish:
    """The user's wishes for a way. step, mirroring, skip_empty: None where not given. accurate: in full. fast: the fastest that
    was measured. The first three win over both."""

    step: float | None = None
    mirroring: bool | None = None
    accurate: bool = False
    fast: bool = False
    skip_empty: bool | None = None

    def applied_to(self, way: Way) -> Way:
        """Return the way with the step and the mirroring that were given."""
        return Way(step=way.step if self.step is None else self.step,
                   axes=way.axes if self.mirroring is None else None if self.mirroring else (),
                   skip_empty=way.skip_empty if self.skip_empty is None else self.skip_empty)


class TakenWay(NamedTuple):
    """The way that a prediction takes. first: that of the stage before, where there is one. says: the way and why, in words; ""
    where there is nothing to say."""

    way: Way
    first: Way
    says: str


def taken_way(ways: Ways | None, wish: Wish) -> TakenWay:
    """Return the way that a prediction takes: what the user gave wins, then what find-best chose, then the full way.

    ways: those that find-best measured for just these models; None where there are none. The stage before a cascade's second is
    predicted in full, as it was when the second was trained and measured, unless the user gave something else, for both.
    Raises AutosegError where wishes contradict each other, or the fastest way is wished for and none was measured.
    """
    if wish.accurate and wish.fast:
        raise AutosegError("--accurate and --fast ask for opposite things. Leave one of them out.")
    if wish.fast and ways is None:
        raise AutosegError("--fast takes the fastest way that autoseg find-best measured for these models, and none was "
                           "measured. Run it first, or say how with --step-size and --no-mirroring.")
    measured = None if ways is None or wish.accurate else ways.fastest_way if wish.fast else ways.chosen_way
    way = wish.applied_to(FULL if measured is None else measured.way)
    first = wish.applied_to(FULL)
    if ways is None or measured is None or way != measured.way:
        full, chose = (FULL, "") if ways is None else (ways.full.way, f" (find-best chose: {_chosen_in_words(ways)})")
        return TakenWay(way, first, f"{way_in_words(way, full)}, as you asked{chose}" if wish != Wish() else "")
    if wish.fast and measured is not ways.chosen_way:
        return TakenWay(way, first, f"{ways.says(measured)}; the fastest that was measured, as you asked (find-best chose: "
                                    f"{_chosen_in_words(ways)})")
    return TakenWay(way, first, ways.reason)


def way_in_words(way: Way, full: Way) -> str:
    """Return what a way leaves out of the full one, or "in full" with what that is."""
    parts = []
    if way.axes is not None and way.axes != full.axes:
        parts.append("mirroring left out" if not way.axes else f"mirrored along {_axes(way.axes)} only")
    if way.step != full.step:
        parts.append(f"tiles {way.step:g} of the patch apart")
    if way.skip_empty:
        parts.append("empty margins of images left out")
    if parts:
        return ", ".join(parts)
    mirrored = "mirrored along all axes of the training" if full.axes is None else (
        f"mirrored along {_axes(full.axes)}" if full.axes else "without mirroring, as in training")
    return f"in full ({mirrored}, tiles {full.step:g} of the patch apart)"


def _chosen_in_words(ways: Ways) -> str:
    return ways.in_words(ways.chosen_way.way)


def _axes(axes: Iterable[int]) -> str:
    named = list(map(str, axes))
    return f"{'axis' if len(named) == 1 else 'axes'} {' and '.join(named) if len(named) < 3 else ', '.join(named)}"
