"""Numbers, times and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

MISSING = "–"
JOINED = "\u00a0"  # a space at which no line breaks


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, without an exponent where that reads well; a dash for None and nan."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        rounded = float(f"{value:.{digits}g}")
        return _minus(f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}")
    return _minus(f"{value:.{digits}g}")


def dice(value: float | None) -> str:
    """Three decimals, so that a column lines up."""
    return MISSING if value is None or math.isnan(value) else f"{value:.3f}"


def millimetres(value: float | None) -> str:
    """Two decimals, without the unit."""
    return MISSING if value is None or math.isnan(value) else f"{value:.2f}"


def signed(value: float | None) -> str:
    """A difference of Dice, with its sign and four decimals."""
    return MISSING if value is None or math.isnan(value) else _minus(f"{value:+.4f}")


def interval(low: float | None, high: float | None, decimals: int = 3) -> str:
    """ "0.812 to 0.861"; empty where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"{_minus(f'{low:.{decimals}f}')} to {_minus(f'{high:.{decimals}f}')}".replace(" ", JOINED)


def times(values: Sequence[float]) -> str:
    """ "40 × 56 × 40"."""
    return " × ".join(f"{value:.4g}" for value in values)


def duration(seconds: float) -> str:
    """ "3 h 12 min", "4 min 5 s", "12 s"."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 48:
        text = f"{hours // 24} days {hours % 24} h"
    elif hours:
        text = f"{hours} h {minutes} min"
    else:
        text = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return text.replace(" ", JOINED)


def moment(text: str) -> str:
    """A time as it is written to files, in the local zone: "20 Nov 2026, 13:38"; as it is where it cannot be read."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%d %b %Y, %H:%M").replace(" ", JOINED)
    except ValueError:
        return text


def shortened(text: str, length: int) -> str:
    """The text, with its middle left out where it is longer than `length`: names often differ at their ends."""
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1):]}"


def counted(count: int, one: str, several: str | None = None) -> str:
    """ "1 case", "7 cases"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _minus(text: str) -> str:
    """A negative number with the sign that is as wide as a plus."""
    return "−" + text[1:] if text.startswith("-") else text
