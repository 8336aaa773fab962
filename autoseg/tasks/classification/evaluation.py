"""Evaluation of classifiers: of a folder of answers, compared with the true classes, and of a cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from autoseg.console import ShowProgress
from autoseg.dataset import Labels, find_dataset, load_dataset
from autoseg.errors import AutosegError, some
from autoseg.evaluation.csv_table import columns_of, read_rows
from autoseg.files import write_json
from autoseg.groups import patients_of
from autoseg.plan import Frozen
from autoseg.provenance import holds_model, require_replaceable
from autoseg.task import Evaluated
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.options import PlanOptions
from autoseg.tasks.classification.plan import UNKNOWN, Target
from autoseg.tasks.classification.rows import (
    CLASSES,
    METHODS,
    PREDICTED,
    PROBABILITY,
    ClassRow,
    Validated,
    ValidatedRow,
    answer_kind,
    validated_kind,
)
from autoseg.tasks.classification.sheets import number_of, read_sheet
from autoseg.tasks.classification.summary import ANSWER, ClassSummary, summarize, summary_of
from autoseg.tasks.classification.tables import in_words, numbers_table
from autoseg.tasks.classification.targets import read_targets
from autoseg.workspace import FoldFolder, ModelFolder, Workspace, read_model

CHANCE = 0.5
SUMMARY = ClassSummary


def holds(prediction: Path) -> bool:
    """Tell whether a folder holds what a classifier told, by its table."""
    return any(column.startswith(PREDICTED) for column in columns_of(prediction / CLASSES))


def evaluate(
    reference: str, prediction: Path, labels: Labels | None, output: Path, options: Frozen, place: Workspace,
    workers: int | None, report: ShowProgress,
) -> Evaluated:
    """Measure how well the answers of a folder tell the classes.

    reference: a table with the column case and that of the classes, or a dataset (folder, name or number) with targets. labels,
    workers: not needed. Raises AutosegError where nothing can be compared.
    """
    require_replaceable(output, lambda path: holds_model(path, ClassSummary))
    sheet = read_sheet(prediction / CLASSES)
    classes = tuple(column.removeprefix(PROBABILITY) for column in sheet.columns if column.startswith(PROBABILITY))
    are_labels = PREDICTED not in sheet.columns
    target = _true(reference, classes, are_labels, place)
    rows = {row.case: row for row in read_rows(prediction / CLASSES, answer_kind(target))}
    both = sorted(rows.keys() & target.of_case.keys())
    if not both:
        raise AutosegError(f"Nothing is known of any case in {prediction / CLASSES}: it has "
                           f"{some(sorted(rows)) or 'no case'}; what "
                           f"is known is of {some(sorted(target.of_case))}. Give the classes of the cases that were predicted.")
    summary = _compared(target, [rows[case] for case in both])
    write_json(output, summary)
    said = _unknown(rows.keys() - {*both}, target.of_case.keys() - {*both})
    return Evaluated(summary, (output,), (numbers_table(summary), *said), 0, len(both))


def _unknown(without_truth: set[str], without_answer: set[str]) -> list[str]:
    said = [f"Without a true class, and not counted: {some(sorted(without_truth))}."] if without_truth else []
    return said + ([f"Not predicted, and not counted: {some(sorted(without_answer))}."] if without_answer else [])


def _true(reference: str, classes: tuple[str, ...], are_labels: bool, place: Workspace) -> Target:
    """Return the true classes of a table or a dataset, as numbers of the classes that were predicted."""
    if Path(reference).is_file():
        sheet = read_sheet(Path(reference))
        columns = [name for name in sheet.columns if name in classes] if are_labels else [
            name for name in sheet.columns if {text for text in sheet.column(name).values() if text} <= {*classes}]
        if not columns or (not are_labels and len(columns) > 1):
            raise AutosegError(f"{reference} has {'several columns' if columns else 'no column'} that hold only the classes that "
                               f"were predicted ({', '.join(classes)}): {', '.join(columns or sheet.columns) or 'none'}. Give a "
                               "table of case and the true class.")
        of_case = {}
        for case in sheet.rows:
            texts = [sheet.column(name)[case] for name in columns]
            if are_labels:
                values = dict(zip(columns, map(number_of, texts), strict=True))
                of_case[case] = tuple(UNKNOWN if (value := values.get(name)) is None else int(value > 0) for name in classes)
            elif texts[0]:
                of_case[case] = (classes.index(texts[0]),)
        return Target(kind="labels" if are_labels else "classes", name=", ".join(columns), classes=classes, of_case=of_case)
    dataset = load_dataset(find_dataset(reference, place))
    known = read_targets(dataset, PlanOptions(target=classes if are_labels else ())).target
    if missing := sorted(set(known.classes) ^ set(classes)):
        raise AutosegError(f"{reference} has the classes {some(known.classes)}, but {some(classes)} were predicted "
                           f"({some(missing)} differ). Give a table of case and the true class.")
    order = [classes.index(name) for name in known.classes]
    return known.model_copy(update={"classes": classes, "of_case": known.of_case if are_labels else {
        case: (order[values[0]],) for case, values in known.of_case.items()}})


def _compared(target: Target, rows: list[ClassRow]) -> ClassSummary:
    """Sum up answers as they were written: their probabilities, and what they tell."""
    content = [row.model_dump() for row in rows]
    found = np.array([[row[f"{PROBABILITY}{name}"] for name in target.classes] for row in content])
    truth = np.array([target.of_case[row.case] for row in rows])
    told = (np.array([[row[f"{PREDICTED}_{name}"] == "yes" for name in target.classes] for row in content]).astype(int)
            if target.kind == "labels" else np.array([[target.classes.index(row[PREDICTED])] for row in content]))
    names = [row.case for row in rows]
    patients = _numbered(names, {})
    return summary_of(target, names, patients, np.zeros(len(rows), int), truth, {ANSWER: (found, told)})


def _numbered(names: list[str], declared: dict[str, str]) -> np.ndarray:
    groups = patients_of(names, declared).groups(names)
    of = {case: number for number, group in enumerate(groups) for case in group}
    return np.array([of[name] for name in names])


def methods_of(description: ClassifierDescription) -> tuple[str, ...]:
    """Return what a model is compared with in the validation of its folds."""
    has = {"images alone": description.shape.images_alone, "covariates alone": bool(description.plans.covariates)}
    return tuple(name for name in METHODS if has.get(name, True))


def read_validated(description: ClassifierDescription, fold: FoldFolder) -> list[ValidatedRow]:
    """Return the rows of a fold's validation. Raises AutosegError where the file is missing or damaged."""
    kind = validated_kind(description.plans.target, methods_of(description))
    return list(read_rows(fold.validated(CLASSES), kind))


def pooled(model: ModelFolder, folds: int) -> ClassSummary:
    """Return the pooled results of a classifier whose folds are all complete; written to the model's summary.json, and what turns
    logits into answers about new images to its model.json.

    Every case counts once, as the fold that did not train on it saw it. Raises AutosegError where a fold's file is missing or
    damaged.
    """
    description = read_model(model.model_json, ClassifierDescription)
    rows = Validated(description.plans.target, methods_of(description),
                     [read_validated(description, model.fold(fold)) for fold in range(folds)])
    summary = summarize(description.plans.target, rows)
    write_json(model.summary_json, summary)
    if description.calibration != summary.calibration:
        write_json(model.model_json, description.model_copy(update={"calibration": summary.calibration}))
    return summary


def failings(summary: ClassSummary) -> dict[str, str]:
    """Return in a sentence what a classifier with these results does not do: tell the classes apart."""
    area = summary.numbers[ANSWER].mean_auroc.value if ANSWER in summary.numbers else None
    if area is None or area > CHANCE:
        return {}
    return {"": f"The probabilities do not tell the classes apart: their AUROC is {area:.3f}, and {CHANCE} is chance. Train "
                "longer, or look whether the targets belong to the cases"}


def shown(summary: ClassSummary) -> list[Any]:
    """Return the results of a validation for a terminal."""
    return [numbers_table(summary), *in_words(summary)]


def result(summary: ClassSummary) -> str:
    """Return the results of a fold in a few words."""
    its = summary.numbers[ANSWER]
    area = its.mean_auroc.value
    right = its.balanced_accuracy.value
    return ("AUROC not known" if area is None else f"AUROC {area:.3f}") + (
        "" if right is None else f", balanced accuracy {right:.3f}")
