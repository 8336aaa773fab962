"""The gate of a prediction: which images are unlike those that another model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api import tasks
from autoseg.errors import many
from autoseg.workspace import ModelFolder

if TYPE_CHECKING:
    from autoseg.inference.inputs import PredictionInput


@dataclass(frozen=True)
class GateResult:
    """flagged: cases that are unlike what the gate's model was trained on, or that it could not score, with the reason. cases:
    that went through. threshold: the score above which one is flagged, and where it comes from, in words. path: of the table."""

    flagged: dict[str, str]
    cases: int
    threshold: str
    path: Path


@dataclass(frozen=True)
class OpenedGate:
    """A model that is ready to flag cases. part: the gate that its task opened."""

    part: Any

    @classmethod
    def at(cls, folder: Path, percentile: float | None, device: str, quiet: bool) -> OpenedGate:
        """Open the gate of a model's folder. Raises AutosegError where its task has no gate, or no score to compare with."""
        from autoseg.inference.checkpoints import require_task

        task = next(task for task in tasks.TASKS if task.gate is not None)
        require_task(ModelFolder(folder), task.info.name, flag="--gate")
        part = task.gate.open_gate(ModelFolder(folder), percentile, device)
        if not quiet:
            for line in part.in_words:
                console.show(line)
        return cls(part)

    def flag(self, inputs: Sequence[PredictionInput], output: Path, overwrite: bool, quiet: bool) -> GateResult:
        """Score every case, into a table; one that has a row by the same gate keeps it."""
        flagged, done = {}, 0
        with console.progress(f"Gate: scoring {many(len(inputs), 'image')}", quiet) as report:

            def progress(case: str, share: float) -> None:
                report((done + share) / len(inputs), f"case {case}")

            for row in self.part.flag_files(inputs, output, overwrite, progress):
                done += 1
                report(done / len(inputs), f"case {row.case}")
                if row.flagged:
                    flagged[row.case] = row.reason
        return GateResult(flagged, len(inputs), self.part.threshold.in_words, output / self.part.table)
