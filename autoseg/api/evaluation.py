"""evaluate: predictions against references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.dataset import find_dataset, load_dataset
from autoseg.errors import AutosegError, some
from autoseg.evaluation.summary import TOLERANCE_MM, Summary, evaluate_folder, write_csv, write_summary
from autoseg.evaluation.tables import cases_table, failures_table, summary_table
from autoseg.workspace import Workspace


@dataclass(frozen=True)
class EvaluateResult:
    """summary, and the files that hold it: path (JSON) and csv_path (one row per case and class)."""

    summary: Summary
    path: Path
    csv_path: Path


def evaluate(
    reference: PathLike, prediction: PathLike, labels: PathLike | None = None, output: PathLike | None = None,
    workspace: PathLike | None = None, quiet: bool = False, tolerance_mm: float = TOLERANCE_MM, workers: int | None = None,
) -> EvaluateResult:
    """Overlap, surface distances, volumes and lesions of predictions against references of the same name.

    labels: dataset whose label names and regions count. output: None for `summary.json` among the predictions; the CSV
    lies beside it. tolerance_mm: of the normalised surface Dice. workers: at most so many processes.
    """
    known = None
    if labels is not None:
        known = load_dataset(find_dataset(str(labels), Workspace.at(workspace))).labels
    path = Path(output) if output is not None else Path(prediction) / "summary.json"
    csv_path = path.with_suffix(".csv")
    if csv_path == path:
        raise AutosegError(f"{path} is where the table would lie too. Give a name that ends in .json with -o.")
    with console.progress("Evaluating", quiet) as report:
        summary = evaluate_folder(Path(reference), Path(prediction), known, workers, tolerance_mm, report)
    write_summary(path, summary)
    write_csv(csv_path, summary)
    if not quiet:
        console.show(cases_table(summary))
        console.show(summary_table(summary))
        if summary.failed:
            console.show(failures_table(summary))
        if absent := _absent(summary):
            console.show(f"Note: no reference holds {some(absent)}. Values that dataset.json does not name count as background.")
    return EvaluateResult(summary, path, csv_path)


def _absent(summary: Summary) -> list[str]:
    """Names of the classes that occur in no reference."""
    cases = [case.metrics for case in summary.metric_per_case]
    return [summary.names.get(key, key) for key in summary.mean if not any(metrics[key]["n_ref"] for metrics in cases)]
