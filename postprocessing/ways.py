"""The way to predict: all are measured on the same validation cases; the cheapest that is not worse is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from autoseg.evaluation.confidence import paired_comparison
from autoseg.evaluation.metrics import mean_without_nan
from autoseg.ways import Difference, MeasuredWay, OnCase, Ways
from autoseg.wording import cell, plain_table, significant_cell


def choose_way(found: Mapping[str, Sequence[OnCase]], not_worse: float, tolerance_mm: float, device: str) -> Ways:
    """Return all ways, and which is the cheapest that is not worse than the full one.

    found: of each case what each way gives, the full one first, the ways in the same order. A way is not worse where the 95 %
    bootstrap intervals of both paired differences, of Dice and of NSD, have their lower ends above -not_worse; where a single
    case gives no interval, only the full way is not worse. Decided is by the counted cost, not by seconds. A way that places the
    tiles of every case like another with a smaller step is that other, and left out.
    """
    ways = list(zip(*found.values(), strict=True))
    full = ways[0]
    different = [cases for index, cases in enumerate(ways) if not any(map(_is_same, ways[:index], [cases] * index))]
    measured = [_measured(cases, full, not_worse) for cases in different]
    measured[1:] = sorted(measured[1:], key=lambda one: (-one.cost, -one.dice))

    def cheapest(indices: Sequence[int]) -> int:
        return min(indices, key=lambda index: (measured[index].cost, -measured[index].dice))

    every = range(len(measured))
    return Ways(
        measured=tuple(measured), chosen=cheapest([index for index in every if not measured[index].may_be_worse]),
        fastest=cheapest(every), not_worse=not_worse, tolerance_mm=tolerance_mm, cases=len(found), device=device)


def ways_table(ways: Ways) -> Table:
    """Return a table of the ways that are worth showing: from the full one down to the cheapest."""
    table = plain_table(
        f"Ways to predict: {ways.cases} validation cases, each by the fold that did not train on it", caption_justify="left",
        caption="evaluations: of a network with one fold, mean per case; change: to the first, with its 95 % bootstrap interval "
                "over the cases")
    table.add_column("")
    table.add_column("way")
    for column in ("evaluations", "seconds", "Dice", "change of Dice", f"NSD {ways.tolerance_mm:g} mm", "change of NSD", ""):
        table.add_column(column, justify="right")
    for one in ways.worth_showing:
        table.add_row(
            "→" if one is ways.chosen_way else "", ways.name(one), significant_cell(one.evaluations),
            significant_cell(one.seconds), cell(one.dice, places=4), _change(one.dice_change), cell(one.nsd, places=4),
            _change(one.nsd_change), _verdict(one))
    return table


def _change(difference: Difference | None) -> str:
    return "" if difference is None else difference.in_brackets


def _verdict(one: MeasuredWay) -> str:
    return "full" if one.dice_change is None else "may be worse" if one.may_be_worse else "not worse"


def _is_same(one: Sequence[OnCase], other: Sequence[OnCase]) -> bool:
    """Tell whether the tiles of two ways were the same in every case: mirrored alike, and as many."""
    return all((ours.way.axes, ours.cost) == (theirs.way.axes, theirs.cost) for ours, theirs in zip(one, other, strict=True))


def _measured(cases: Sequence[OnCase], full: Sequence[OnCase], not_worse: float) -> MeasuredWay:
    changes = [paired_comparison([getattr(case, name) for case in cases], [getattr(case, name) for case in full])
               for name in ("dice", "nsd")]
    is_full = cases is full
    return MeasuredWay(
        way=cases[0].way, evaluations=_mean([case.evaluations for case in cases]),
        cost=sum(case.cost for case in cases) / sum(case.cost for case in full), seconds=_mean([case.seconds for case in cases]),
        dice=mean_without_nan([case.dice for case in cases]), nsd=mean_without_nan([case.nsd for case in cases]),
        dice_change=None if is_full else changes[0], nsd_change=None if is_full else changes[1],
        may_be_worse=not is_full and not all(change.low > -not_worse for change in changes))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
