"""Cases spread over several processes, each with a device and networks of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import apply_rules_later
from autoseg.errors import AutosegError
from autoseg.image_io import files_of
from autoseg.parallel import Crew, Outcome, Work

if TYPE_CHECKING:
    from autoseg.inference.cases import Spread
    from autoseg.inference.choice import Chosen
    from autoseg.inference.inputs import PredictionInput
    from autoseg.inference.prediction import CaseProgress
    from autoseg.workspace import ModelFolder


@dataclass(frozen=True)
class Opening:
    """All that a process needs to open the models that another has opened, and to predict into the same folder. folds, options:
    as the task's `open_models` takes them."""

    chosen: Chosen
    folds: Sequence[str] | None
    options: Any
    folder: Path
    overwrite: bool
    quiet: bool

    def __call__(self, device: str) -> Work[PredictionInput]:
        """Open the models on a device, and return what predicts cases with them. Raises AutosegError as `open_models`."""
        from autoseg.inference.cases import Handed

        with console.progress("", quiet=True):  # the other process has said what there is to say of the models
            prediction = tasks.task_of(self.chosen.task).prediction.open_models(
                self.chosen, self.folds, self.options, device, apply_rules_later)

        def work(cases: Iterator[PredictionInput], tell: Any) -> Iterator[Outcome[PredictionInput]]:
            with console.progress("", self.quiet):
                yield from prediction.predict_files(
                    Handed(cases), self.folder, self.overwrite, lambda case, share: tell((case, share)))

        return work


@dataclass(frozen=True)
class GateOpening:
    """All that a process needs to score images as a gate that another process has opened. percentile: None for the usual."""

    model: ModelFolder
    percentile: float | None
    quiet: bool

    def __call__(self, device: str) -> Work[PredictionInput]:
        """Open the gate on a device, and return what scores cases. Raises AutosegError as the task's `open_gate`."""
        gate = tasks.task_with_gate().gate.open_gate(self.model, self.percentile, device)

        def work(cases: Iterator[PredictionInput], tell: Any) -> Iterator[Outcome[PredictionInput]]:
            with console.progress("", self.quiet):
                yield from gate.score(cases, lambda case, share: tell((case, share)))

        return work


def spread(
    inputs: Sequence[PredictionInput], devices: Sequence[str], opening: Opening | GateOpening, progress: CaseProgress
) -> Sequence[PredictionInput] | Spread:
    """Return the cases as they are for one device, else to be worked on by a process for each device.

    Cases with the largest files come first, so that no process has a large one left when the others are done. progress: gets that
    of all. When they are worked on, AutosegError is raised where the models can be opened on none of the devices.
    """
    if len(devices) == 1:
        return inputs
    from autoseg.inference.cases import Spread

    def heed(told: Any) -> None:
        if isinstance(told, AutosegError):
            console.show_unless_quiet(f"Warning: one process less: {told}")
        else:
            progress(*told)

    return Spread(inputs, lambda cases: Crew(opening, devices, sorted(cases, key=file_bytes, reverse=True), heed).outcomes())


def file_bytes(case: PredictionInput) -> int:
    """Return the size of a case's files; those that are gone count nothing."""
    return sum(file.stat().st_size for image in case.images for file in files_of(image) if file.exists())
