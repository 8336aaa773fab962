"""The way that a prediction takes: what the user gives, what find-best chose, and what is said of it."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.ways import FULL, Difference, MeasuredWay, Way, Ways, Wish, taken_way

SAME = Difference(mean=-0.0002, low=-0.0006, high=0.0003, p_value=0.4)
WORSE = Difference(mean=-0.004, low=-0.006, high=-0.002, p_value=0.001)
COMMON = {"evaluations": 8.0, "seconds": 1.0, "dice": 0.9, "nsd": 0.95}
WAYS = Ways(
    measured=(MeasuredWay(way=Way(axes=(0, 1, 2)), cost=1.0, **COMMON),
              MeasuredWay(way=Way(axes=(2,), step=0.65), cost=0.125, dice_change=SAME, nsd_change=SAME, **COMMON),
              MeasuredWay(way=Way(axes=(), step=0.8), cost=0.03125, dice_change=WORSE, nsd_change=WORSE, may_be_worse=True,
                          **COMMON)),
    chosen=1, fastest=2, not_worse=0.001, tolerance_mm=2.0, cases=208, device="cpu in float32")


@pytest.mark.parametrize(("wish", "way", "first"), [
    (Wish(), Way(axes=(2,), step=0.65), FULL),
    (Wish(accurate=True), FULL, FULL),
    (Wish(skip_empty=True), Way(axes=(2,), step=0.65, skip_empty=True), Way(skip_empty=True)),
    (Wish(fast=True), Way(axes=(), step=0.8), FULL),
    (Wish(step=0.7), Way(axes=(2,), step=0.7), Way(step=0.7)),  # what is given wins, for both stages of a cascade
    (Wish(mirroring=False), Way(axes=(), step=0.65), Way(axes=())),
    (Wish(mirroring=True), Way(step=0.65), FULL),
    (Wish(mirroring=False, step=0.5, fast=True), Way(axes=()), Way(axes=())),
    (Wish(accurate=True, step=0.8), Way(step=0.8), Way(step=0.8)),
])
def test_what_is_given_wins_over_what_was_chosen_and_that_over_the_full_way(wish: Wish, way: Way, first: Way) -> None:
    taken = taken_way(WAYS, wish)
    assert (taken.way, taken.first) == (way, first)


def test_the_reason_is_said() -> None:
    assert taken_way(WAYS, Wish()).says == (
        "mirrored along axis 2 only, tiles 0.65 of the patch apart: Dice changed by -0.0002 [-0.0006, +0.0003] and NSD by "
        "-0.0002 [-0.0006, +0.0003] on 208 cases, 8 times fewer network evaluations; the cheapest way that is not worse: the "
        "lower ends of both intervals lie above -0.001")
    assert taken_way(WAYS, Wish(fast=True)).says == (
        "mirroring left out, tiles 0.8 of the patch apart: Dice changed by -0.0040 [-0.0060, -0.0020] and NSD by -0.0040 "
        "[-0.0060, -0.0020] on 208 cases, 32 times fewer network evaluations; the fastest that was measured, as you asked "
        "(find-best chose: mirrored along axis 2 only, tiles 0.65 of the patch apart)")
    chose = "as you asked (find-best chose: mirrored along axis 2 only, tiles 0.65 of the patch apart)"
    assert taken_way(WAYS, Wish(accurate=True)).says == (
        f"in full (mirrored along axes 0, 1, 2, tiles 0.5 of the patch apart), {chose}")
    assert taken_way(WAYS, Wish(mirroring=False, step=0.5)).says == f"mirroring left out, {chose}"


def test_where_nothing_was_measured_all_is_done_in_full_and_little_is_said() -> None:
    assert taken_way(None, Wish()) == (FULL, FULL, "") and taken_way(None, Wish(accurate=True)).way == FULL
    assert taken_way(None, Wish(step=0.8)) == (Way(step=0.8), Way(step=0.8), "tiles 0.8 of the patch apart, as you asked")
    assert taken_way(None, Wish(mirroring=False)).way == Way(axes=())


def test_wishes_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(AutosegError, match="--accurate and --fast ask for opposite things"):
        taken_way(WAYS, Wish(accurate=True, fast=True))
    with pytest.raises(AutosegError, match="none was measured. Run it first, or say how with --step-size and --no-mirroring"):
        taken_way(None, Wish(fast=True))
