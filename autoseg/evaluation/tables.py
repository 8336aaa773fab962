"""A summary as tables to read in a terminal of 100 columns and more."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from autoseg.evaluation.summary import Summary, has_several_lesions
from autoseg.wording import UNKNOWN, WHY_EMPTY, cell, plain_table, significant_cell

CLASSES_IN_CASE_TABLE = 8
CASE = "<case>"


def summary_table(summary: Summary) -> Table:
    """Return a table of each class's means over the cases, with the 95 % interval of Dice, and of the foreground's.

    HD95 and ASSD are means over the cases in which both reference and prediction hold the class; the column "missed/false" counts
    the cases in which only one does, if any. Lesion-wise F1 is shown for the classes of which some reference holds more than one
    component. A dash stands for what is not defined or not in the file.
    """
    several = {key for key in summary.mean if has_several_lesions(summary, key)}
    one_sided = any(summary.missed.values()) or any(summary.false_alarms.values())
    table = plain_table(f"Mean of {len(summary.metric_per_case)} case(s), Dice with its 95 % interval")
    table.add_column("class", overflow="fold", min_width=10)
    columns = ["Dice", "IoU", "HD95\nmm", "ASSD\nmm", f"NSD\n{summary.tolerance_mm:g} mm", "|volume\nerror|\nml",
               *(["lesion\nF1"] if several else []), "cases\nwith it", *(["missed/\nfalse"] if one_sided else [])]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for key, mean in summary.mean.items():
        table.add_row(
            escape(summary.names.get(key, key)), *_cells(mean, summary.confidence.get(key, {})),
            *([cell(mean.get("lesion_F1")) if key in several else ""] if several else []),
            str(sum(case.metrics.get(key, {}).get("n_ref", 0) > 0 for case in summary.metric_per_case)),
            *([f"{summary.missed.get(key, 0)}/{summary.false_alarms.get(key, 0)}"] if one_sided else []))
    if any(math.isnan(mean.get(name, math.nan)) for mean in summary.mean.values() for name in ("Dice", "HD95")):
        table.caption = f"{UNKNOWN} is {WHY_EMPTY}"
    table.add_section()
    table.add_row("foreground", *_cells(summary.foreground_mean, summary.foreground_confidence))
    return table


def cases_table(summary: Summary) -> Table:
    """Return a table of each case's mean Dice and, for up to eight classes, each class's Dice."""
    keys = list(summary.mean) if len(summary.mean) <= CLASSES_IN_CASE_TABLE else []
    table = Table(title="Dice of each case")
    table.add_column("case")
    for column in ("mean", *(escape(summary.names.get(key, key)) for key in keys)):
        table.add_column(column, justify="right")
    for case in summary.metric_per_case:
        dice = {key: metrics["Dice"] for key, metrics in case.metrics.items()}
        table.add_row(escape(case.case), cell(case.mean_dice), *(cell(dice.get(key)) for key in keys))
    return table


def failures_table(failed: Mapping[str, str]) -> Table:
    """Return a table of what kept cases from being evaluated, by case name; cases with the same reason share a row.

    Reasons are the same where only the case's name differs, which is then written as <case>.
    """
    cases_by_reason: dict[str, list[str]] = {}
    for case, reason in failed.items():
        cases_by_reason.setdefault(reason.replace(case, CASE), []).append(case)
    table = Table("cases", "why", title=f"{len(failed)} case(s) not evaluated")
    for reason, cases in cases_by_reason.items():
        table.add_row(escape(", ".join(cases)), escape(reason.replace(CASE, cases[0]) if len(cases) == 1 else reason))
    return table


def _cells(mean: dict[str, float], confidence: dict[str, tuple[float, float]]) -> list[str]:
    """Return the cells of Dice with its interval, IoU, HD95, ASSD, NSD and mean absolute volume error."""
    return [
        cell(mean.get("Dice"), confidence.get("Dice")), cell(mean.get("IoU")), significant_cell(mean.get("HD95")),
        significant_cell(mean.get("ASSD")), cell(mean.get("NSD")), significant_cell(mean.get("absolute_volume_error_ml")),
    ]
