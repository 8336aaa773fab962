"""Which way to predict is chosen, on made-up cases whose differences are known."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pytest
from rich.console import Console

from autoseg.postprocessing.ways import choose_way, ways_table
from autoseg.ways import OnCase, Way, Ways

ALL = (0, 1, 2)


def made_up(ways: Sequence[tuple[Way, int, float, float]], cases: int = 40, spread: float = 0.0) -> dict[str, tuple[OnCase, ...]]:
    """Each way's cost, and by how much its Dice and NSD differ from the first's; even cases lie above that by the spread, odd
    ones below."""
    found = {}
    for case in range(cases):
        sign = 1 if case % 2 else -1
        found[f"case_{case}"] = tuple(
            OnCase(way=way, evaluations=cost, cost=10 * cost, seconds=cost / 4, dice=0.9 + dice + sign * spread * bool(number),
                   nsd=0.95 + nsd) for number, (way, cost, dice, nsd) in enumerate(ways))
    return found


def choose(*ways: tuple[Way, int, float, float], not_worse: float = 0.001, cases: int = 40, spread: float = 0.0) -> Ways:
    return choose_way(made_up(ways, cases, spread), not_worse, 2.0, "cpu in float32")


FULL = (Way(axes=ALL), 8, 0.0, 0.0)


def test_the_cheapest_whose_intervals_lie_above_the_margin_is_chosen_and_the_cheapest_of_all_is_the_fastest() -> None:
    ways = choose(FULL, (Way(axes=(2,)), 2, -0.0009, 0.0), (Way(axes=(0, 2)), 4, 0.0, 0.0), (Way(axes=()), 1, -0.0011, 0.0))
    assert [(one.way.axes, one.may_be_worse) for one in ways.measured] == [
        (ALL, False), ((0, 2), False), ((2,), False), ((), True)]
    assert ways.chosen_way.way.axes == (2,) and ways.fastest_way.way.axes == ()
    assert ways.chosen_way.cost == 0.25 and ways.chosen_way.seconds == 0.5
    assert ways.reason.startswith("mirrored along axis 2 only: Dice changed by -0.0009 [-0.0009, -0.0009] and NSD by +0.0000 "
                                  "[+0.0000, +0.0000] on 40 cases, 4 times fewer network evaluations; ")


def test_nsd_counts_as_much_as_dice() -> None:
    assert choose(FULL, (Way(axes=()), 1, 0.01, -0.002)).chosen == 0
    assert choose(FULL, (Way(axes=()), 1, 0.01, -0.002), not_worse=0.003).chosen == 1


def test_a_mean_that_is_no_lower_does_not_do_where_the_interval_reaches_below_the_margin() -> None:
    """Half of 40 cases gain 0.01 and half lose it: the mean's standard error is 0.0016."""
    ways = choose(FULL, (Way(axes=()), 1, 0.0, 0.0), spread=0.01)
    assert ways.measured[1].dice_change is not None and ways.measured[1].dice_change.mean == pytest.approx(0)
    assert ways.measured[1].dice_change.low == pytest.approx(-1.96 * 0.01 / math.sqrt(40), rel=0.1)
    assert ways.chosen == 0 and "no cheaper way of 1 is shown to be not worse" in ways.reason
    assert choose(FULL, (Way(axes=()), 1, 0.0, 0.0), spread=0.01, not_worse=0.004).chosen == 1


def test_one_case_or_cases_without_any_class_show_nothing() -> None:
    assert choose(FULL, (Way(axes=()), 1, 0.1, 0.1), cases=1).chosen == 0
    assert choose((Way(axes=ALL), 8, math.nan, math.nan), (Way(axes=()), 1, math.nan, math.nan)).chosen == 0


def test_of_ways_that_cost_the_same_the_higher_dice_is_taken() -> None:
    ways = choose(FULL, (Way(axes=(0,)), 2, 0.001, 0.0), (Way(axes=(1,)), 2, 0.002, 0.0), (Way(axes=(2,)), 2, 0.0, 0.0))
    assert ways.chosen_way.way.axes == (1,) == ways.fastest_way.way.axes
    assert [one.way.axes for one in ways.worth_showing] == [ALL, (1,)]


def test_a_step_that_places_the_tiles_of_all_cases_alike_is_no_way_of_its_own() -> None:
    ways = choose(FULL, (Way(axes=ALL, step=0.65), 8, 0.0, 0.0), (Way(axes=ALL, step=0.8), 6, 0.0, 0.0))
    assert [one.way.step for one in ways.measured] == [0.5, 0.8] and ways.chosen_way.way.step == 0.8
    assert choose(FULL).reason.endswith("there is no cheaper one")


def test_the_table_says_what_each_costs_and_marks_the_chosen() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(ways_table(choose(FULL, (Way(axes=(2,), step=0.8), 2, 0.0, 0.0), (Way(axes=()), 1, -0.1, 0.0))))
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    full, chosen, fastest = [line for line in lines if line.endswith(("full", "worse"))]
    assert full.startswith("in full ") and " 8 " in full
    assert chosen.startswith("→  mirrored along axis 2 only, tiles 0.8 of the patch apart") and chosen.endswith("not worse")
    assert "mirroring left out" in fastest and "-0.1000 [-0.1000, -0.1000]" in fastest and "may be worse" in fastest
