"""Evaluation of segmentations: of a folder, compared with references, and of a cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoseg.console import ShowProgress
from autoseg.dataset import Labels
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.cross_validation import pooled_folds as pooled
from autoseg.evaluation.csv_table import columns_of
from autoseg.evaluation.plausible import unnamed_in_words
from autoseg.evaluation.summary import CASE_COLUMNS, TOLERANCE_MM, Summary, evaluate_folder, write_csv, write_summary
from autoseg.evaluation.tables import cases_table, failures_table, summary_table
from autoseg.provenance import holds_model, require_replaceable
from autoseg.task import Evaluated
from autoseg.tasks.segmentation.options import EvaluateOptions
from autoseg.workspace import FoldFolder, Workspace

__all__ = ["SUMMARY", "evaluate", "failings", "holds", "pooled", "result", "shown"]

SUMMARY = Summary
FINDS_NOTHING = 5e-4  # a mean Dice below it is shown as 0.000
REMEDY = ("Most often the training was too short: give it more steps; for a small or rare class, try --set sampling=rare, too. "
          "docs/dice_is_zero.md lists the causes and what to do")


def holds(prediction: Path) -> bool:
    """Tell whether a folder may hold segmentations: any folder may."""
    return True


def evaluate(
    reference: str, prediction: Path, labels: Labels | None, output: Path, options: EvaluateOptions, place: Workspace,
    workers: int | None, report: ShowProgress,
) -> Evaluated:
    """Measure overlap, surface distances, volumes and lesions of segmentations against references of the same name.

    labels: names and regions that count; None for the values in the files. output: JSON file; a table lies beside it.
    Raises AutosegError where nothing can be compared.
    """
    csv_path = output.with_suffix(".csv")
    if csv_path == output:
        raise AutosegError(f"{output} is where the table would lie too. Give a name that ends in .json with -o.")
    if FoldFolder(output.parent.parent).summary_json == output and FoldFolder(output.parent.parent).cases_json.exists():
        raise AutosegError(f"{output} holds the validation of a trained fold, which find-best reads. Give another file with -o.")
    require_replaceable(output, lambda path: holds_model(path, Summary))
    require_replaceable(csv_path, lambda path: columns_of(path)[:len(CASE_COLUMNS)] == list(CASE_COLUMNS))
    tolerance_mm = TOLERANCE_MM if options.tolerance_mm is None else options.tolerance_mm
    summary = evaluate_folder(Path(reference), prediction, labels, workers, tolerance_mm, report, options.subset)
    write_summary(output, summary)
    write_csv(csv_path, summary)
    notes: list[Any] = [failures_table(summary.failed)] if summary.failed else []
    if summary.metric_per_case and (absent := _absent(summary)):
        notes.append(f"Note: no reference holds {some(absent)}.")
    notes += [*(f"Warning: {failing}." for failing in failings(summary).values()), *unnamed_in_words(summary.unnamed)]
    failed = len(summary.failed)
    tables = (cases_table(summary), summary_table(summary)) if summary.metric_per_case else ()
    return Evaluated(summary, (output, csv_path), (*tables, *notes), failed,
                     failed + len(summary.metric_per_case))


def shown(summary: Summary) -> list[Any]:
    """Return the results of a validation for a terminal."""
    return [summary_table(summary)]


def result(summary: Summary) -> str:
    """Return the results of a fold in a few words."""
    return f"mean Dice {summary.foreground_mean['Dice']:.3f}"


def failings(summary: Summary) -> dict[str, str]:
    """Return in a sentence, by class, what a model with these results does not do at all: it finds nothing of the class."""
    found = {}
    for key in summary.mean:
        holding = [case.metrics[key]["Dice"] for case in summary.metric_per_case if case.metrics[key]["n_ref"]]
        if holding and sum(holding) / len(holding) < FINDS_NOTHING:
            name = summary.names.get(key, key)
            how = "it is predicted in none of" if key in summary.never_predicted else "its mean Dice is 0.000 in"
            found[name] = f"Nothing of {name} is found: {how} {many(len(holding), 'validation case')} with it. {REMEDY}"
    return found


def _absent(summary: Summary) -> list[str]:
    """Return the names of the classes that occur in no reference."""
    cases = [case.metrics for case in summary.metric_per_case]
    return [summary.names.get(key, key) for key in summary.mean if not any(metrics[key]["n_ref"] for metrics in cases)]
