"""Sentences about the classes that a network may never learn to find, as the plans know them."""

from __future__ import annotations

import math

from autoseg.errors import some
from autoseg.plan import Plans

LINES = 5  # classes that get a sentence of their own
REMEDY = ("Short trainings lose such a class: give them many steps. autoseg_train --set sampling=rare gives it more of the "
          "patches; docs/dice_is_zero.md says with what effect.")


def risks_in_words(plans: Plans) -> str:
    """Say of each class at risk how little of it the patches show, and what helps; "" where no class is."""
    names = dict.fromkeys(name for its in plans.configurations.values() for name, seen in its.visibility.items() if seen.at_risk)
    if not names:
        return ""
    lines = [f"{name} is at risk of never being found: {_little(plans, name)}." for name in list(names)[:LINES]]
    rest = list(names)[LINES:]
    return " ".join([*lines, *([f"So are {len(rest)} more: {some(rest)}."] if rest else []), REMEDY])


def _little(plans: Plans, name: str) -> str:
    parts = []
    for configuration, its in plans.configurations.items():
        seen = its.visibility.get(name)
        if seen is not None and seen.at_risk:
            parts.append(f"in {configuration}, {percent(seen.random_share)} of all patches hold it, with {seen.voxels:.4g} of "
                         f"{math.prod(its.patch_size)} voxels")
    return "; ".join(parts)


def percent(share: float) -> str:
    """Return a share in per cent, with two significant digits below ten."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
