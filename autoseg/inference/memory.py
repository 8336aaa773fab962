"""What is said where memory runs out during a prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from autoseg.device import is_out_of_memory
from autoseg.errors import AutosegError
from autoseg.parallel import free_memory_bytes

Shape = tuple[int, ...]


@contextmanager
def out_of_memory_is_told(case: str, shapes: Sequence[Shape], device: torch.device) -> Iterator[None]:
    """Inside the block, a failed allocation becomes an AutosegError that names the case.

    shapes: (C, Z, Y, X) of the case as each model of an ensemble sees it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise _memory_error(case, shapes, device) from error


def free_memory() -> str:
    """In words."""
    return f"{free_memory_bytes() / 2**30:.1f} GiB are free"


def _memory_error(case: str, shapes: Sequence[Shape], device: torch.device) -> AutosegError:
    where = f"memory ran out ({free_memory()})" if device.type == "cpu" else f"{device} ran out of memory"
    seen = ", ".join(map(str, dict.fromkeys(shapes)))
    remedy = "Close other programs, or predict it on a machine with more memory"
    if len(shapes) > 1:
        remedy += f", or with one of the {len(shapes)} models alone (-m)"
    return AutosegError(f"case {case}: {where} while it was predicted (preprocessed shape {seen}). {remedy}.")
