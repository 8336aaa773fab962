"""evaluate: segmentations against references, and anomaly scores against what is known of their cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.dataset import find_dataset, load_dataset
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.csv_table import columns_of
from autoseg.evaluation.summary import TOLERANCE_MM, Summary, evaluate_folder, labels_beside, write_csv, write_summary
from autoseg.evaluation.tables import cases_table, failures_table, summary_table
from autoseg.layouts import has_labelled_folders, image_files, is_decathlon
from autoseg.tasks.anomaly.evaluate import Evaluation, evaluate_scores
from autoseg.tasks.anomaly.reference import Reference, references_of_dataset, references_of_labels, references_of_table
from autoseg.tasks.anomaly.scores import SCORES
from autoseg.tasks.anomaly.summary import AnomalySummary
from autoseg.tasks.anomaly.summary import write_summary as write_anomaly_summary
from autoseg.tasks.anomaly.tables import anomaly_table, case_scores_table, in_words
from autoseg.tasks.localization.locations import LOCATIONS
from autoseg.workspace import Workspace, read_json


@dataclass(frozen=True)
class EvaluateResult:
    """summary, and the files that hold it: path (JSON) and csv_path (one row per case and class)."""

    summary: Summary
    path: Path
    csv_path: Path


@dataclass(frozen=True)
class AnomalyEvaluateResult:
    """summary, the file that holds it (JSON), and the figure of the scores (PNG)."""

    summary: AnomalySummary
    path: Path
    figure_path: Path


def evaluate(
    reference: PathLike, prediction: PathLike, labels: PathLike | None = None, output: PathLike | None = None,
    workspace: PathLike | None = None, quiet: bool = False, tolerance_mm: float = TOLERANCE_MM, workers: int | None = None,
) -> EvaluateResult:
    """Overlap, surface distances, volumes and lesions of segmentations against references of the same name.

    labels: dataset whose label names and regions count. output: None for `summary.json` among the predictions; the CSV
    lies beside it. tolerance_mm: of the normalised surface Dice. workers: at most so many processes.

    Raises AutosegError where nothing can be compared, as where the predictions are a locator's answers.
    """
    _require_segmentations(Path(prediction))
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
            console.show(failures_table(summary.failed))
        if absent := _absent(summary):
            console.show(f"Note: no reference holds {some(absent)}. Values that dataset.json does not name count as background.")
    return EvaluateResult(summary, path, csv_path)


def holds_anomaly_scores(prediction: PathLike) -> bool:
    """Whether a folder holds what an anomaly detector predicted, so that `evaluate_anomalies` is meant.

    By its scores.csv, as far as that is not the table of another kind: `evaluate` writes one where `-o` says scores.json.
    """
    path = Path(prediction) / SCORES
    if not path.is_file():
        return False
    columns = columns_of(path)
    return not columns or "score" in columns


def _require_segmentations(prediction: Path) -> None:
    """Raises AutosegError where a folder holds what a locator found, by its table."""
    if "found" in columns_of(prediction / LOCATIONS):
        raise AutosegError(
            f"{prediction} holds the answers of a locator ({LOCATIONS}), and no segmentations. There is no reference to compare "
            "them with here: locators are validated when they are trained, which autoseg report DATASET shows.")


def evaluate_anomalies(
    truth: PathLike, prediction: PathLike, labels: PathLike | None = None, output: PathLike | None = None,
    workspace: PathLike | None = None, quiet: bool = False, workers: int | None = None,
) -> AnomalyEvaluateResult:
    """How well the anomaly scores of a folder tell abnormal from normal, and whether its maps show where.

    truth: a dataset (folder, name or number) with case_labels, folders normal and abnormal, or label files; a folder of label
    files, abnormal where they hold foreground; or a CSV file with the columns case, truth (normal or abnormal) and perhaps
    slice. labels: dataset whose ignore label counts for nothing in a folder of label files. output: None for `summary.json`
    among the predictions; the figure, `scores.png`, lies beside it. workers: at most so many processes.
    """
    from autoseg.tasks.anomaly.figure import draw_scores  # matplotlib takes longer to import than a table to read

    references = _references(str(truth), Path(prediction), labels, Workspace.at(workspace))
    path = Path(output) if output is not None else Path(prediction) / "summary.json"
    figure_path = path.with_name("scores.png")
    with console.progress("Evaluating", quiet) as report:
        found = evaluate_scores(Path(prediction), references, workers, report)
    write_anomaly_summary(path, found.summary)
    draw_scores(figure_path, found, f"Anomaly scores in {prediction}")
    if not quiet:
        _show(found)
    return AnomalyEvaluateResult(found.summary, path, figure_path)


def _references(truth: str, prediction: Path, labels: PathLike | None, place: Workspace) -> dict[str, Reference]:
    """What is known of cases, in whichever of its forms it was given."""
    if Path(truth).is_file():
        return references_of_table(Path(truth))
    if Path(truth).is_dir() and image_files(Path(truth)) and not _is_dataset(Path(truth)):
        known = labels_beside(Path(truth), prediction)
        if labels is not None:
            known = load_dataset(find_dataset(str(labels), place)).labels
        return references_of_labels(Path(truth), known.ignore if known else None)
    return references_of_dataset(load_dataset(find_dataset(truth, place)))


def _is_dataset(folder: Path) -> bool:
    """Whether a folder with image files is a dataset beside which they lie. A dataset.json without cases may lie among label
    files to say what their values mean (see `labels_beside`)."""
    if not (folder / "dataset.json").is_file():
        return has_labelled_folders(folder)
    content = read_json(folder / "dataset.json")
    return (folder / "imagesTr").is_dir() or (isinstance(content, dict) and (
        is_decathlon(content) or "dataset" in content or "layout" in content))


def _show(found: Evaluation) -> None:
    its = found.summary
    console.show(case_scores_table(found.cases))
    console.show(anomaly_table(its))
    for words in in_words(its):
        console.show(words)
    if its.without_truth:
        console.show(f"Note: nothing is known of {many(len(its.without_truth), 'predicted case')}: {some(its.without_truth)}.")
    if its.without_score:
        console.show(f"Note: {many(len(its.without_score), 'case')} of which the truth is known "
                     f"{'has' if len(its.without_score) == 1 else 'have'} no score: {some(its.without_score)}.")
    if its.failed:
        console.show(failures_table(its.failed))


def _absent(summary: Summary) -> list[str]:
    """Names of the classes that occur in no reference."""
    cases = [case.metrics for case in summary.metric_per_case]
    return [summary.names.get(key, key) for key in summary.mean if not any(metrics[key]["n_ref"] for metrics in cases)]
