"""What find-best compared and tried, as tables to read."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from autoseg.best import Best, Candidate
from autoseg.wording import cell, plain_table, signed_cell

CLASSES_IN_TABLE = 8


def candidates_table(best: Best) -> Table:
    """Every model and ensemble, the highest Dice first; the chosen one is marked."""
    keys = list(best.names) if len(best.names) <= CLASSES_IN_TABLE else []
    cases = best.candidates[0].cases
    table = plain_table(
        f"{best.dataset}: Dice on {cases} validation cases, all folds together",
        caption="difference: mean over the cases, with its 95 % bootstrap interval; p: Wilcoxon signed-rank test of the pairs",
        caption_justify="left")
    table.add_column("")
    table.add_column("model or ensemble")
    for column in ("mean", *(escape(best.names[key]) for key in keys), "difference to the first", "p", ""):
        table.add_column(column, justify="right")
    for candidate in best.candidates:
        table.add_row(
            "→" if candidate.members == best.members else "", escape(candidate.name), cell(candidate.dice, places=4),
            *(cell(candidate.classes.get(key), places=4) for key in keys), *_difference(candidate))
    return table


def rules_table(best: Best) -> Table | str:
    """Every rule of post-processing that was tried, with what it did to the mean Dice."""
    if not best.rules:
        return "Post-processing: the fingerprint suggests no rule."
    table = plain_table("Post-processing: rules that were tried")
    table.add_column("")
    table.add_column("rule")
    for column in ("Dice before", "after", "gain"):
        table.add_column(column, justify="right")
    for tried in best.rules:
        gain = tried.dice_after - tried.dice_before
        table.add_row(
            "→" if tried.accepted else "", escape(tried.says), cell(tried.dice_before, places=4),
            cell(tried.dice_after, places=4), signed_cell(gain))
    return table


def _difference(candidate: Candidate) -> tuple[str, str, str]:
    if candidate.difference is None:
        return "", "", "best"
    found = candidate.difference
    words = "worse" if candidate.is_worse else "not worse"
    interval = "" if found.low != found.low else f" ({found.low:+.4f} to {found.high:+.4f})"
    return signed_cell(found.mean) + interval, f"{found.p_value:.2g}", words
