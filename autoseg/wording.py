"""Numbers, intervals, times, lists and tables as people read them, on the page and in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

Bounds = tuple[float, float] | None  # the two ends of an interval
MISSING = "–"  # stands on the page for a value that is not known
UNKNOWN = "-"  # the same, in a terminal
WHY_EMPTY = "not defined: no case has the class on either side, or, for distances, on both"  # a dash in tables of metrics
JOINED = "\u00a0"  # a space at which no line breaks


def number(value: float | None, digits: int = 3) -> str:
    """Return three significant digits, without an exponent where that reads well; a dash for None and nan."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        rounded = float(f"{value:.{digits}g}")
        return _minus(f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}")
    return _minus(f"{value:.{digits}g}")


def fixed(value: float | None, places: int = 3, missing: str = MISSING) -> str:
    """Return the value with a fixed number of decimals, so that a column lines up; `missing` for None and nan."""
    return missing if value is None or math.isnan(value) else f"{value:.{places}f}"


def signed(value: float | None) -> str:
    """Return a difference of Dice with its sign and four decimals."""
    return MISSING if value is None or math.isnan(value) else _minus(f"{value:+.4f}")


def interval(low: float | None, high: float | None, places: int = 3) -> str:
    """Return "0.812 to 0.861"; an empty string where a bound is not known."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"{_minus(f'{low:.{places}f}')} to {_minus(f'{high:.{places}f}')}".replace(" ", JOINED)


def with_interval(value: float | None, bounds: Bounds, places: int = 3) -> str:
    """Return "0.836 (0.812 to 0.861)", without the bracket where the interval is not known."""
    between = interval(*bounds, places) if bounds else ""
    return fixed(value, places) + (f" ({between})" if between else "")


def cell(value: float | None, bounds: Bounds = None, places: int = 3) -> str:
    """Return "0.836 (0.812-0.861)" for a terminal, without the bracket where the interval is not known."""
    between = f" ({bounds[0]:.{places}f}-{bounds[1]:.{places}f})" if bounds and not math.isnan(bounds[0]) else ""
    return fixed(value, places, UNKNOWN) + between


def significant_cell(value: float | None) -> str:
    """Return three significant digits for a terminal, and all of them before the decimal point."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def signed_cell(value: float) -> str:
    """Return four decimals with a sign for a terminal; a power of ten where four decimals would hide a difference."""
    if math.isnan(value):
        return UNKNOWN
    return f"{value:+.0e}" if 0 < abs(value) < 0.00005 else f"{value:+.4f}"


def times(values: Sequence[float]) -> str:
    """Return "40 × 56 × 40"."""
    return " × ".join(f"{value:.4g}" for value in values)


def duration(seconds: float) -> str:
    """Return "3 h 12 min", "4 min 5 s", "12 s", with spaces at which no line breaks."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 48:
        text = f"{hours // 24} days {hours % 24} h"
    elif hours:
        text = f"{hours} h {minutes} min"
    else:
        text = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return text.replace(" ", JOINED)


def rough_duration(seconds: float) -> str:
    """Return "45 s", "12 min", "3 h 05 min", as a time that changes while it is read."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(text: str) -> str:
    """Return a time from a file in the local zone, "20 Nov 2026, 13:38"; unchanged where it cannot be read."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%d %b %Y, %H:%M").replace(" ", JOINED)
    except ValueError:
        return text


def shortened(text: str, length: int) -> str:
    """Return the text, its middle left out where it is longer than `length`: names often differ at their ends."""
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1):]}"


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return "1 case", "7 cases", "1,200 cases"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def plain_table(title: str, **options: Any) -> Table:
    """Return an empty table for a terminal, with a line below its header and no other. options: those of rich's Table."""
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, **options)


def _minus(text: str) -> str:
    """Write a negative number with the sign that is as wide as a plus."""
    return "−" + text[1:] if text.startswith("-") else text
