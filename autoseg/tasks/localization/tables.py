"""A locator's answers and its validation as tables to read in a terminal, and in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from autoseg.errors import many, some
from autoseg.tasks.localization.locations import Location
from autoseg.tasks.localization.summary import NEAR_MM, LocationSummary, Share
from autoseg.wording import UNKNOWN, cell, plain_table


def locations_table(rows: Sequence[Location], target: str, axis: str) -> Table:
    """Show a line for each case, in the order given. target: what was looked for. axis: along which."""
    table = Table(title=f"Where {escape(target)} lies")
    table.add_column("case")
    for column in ("slice", f"{axis}, mm", "confidence"):
        table.add_column(column, justify="right")
    for row in rows:
        where = ("not found", UNKNOWN) if row.mm is None else (f"{row.slice} ({row.index_axis})", f"{row.mm:.1f}")
        table.add_row(escape(row.case), *where, f"{row.confidence:.2f}")
    return table


def location_table(summary: LocationSummary) -> Table:
    """Show errors in mm and in slices, shares within a tolerance, and how often something was found, with 95 % intervals."""
    mm, slices = summary.error_mm, summary.error_slices
    table = plain_table(
        f"How far answers are from the true level ({many(summary.cases, 'case')}, 95 % interval)", show_header=False)
    table.add_column("measure", no_wrap=True)
    table.add_column("value")
    if mm is not None and slices is not None:
        table.add_row("mean absolute error",
                      f"{cell(mm.mean, mm.interval, 2)} mm, {cell(slices.mean, slices.interval, 2)} slices")
        table.add_row("median", f"{mm.median:.2f} mm, {slices.median:.2f} slices")
        table.add_row("worst", escape(f"{mm.worst:.2f} mm ({mm.worst_case}), {slices.worst:.2f} slices ({slices.worst_case})"))
    else:
        table.add_row("mean absolute error", UNKNOWN)
    table.add_row("within one slice", _share(summary.within_slice))
    table.add_row(f"within {NEAR_MM:g} mm", _share(summary.within_5_mm))
    table.add_row("found", f"{summary.found} of {summary.cases}")
    for what, absent in (("cases", summary.without_level), ("parts", summary.parts)):
        if absent.count:
            table.add_row(f"wrongly found, {what} without it", f"{len(absent.wrongly_found)} of {absent.count}")
    return table


def in_words(summary: LocationSummary) -> list[str]:
    """Return what the table cannot say: which cases it was not found in, or wrongly, and why something is not known."""
    notes = [] if summary.cases else ["No validated case has the level: how far answers are from it is not known."]
    if summary.not_found:
        notes.append(f"Not found in {len(summary.not_found)} of {many(summary.cases, 'case')} that have it: "
                     f"{some(summary.not_found)}.")
    for what, absent in (("cases", summary.without_level), ("parts of cases", summary.parts)):
        if absent.wrongly_found:
            notes.append(f"Wrongly found in {len(absent.wrongly_found)} of {absent.count} {what} without it: "
                         f"{some(absent.wrongly_found)}.")
    return notes


def _share(share: Share | None) -> str:
    if share is None:
        return UNKNOWN
    low, high = share.interval
    return f"{share.count} of {share.of}, {share.share:.0%} ({low:.0%}-{high:.0%})"
