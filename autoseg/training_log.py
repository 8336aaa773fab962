"""The record of a fold's training, which training writes and the report reads.

`training.json`: settings and machines. `log.jsonl`: the results of each epoch, a line each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from autoseg.errors import AutosegError
from autoseg.files import parse_json, read_text_file, write_text
from autoseg.plan import Frozen


class TrainingRecord(Frozen):
    """The content of `training.json`. settings: those that the fold was started with. machines: those that trained it, one after
    the other, such as "NVIDIA H200 (CUDA 12.6), Linux". chosen: settings that the number of optimizer steps has decided, as the
    user left them open."""

    remedy: ClassVar[str] = "Train this fold again with --restart."

    settings: dict[str, Any]
    machines: tuple[str, ...]
    chosen: dict[str, Any] = {}


class Epoch(Frozen):
    """The results of one epoch. Losses are means over its batches; Dice is that of the online validation's patches, pooled.

    dice: by class; None where the class was neither there nor predicted. smoothed_dice: exponential moving average of
    the mean Dice, 0.9 to 0.1. learning_rate: in the epoch's last step. seconds: the epoch with its validation.
    """

    epoch: int
    learning_rate: float
    training_loss: float
    validation_loss: float | None
    dice: dict[str, float | None]
    mean_dice: float | None
    smoothed_dice: float | None
    seconds: float
    finished_at: str
    values: dict[str, float] = {}


def write_log(path: Path, history: list[Epoch]) -> None:
    """Write one JSON object per line and epoch."""
    write_text(path, "".join(json.dumps(epoch.model_dump()) + "\n" for epoch in history))


def read_log(path: Path) -> list[Epoch]:
    """Return the epochs of a fold so far; none where there is no file. Raises AutosegError where it is damaged."""
    if not path.exists():
        return []
    try:
        return [Epoch.model_validate(parse_json(line)) for line in read_text_file(path).splitlines()]
    except ValueError as error:  # pydantic's, too
        raise AutosegError(f"{path} is damaged ({str(error).splitlines()[0]}). Train this fold again with --restart.") from error
