"""A classifier's validation on the page: numbers beside the baselines, ROC and calibration curves, and the worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from autoseg.errors import AutosegError
from autoseg.evaluation.confidence import proportion_interval
from autoseg.evaluation.roc import RocBand, RocCurve, roc_band, roc_curve
from autoseg.reporting.artefacts import model_if_there, read_if_there
from autoseg.reporting.blocks import Block, Figure, Table, Text, figures
from autoseg.reporting.figures import Reliable, reliability, roc_lines
from autoseg.tasks.classification.evaluation import methods_of, read_validated
from autoseg.tasks.classification.explained import EXPLAINED, Explained
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.plan import UNKNOWN, Target
from autoseg.tasks.classification.rows import MAJORITY, Validated, ValidatedRow
from autoseg.tasks.classification.summary import ANSWER, Bin, ClassSummary, cross_calibrated, summarize
from autoseg.tasks.classification.tables import MEASURES, in_words, measured
from autoseg.wording import MISSING, with_interval
from autoseg.workspace import FoldFolder, ModelFolder, read_model

WORST = 20
MOST_CURVES = 6


@dataclass(frozen=True)
class Results:
    """The rows of a fold's validation, the model that they are of, and what explains them, where that is there."""

    description: ClassifierDescription
    rows: list[ValidatedRow]
    explained: Explained | None = None


def read_results(fold: FoldFolder, troubles: list[str]) -> Results | None:
    """Read the rows of a fold's validation; None where there is none."""
    model = ModelFolder(fold.root.parent)
    if not fold.summary_json.exists() or not model.model_json.exists():
        return None
    try:
        description = read_model(model.model_json, ClassifierDescription)
    except AutosegError:
        return None  # told where the model is read
    rows = read_if_there(troubles, fold.summary_json, lambda _: read_validated(description, fold))
    return Results(description, rows, model_if_there(troubles, fold.validated(EXPLAINED), Explained)) if rows else None


def pooled_of(folds: Sequence[Results]) -> ClassSummary:
    """Return the results of these folds together."""
    return summarize(folds[0].description.plans.target, _together(folds))


def _together(folds: Sequence[Results]) -> Validated:
    description = folds[0].description
    return Validated(description.plans.target, methods_of(description), [of.rows for of in folds])


def results_of(name: str, its: ClassSummary, folds: Sequence[Results]) -> list[Block]:
    """Show numbers, curves and the worst cases of all folds together."""
    methods = list(its.numbers)
    rows = []
    for title, field in MEASURES.items():
        found = [measured(of, field) for of in its.numbers.values()]
        if any(one is not None for one in found):
            rows.append([title, *(MISSING if one is None else with_interval(one.value, one.interval) for one in found)])
    blocks: list[Block] = [Table("How well the classes are predicted (95 % interval, by patients)", ("", *methods), rows),
                           *(Text(said) for said in in_words(its))]
    if its.confusion:
        blocks.append(Table("True class (rows) and predicted class (columns)", ("", *its.classes), [
            [true, *map(str, line)] for true, line in zip(its.classes, its.confusion, strict=True)]))
    blocks += figures(
        Figure("ROC: each threshold's true and false positives (band: 95 % interval, by patients)", _roc(
            name, folds[0].description.plans.target, _together(folds))),
        Figure("Calibration: the share that is true, of cases of about the same probability (95 % interval)", reliability(
            f"Calibration of {name}", [_point(bin_) for bin_ in its.reliability if bin_.cases])))
    wrong = [[one.case, str(one.fold), one.true, one.told, f"{one.probability:.3f}"] for one in its.wrong[:WORST]]
    if wrong:
        columns = ("case", "fold", "true", "predicted", "probability")
        blocks.append(Table("The most certain errors", columns, wrong, frozenset({2, 3})))
    return blocks


def _point(its: Bin) -> Reliable:
    low, high = proportion_interval(round(its.share * its.cases), its.cases)
    return Reliable(its.probability, its.share, low, high, its.cases)


def _roc(name: str, target: Target, rows: Validated) -> Markup:
    """Draw the curves of the second of two classes, of the classifier and of what it is compared with; else of each class."""
    found, patients = cross_calibrated(target, rows)[0], np.unique(rows.patients, return_inverse=True)[1]
    chosen = {ANSWER: (found, 1)} | {method: (of, 1) for method, of in rows.others.items() if method != MAJORITY} \
        if target.is_binary else {label: (found, index) for index, label in enumerate(target.classes[:MOST_CURVES])}
    lines, bands = dict[str, RocCurve](), dict[str, RocBand]()
    for line, (of, index) in chosen.items():
        truth = rows.truth[:, index] if target.kind == "labels" else (rows.truth[:, 0] == index).astype(int)
        known = truth != UNKNOWN
        if len(set(truth[known].tolist())) < 2:
            continue
        lines[line] = roc_curve(of[known, index], truth[known] == 1)
        if line == ANSWER or not target.is_binary:
            bands[line] = roc_band(of[known, index], truth[known] == 1, patients[known])
    return roc_lines(f"{name}, {target.name}", lines, bands)
