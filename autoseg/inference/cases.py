"""Cases predicted one by one: what an earlier run finished stays, and the faults of one case stop no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from autoseg.device import is_out_of_memory
from autoseg.errors import AutosegError, OutOfMemory
from autoseg.inference.inputs import PredictionInput, require_complete
from autoseg.parallel import Outcome, free_memory_bytes
from autoseg.provenance import OutputFolder

Value = TypeVar("Value")
Shape = tuple[int, ...]
Prepared = Iterable[tuple[PredictionInput, Callable[[], Value]]]


@dataclass(frozen=True)
class Written:
    """The files of one case that a prediction wrote. path: the main file. row: of the table of all cases, where there is one.
    extra: a further file. was_there: whether an earlier run of the same models and options had made all of it. warnings: why the
    result may be wrong, one sentence each (see `inference/unlike.py`)."""

    path: Path
    row: Any = None
    extra: Path | None = None
    was_there: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spread:
    """Cases that are to be predicted by several processes. elsewhere: has cases predicted by them, of which nothing is there yet,
    and yields their outcomes."""

    cases: Sequence[PredictionInput]
    elsewhere: Callable[[Sequence[PredictionInput]], Iterator[Outcome[PredictionInput]]]

    def __iter__(self) -> Iterator[PredictionInput]:
        return iter(self.cases)


@dataclass(frozen=True)
class Handed:
    """Cases that another process hands to this one, one by one: nothing of them is there yet, and that process takes note of
    those that fail."""

    cases: Iterator[PredictionInput]

    def __iter__(self) -> Iterator[PredictionInput]:
        return self.cases


def predict_cases(
    inputs: Iterable[PredictionInput], outputs: OutputFolder, output_of: Callable[[PredictionInput], str],
    earlier: Callable[[PredictionInput], Value | None], predict: Callable[[Iterable[PredictionInput]], Prepared[Value]],
    at_once: int = 1,
) -> Iterator[Outcome[PredictionInput]]:
    """Yield what became of each case: first those that are there already or cannot be predicted, then the others in order.

    outputs: the folder whose record takes note of failures. output_of: name of a case's output. earlier: what an earlier run left
    of a case, or None. predict: gives each waiting case with the function that predicts and writes it, lazily, so that the next
    case may be prepared while one is predicted. Where that function returns a future, the case is still being predicted or
    written, and its outcome follows once `at_once` more cases are under way. inputs: a sequence, `Spread` or `Handed`.
    """
    if isinstance(inputs, Handed):
        yield from _predict_each(predict(inputs), at_once)
        return
    waiting: list[PredictionInput] = []
    for item in inputs:
        found = attempt(item, partial(_earlier, item, earlier))
        if found.error or found.value:
            yield _noted(found, outputs, output_of)
        else:
            waiting.append(item)
    for outcome in inputs.elsewhere(waiting) if isinstance(inputs, Spread) and waiting[1:] else _predict_each(
            predict(waiting), at_once):
        yield _noted(outcome, outputs, output_of)


def _predict_each(prepared: Prepared[Value], at_once: int) -> Iterator[Outcome[PredictionInput]]:
    """Yield the outcome of each case once it is written, in order; so many may be under way behind the one that is begun."""
    under_way = deque[Outcome[PredictionInput]]()
    for item, make in prepared:
        under_way.append(attempt(item, make))
        while len(under_way) > at_once or (under_way and not isinstance(under_way[0].value, Future)):
            yield _written(under_way.popleft())
    while under_way:
        yield _written(under_way.popleft())


def _written(outcome: Outcome[PredictionInput]) -> Outcome[PredictionInput]:
    """Return the outcome of a case once it is written."""
    return attempt(outcome.item, outcome.value.result) if isinstance(outcome.value, Future) else outcome


def _earlier(item: PredictionInput, earlier: Callable[[PredictionInput], Value | None]) -> Value | None:
    require_complete(item)
    return earlier(item)


def _noted(
    outcome: Outcome[PredictionInput], outputs: OutputFolder, output_of: Callable[[PredictionInput], str]
) -> Outcome[PredictionInput]:
    """Return the outcome; a failure is appended to the record, unless a file of the case is there that stays."""
    if outcome.error is not None and not (outputs.folder / (output := output_of(outcome.item))).exists():
        outputs.fail(output, str(outcome.error))
    return outcome


def attempt(item: PredictionInput, function: Callable[[], Value | None]) -> Outcome[PredictionInput]:
    """Return the outcome of one case: its faults, and its disk's and memory's, are an error of this case alone."""
    try:
        return Outcome(item, value=function())
    except AutosegError as error:
        return Outcome(item, error=error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = "a device's memory" if isinstance(error, torch.cuda.OutOfMemoryError) else "memory"
        return Outcome(item, error=OutOfMemory(
            f"{item}: {where} ran out while it was worked on ({free_memory()}). Close other programs, or use a machine with more "
            "memory."))
    except OSError as error:
        return Outcome(item, error=AutosegError(f"{item}: {error}."))


def free_memory() -> str:
    """Return how much memory is free, in words."""
    return f"{free_memory_bytes() / 2**30:.1f} GiB are free"


@contextmanager
def memory_errors_named(case: str, shapes: Sequence[Shape], device: torch.device) -> Iterator[None]:
    """Turn a failed allocation inside the block into an AutosegError that names the case.

    shapes: (C, Z, Y, X) of the case as each model of an ensemble sees it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = f"memory ran out ({free_memory()})" if device.type == "cpu" else f"{device} ran out of memory"
        remedy = "Close other programs, or predict it on a machine with more memory"
        if len(shapes) > 1:
            remedy += f", or with one of the {len(shapes)} models alone (-m)"
        raise OutOfMemory(f"case {case}: {where} while it was predicted (preprocessed shape "
                           f"{', '.join(map(str, dict.fromkeys(shapes)))}). {remedy}.") from error

