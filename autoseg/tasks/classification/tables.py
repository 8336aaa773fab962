"""A classifier's answers and its validation as tables to read in a terminal, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from autoseg.errors import many
from autoseg.tasks.classification.plan import Target
from autoseg.tasks.classification.rows import PREDICTED, PROBABILITY
from autoseg.tasks.classification.summary import ClassSummary, Measure, Numbers
from autoseg.wording import UNKNOWN, cell, plain_table

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_CLASSES = 8
MEASURES = {
    "AUROC": "mean_auroc", "average precision": "average_precision", "balanced accuracy": "balanced_accuracy", "F1": "f1",
    "sensitivity": "sensitivity", "specificity": "specificity", "accuracy": "accuracy", "Brier score": "brier",
    "calibration error": "calibration_error"}


def answers_table(rows: Sequence[Any], target: Target) -> Table:
    """Show a line for each case, in the order given: what is told, and the probability of each class."""
    table = plain_table(f"{escape(target.name)} of {many(len(rows), 'case')}")
    table.add_column("case")
    shown = target.classes[:SHOWN_CLASSES]
    if target.kind != "labels":
        table.add_column("predicted")
    for name in shown:
        table.add_column(escape(name), justify="right")
    for row in rows:
        values = row.model_dump()
        told = [] if target.kind == "labels" else [escape(values[PREDICTED])]
        table.add_row(escape(row.case), *told, *(f"{values[f'{PROBABILITY}{name}']:.3f}" for name in shown))
    return table


def measured(numbers: Numbers, name: str) -> Measure | None:
    """Return a measure by the name of its field."""
    found: Measure | None = getattr(numbers, name)
    return found


def numbers_table(summary: ClassSummary) -> Table:
    """Show every measure of the classifier and of what it is compared with, with 95 % intervals."""
    counts = ", ".join(f"{count} {name}" for name, count in summary.counts.items())
    table = plain_table(f"{escape(summary.target)}: {many(summary.cases, 'case')} ({escape(counts)}), 95 % interval")
    table.add_column("measure", no_wrap=True)
    for name in summary.numbers:
        table.add_column(name)
    for title, field in MEASURES.items():
        found = [measured(numbers, field) for numbers in summary.numbers.values()]
        if any(one is not None for one in found):
            table.add_row(title, *(UNKNOWN if one is None else cell(one.value, one.interval) for one in found))
    return table


def in_words(summary: ClassSummary) -> list[str]:
    """Return what the table cannot say: whether the classifier is better than what it is compared with, and its temperature."""
    said = []
    for name, its in summary.compared.items():
        if its.difference is not None and its.p_value is not None:
            said.append(f"AUROC against {name}: {its.difference:+.3f} (p = {its.p_value:.2g}, DeLong et al. 1988).")
    if summary.calibration is not None:
        before = "" if summary.uncalibrated is None else f"; without it the calibration error is {summary.uncalibrated:.3f}"
        said.append(f"Probabilities are of a temperature that was fitted on the other folds{before}. New images get "
                    f"{summary.calibration.temperature:g}, of all folds.")
    return said
