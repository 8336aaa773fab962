"""A classifier's validation on the page: numbers beside the baselines, ROC and calibration curves, and the worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.errors import AutosegError
from autoseg.reporting.artefacts import read_if_there
from autoseg.reporting.blocks import Block, Figure, Table, Text, figures
from autoseg.reporting.figures import curves
from autoseg.tasks.classification.evaluation import methods_of, read_validated
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.rows import Validated, ValidatedRow
from autoseg.tasks.classification.summary import ClassSummary, summarize
from autoseg.tasks.classification.tables import MEASURES, in_words, measured
from autoseg.wording import MISSING, with_interval
from autoseg.workspace import FoldFolder, ModelFolder, read_model

WORST = 20


@dataclass(frozen=True)
class Results:
    """The rows of a fold's validation, and the model that they are of."""

    description: ClassifierDescription
    rows: list[ValidatedRow]


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
    return Results(description, rows) if rows else None


def pooled_of(folds: Sequence[Results]) -> ClassSummary:
    """Return the results of these folds together."""
    description = folds[0].description
    return summarize(description.plans.target, Validated(
        description.plans.target, methods_of(description), [of.rows for of in folds]))


def results_of(name: str, its: ClassSummary) -> list[Block]:
    """Show numbers, curves and the worst cases of all folds together."""
    methods = list(its.numbers)
    rows = []
    for title, field in MEASURES.items():
        found = [measured(of, field) for of in its.numbers.values()]
        if any(one is not None for one in found):
            rows.append([title, *(MISSING if one is None else with_interval(one.value, one.interval) for one in found)])
    blocks: list[Block] = [Table("How well the classes are told (95 % interval, by patients)", ("", *methods), rows),
                           *(Text(said) for said in in_words(its))]
    if its.confusion:
        blocks.append(Table("True class (rows) and what is told (columns)", ("", *its.classes), [
            [true, *map(str, line)] for true, line in zip(its.classes, its.confusion, strict=True)]))
    curve = {"classifier": ([bin_.probability for bin_ in its.reliability], [bin_.share for bin_ in its.reliability]),
             "honest": ([0.0, 1.0], [0.0, 1.0])}
    blocks += figures(Figure("Calibration: share that is true, over the "
                             "probability", curves(f"Calibration of {name}", curve, (0, 1))))
    wrong = [[one.case, str(one.fold), one.true, one.told, f"{one.probability:.3f}"] for one in its.wrong[:WORST]]
    if wrong:
        blocks.append(Table("The most certain errors", ("case", "fold", "true", "told", "probability"), wrong, frozenset({2, 3})))
    return blocks


