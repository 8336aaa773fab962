"""Ways to predict, in the report: what each costs, what it changes, and which is taken."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.reporting.blocks import Block, Command, Figure, Folded, Table, Text, figures
from autoseg.reporting.figures import Change, price_curve
from autoseg.ways import Difference, MeasuredWay, Ways
from autoseg.wording import JOINED, counted, fixed, interval, number, signed


def ways_blocks(ways: Ways | None, measure: str) -> list[Block]:
    """Return the curve of cost against Dice, a table of the ways on it, and all ways folded away. measure: the command that
    measures them, for where they are not."""
    if ways is None:
        return [Text("In full: cheaper ways to predict were not measured. This does:", is_note=True), Command(measure)]
    reason = ways.reason
    blocks: list[Block] = [
        Text(f"{reason[0].upper()}{reason[1:]}."),
        Text("Every validation case was predicted in each way by the fold that did not train on it, and post-processed. A way "
             f"is not worse where Dice and NSD fall by less than {number(ways.not_worse)} at the lower ends of their 95 % "
             "intervals; the cheapest of these is taken. The cost is counted: evaluations of a network, with one fold. Seconds "
             f"are a case's share of the time that all ways took together, on {ways.device}.")]
    shown = ways.worth_showing
    if len(shown) > 1:
        points = {id(one): _point(ways, one) for one in shown}
        picture = price_curve("Ways to predict", list(points.values()), points[id(ways.chosen_way)],
                              "network evaluations per case", "change of Dice", -ways.not_worse)
        note = "A cross is what predictions do. Bars are 95 % intervals; the dashed line is what a bar must stay above."
        blocks += figures(Figure("By how much Dice changes", picture, note), is_wide=True)
    blocks.append(_table("From the full way to the fastest", ways, shown))
    if len(ways.measured) > len(shown):
        blocks.append(Folded(f"All {counted(len(ways.measured), 'way')} that were measured",
                             [_table("All ways, the dearest first", ways, ways.measured)]))
    return blocks


def _point(ways: Ways, one: MeasuredWay) -> Change:
    name, price = ways.name(one), one.cost * ways.full.evaluations
    change = one.dice_change
    return Change(name, price) if change is None else Change(name, price, change.mean, change.low, change.high)


def _table(caption: str, ways: Ways, shown: Sequence[MeasuredWay]) -> Table:
    rows = [[ways.name(one), number(one.evaluations), number(one.seconds), fixed(one.dice, 4), _change(one.dice_change),
             fixed(one.nsd, 4), _change(one.nsd_change), _verdict(ways, one)] for one in shown]
    columns = ("way", "evaluations", "seconds", "Dice", "its change", f"NSD {ways.tolerance_mm:g}{JOINED}mm", "its change", "")
    return Table(f"{caption}: means over {counted(ways.cases, 'case')}, changes with their 95 % intervals", columns, rows,
                 frozenset({7}), frozenset(index for index, one in enumerate(shown) if one is ways.chosen_way))


def _change(difference: Difference | None) -> str:
    if difference is None:
        return ""
    between = interval(difference.low, difference.high, 4)
    return signed(difference.mean) + (f" ({between})" if between else "")


def _verdict(ways: Ways, one: MeasuredWay) -> str:
    if one is ways.chosen_way:
        return "chosen"
    return "full" if one is ways.full else "may be worse" if one.may_be_worse else "not worse"
