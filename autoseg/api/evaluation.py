"""evaluate: predictions against references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.dataset import find_dataset, load_dataset
from autoseg.evaluation.summary import (
    Summary,
    cases_table,
    evaluate_folder,
    failures_table,
    summary_table,
    write_summary,
)
from autoseg.workspace import Workspace


@dataclass(frozen=True)
class EvaluateResult:
    """summary, and the file that holds it."""

    summary: Summary
    path: Path


def evaluate(
    reference: PathLike, prediction: PathLike, labels: PathLike | None = None, output: PathLike | None = None,
    workspace: PathLike | None = None, quiet: bool = False,
) -> EvaluateResult:
    """Dice, IoU and volumes of predictions against references of the same name, per class and case.

    labels: dataset whose label names and regions count. output: None for `summary.json` among the predictions.
    """
    known = None
    if labels is not None:
        known = load_dataset(find_dataset(str(labels), Workspace.at(workspace))).labels
    summary = evaluate_folder(Path(reference), Path(prediction), known)
    path = Path(output) if output is not None else Path(prediction) / "summary.json"
    write_summary(path, summary)
    if not quiet:
        console.show(cases_table(summary))
        console.show(summary_table(summary))
        if summary.failed:
            console.show(failures_table(summary))
    return EvaluateResult(summary, path)
