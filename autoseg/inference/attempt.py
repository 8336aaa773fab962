"""What becomes of one case among many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from autoseg.errors import AutosegError
from autoseg.inference.inputs import PredictionInput
from autoseg.inference.memory import free_memory
from autoseg.parallel import Outcome

Value = TypeVar("Value")


def attempt(item: PredictionInput, function: Callable[[], Value | None]) -> Outcome[PredictionInput]:
    """The outcome of one case: its faults, and its disk's and memory's, stop no other case."""
    try:
        return Outcome(item, value=function())
    except AutosegError as error:
        return Outcome(item, error=error)
    except MemoryError:
        return Outcome(item, error=AutosegError(
            f"{item}: memory ran out while it was read or preprocessed ({free_memory()}). Close other programs, or "
            "use a machine with more memory."))
    except OSError as error:
        return Outcome(item, error=AutosegError(f"{item}: {error}."))
