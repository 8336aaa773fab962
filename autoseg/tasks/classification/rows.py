"""`classes.csv`: a row for each case with the probability of each class, in new images and in the validation of a fold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from pydantic import create_model

from autoseg.evaluation.csv_table import Row
from autoseg.tasks.classification.plan import UNKNOWN, Target

CLASSES = "classes.csv"
AGAIN = "Remove the file, and run the command that wrote it again: autoseg_predict, or autoseg_train with --continue."
PROBABILITY, PREDICTED = "p_", "predicted"
MAJORITY = "majority"
METHODS = ("images alone", "covariates alone", "mean intensity", MAJORITY)  # beside the answer


class ClassRow(Row):
    """A case that was classified. Each target has rows of its own: a field p_<class> for each class, and `predicted`, of labels
    predicted_<label>, yes or no. Another process can be given one: there, the class is made from what it was made from here."""

    remedy: ClassVar[str] = AGAIN
    made_of: ClassVar[tuple[bool, tuple[str, ...]]]  # arguments of `_answer_kind`

    def __reduce__(self) -> tuple[Any, ...]:
        return _answer_again, (*self.made_of, self.model_dump())


def answer_kind(target: Target) -> type[ClassRow]:
    """Return the class of the rows of what is predicted."""
    return _answer_kind(target.kind == "labels", target.classes)


@lru_cache(maxsize=32)
def _answer_kind(are_labels: bool, classes: tuple[str, ...]) -> type[ClassRow]:
    predicted = [f"{PREDICTED}_{name}" for name in classes] if are_labels else [PREDICTED]
    fields: dict[str, Any] = dict.fromkeys(predicted, (str, ...)) | {f"{PROBABILITY}{name}": (float, ...) for name in classes}
    kind = create_model("AnswerRow", __base__=ClassRow, **fields)
    kind.made_of = (are_labels, classes)
    return kind


def _answer_again(are_labels: bool, classes: tuple[str, ...], values: dict[str, Any]) -> ClassRow:
    return _answer_kind(are_labels, classes).model_validate(values)


def answer_row(case: str, target: Target, found: np.ndarray, thresholds: Sequence[float]) -> ClassRow:
    """Return the row of a case. found: (K,) probabilities. thresholds: see `decided`."""
    chosen = decided(found[None], target, thresholds)[0]
    predicted = ({f"{PREDICTED}_{name}": "yes" if value else "no" for name, value in zip(target.classes, chosen, strict=True)}
                 if target.kind == "labels" else {PREDICTED: target.classes[chosen[0]]})
    values = {f"{PROBABILITY}{name}": round(float(value), 5) for name, value in zip(target.classes, found, strict=True)}
    return answer_kind(target).model_validate({"case": case, **predicted, **values})


def decided(found: np.ndarray, target: Target, thresholds: Sequence[float] = ()) -> np.ndarray:
    """Return the classes that are told, (N, 1), or labels, (N, L) of 0 and 1. found: (N, K) probabilities.

    thresholds: of the second of two classes, or of each label: told from there on; without them, and of more classes, the most
    probable class, and labels from one half on.
    """
    if target.kind == "labels":
        return (found >= np.asarray(thresholds or [0.5] * found.shape[1])).astype(int)
    if target.is_binary and thresholds:
        return (found[:, 1:] >= thresholds[0]).astype(int)
    return found.argmax(1)[:, None]


class ValidatedRow(Row):
    """A case of a fold's validation, by a network that was not trained on it. patient: whose cases belong together. Each target
    has rows of its own: true_0, or of labels true_<number> each (-1 where not known); logit_<number>, and the like of each of
    `METHODS` that there is: log_<method>_<class>, logarithms of probabilities."""

    remedy: ClassVar[str] = AGAIN

    patient: str


def validated_kind(target: Target, methods: Sequence[str]) -> type[ValidatedRow]:
    """Return the class of the rows of a validation."""
    return _validated_kind(len(target.classes) if target.kind == "labels" else 1, target.outputs, len(target.classes),
                           tuple(methods))


@lru_cache(maxsize=32)
def _validated_kind(truths: int, outputs: int, classes: int, methods: tuple[str, ...]) -> type[ValidatedRow]:
    fields: dict[str, Any] = {f"true_{index}": (int, ...) for index in range(truths)}
    fields |= {f"logit_{index}": (float, ...) for index in range(outputs)}
    fields |= {f"{method}_{index}": (float, ...) for method in methods for index in range(classes)}
    return create_model("ValidatedRow", __base__=ValidatedRow, **fields)


class Validated:
    """The validated cases of one fold or of several, as arrays.

    cases, patients: names. fold: (N,) of each. truth: (N, 1) classes or (N, L) labels. logits: (N, outputs). others: by method,
    (N, K) probabilities.
    """

    def __init__(self, target: Target, methods: Sequence[str], folds: Sequence[Sequence[ValidatedRow]]) -> None:
        rows = [row for of_fold in folds for row in of_fold]
        content = [row.model_dump() for row in rows]

        def columns(names: Sequence[str], dtype: type) -> np.ndarray:
            return np.array([[row[name] for name in names] for row in content], dtype).reshape(len(rows), len(names))

        truths = len(target.classes) if target.kind == "labels" else 1
        self.cases, self.patients = [row.case for row in rows], [row.patient for row in rows]
        self.fold = np.repeat(np.arange(len(folds)), [len(of_fold) for of_fold in folds])
        self.truth = columns([f"true_{index}" for index in range(truths)], int)
        self.logits = columns([f"logit_{index}" for index in range(target.outputs)], float)
        self.others = {method: columns([f"{method}_{index}" for index in range(len(target.classes))], float)
                       for method in methods}


def validated_row(
    case: str, patient: str, target: Target, logits: np.ndarray, others: dict[str, np.ndarray]
) -> ValidatedRow:
    """Return the row of a validated case. logits: (outputs,). others: by method, (K,) probabilities."""
    fields: dict[str, Any] = {"case": case, "patient": patient}
    fields |= {f"true_{index}": value for index, value in enumerate(target.of_case.get(case, (UNKNOWN,)))}
    fields |= {f"logit_{index}": round(float(value), 5) for index, value in enumerate(logits)}
    fields |= {f"{method}_{index}": round(float(value), 6) for method, values in others.items()
               for index, value in enumerate(values)}
    return validated_kind(target, tuple(others)).model_validate(fields)
