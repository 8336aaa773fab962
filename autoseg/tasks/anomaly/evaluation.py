"""How well anomaly scores tell abnormal from normal: of a folder against what is known, and of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autoseg.console import Report
from autoseg.dataset import Labels, find_dataset, load_dataset
from autoseg.errors import many, some
from autoseg.evaluation.csv_table import columns_of
from autoseg.evaluation.summary import labels_beside
from autoseg.evaluation.tables import failures_table
from autoseg.layouts import has_labelled_folders, image_files, is_decathlon
from autoseg.plan import Frozen
from autoseg.task import Evaluated
from autoseg.tasks.anomaly.evaluate import Evaluation, evaluate_scores
from autoseg.tasks.anomaly.figure import draw_scores
from autoseg.tasks.anomaly.reference import Reference, references_of_dataset, references_of_labels, references_of_table
from autoseg.tasks.anomaly.scores import SCORES, CaseScore, SliceScore, read_scores, read_slice_scores
from autoseg.tasks.anomaly.summary import AnomalySummary, summarize, write_summary
from autoseg.tasks.anomaly.tables import anomaly_table, case_scores_table, in_words
from autoseg.workspace import ModelFolder, Workspace, read_json


def holds(prediction: Path) -> bool:
    """Tell whether a folder holds what an anomaly detector predicted, by its scores.csv, as far as that is not the table of
    another task: an evaluation of segmentations writes one where `-o` says scores.json."""
    path = prediction / SCORES
    if not path.is_file():
        return False
    columns = columns_of(path)
    return not columns or "score" in columns


def evaluate(
    reference: str, prediction: Path, labels: Labels | None, output: Path, options: Frozen, place: Workspace,
    workers: int | None, report: Report,
) -> Evaluated:
    """Measure how well the anomaly scores of a folder tell abnormal from normal, and whether its maps show where.

    reference: a dataset (folder, name or number) with case_labels, folders normal and abnormal, or label files; a folder of
    label files, abnormal where they hold foreground; or a CSV file with the columns case, truth (normal or abnormal) and perhaps
    slice. labels: whose ignore label counts for nothing in a folder of label files. output: JSON file; the figure of the scores,
    `scores.png`, lies beside it. Raises AutosegError where nothing can be compared.
    """
    found = evaluate_scores(prediction, _references(reference, prediction, labels, place), workers, report)
    figure = output.with_name("scores.png")
    write_summary(output, found.summary)
    draw_scores(figure, found, f"Anomaly scores in {prediction}")
    its = found.summary
    return Evaluated(its, (output, figure), tuple(_shown(found)), len(its.failed),
                     its.cases.normal + its.cases.abnormal + its.cases.unknown)


def validation_scores(model: ModelFolder, folds: Iterable[int | str]) -> tuple[list[CaseScore], list[SliceScore]]:
    """Return the scores of the cases and slices that these folds validated on. Raises AutosegError where a file is missing or
    damaged."""
    places = [model.fold(fold) for fold in folds]
    cases = [row for place in places for row in read_scores(place.scores_csv)]
    return cases, [row for place in places for row in read_slice_scores(place.slice_scores_csv)]


def pooled(model: ModelFolder, folds: int) -> AnomalySummary:
    """Return the pooled results of a detector whose folds are all complete; written to the model's summary.json.

    Every case counts once, as the fold that did not train on it scored it. Each fold has networks of its own, whose scores differ
    a little in scale: a pooled AUROC is rather too low than too high.
    """
    summary = summarize(*validation_scores(model, range(folds)))
    write_summary(model.summary_json, summary)
    return summary


def shown(summary: AnomalySummary) -> list[Any]:
    """Return the results of a validation for a terminal."""
    return [anomaly_table(summary)]


def result(summary: AnomalySummary) -> str:
    """Return the results of a fold in a few words."""
    return "AUROC not known" if summary.cases.auroc is None else f"AUROC of cases {summary.cases.auroc:.3f}"


def _references(truth: str, prediction: Path, labels: Labels | None, place: Workspace) -> dict[str, Reference]:
    """Return what is known of cases, in whichever of its forms it was given."""
    if Path(truth).is_file():
        return references_of_table(Path(truth))
    if Path(truth).is_dir() and image_files(Path(truth)) and not _is_dataset(Path(truth)):
        known = labels or labels_beside(Path(truth), prediction)
        return references_of_labels(Path(truth), known.ignore if known else None)
    return references_of_dataset(load_dataset(find_dataset(truth, place)))


def _is_dataset(folder: Path) -> bool:
    """Tell whether a folder with image files is a dataset beside which they lie. A dataset.json without cases may lie among label
    files to say what their values mean (see `labels_beside`)."""
    if not (folder / "dataset.json").is_file():
        return has_labelled_folders(folder)
    content = read_json(folder / "dataset.json")
    return (folder / "imagesTr").is_dir() or (isinstance(content, dict) and (
        is_decathlon(content) or "dataset" in content or "layout" in content))


def _shown(found: Evaluation) -> list[Any]:
    its = found.summary
    notes: list[Any] = [case_scores_table(found.cases), anomaly_table(its), *in_words(its)]
    if its.without_truth:
        notes.append(f"Note: nothing is known of {many(len(its.without_truth), 'predicted case')}: {some(its.without_truth)}.")
    if its.without_score:
        notes.append(f"Note: {many(len(its.without_score), 'case')} of which the truth is known "
                     f"{'has' if len(its.without_score) == 1 else 'have'} no score: {some(its.without_score)}.")
    return [*notes, *([failures_table(its.failed)] if its.failed else [])]
