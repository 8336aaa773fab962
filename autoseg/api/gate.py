"""The gate of a prediction: which images are unlike those that an anomaly detector was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg import console
from autoseg.errors import many
from autoseg.workspace import ModelFolder

if TYPE_CHECKING:
    from autoseg.inference.inputs import PredictionInput
    from autoseg.tasks.anomaly.detector import AnomalyDetector
    from autoseg.tasks.anomaly.gate import Threshold


@dataclass(frozen=True)
class GateResult:
    """flagged: cases that are unlike what the detector was trained on, or that it could not score, with the reason. cases: that
    went through. threshold: the score above which one is flagged, and where it comes from, in words. path: of `gate.csv`.
    """

    flagged: dict[str, str]
    cases: int
    threshold: str
    path: Path


@dataclass(frozen=True)
class OpenedGate:
    """A detector that is ready, and the score above which it flags a case."""

    detector: AnomalyDetector
    threshold: Threshold


def open_gate(folder: Path, percentile: float | None, device: str, quiet: bool) -> OpenedGate:
    """The detector of a folder with its threshold. Raises AutosegError where it is none, or has no scores of normal cases."""
    from autoseg.device import resolve_device
    from autoseg.inference.checkpoints import require_task
    from autoseg.tasks.anomaly.detector import AnomalyDetector
    from autoseg.tasks.anomaly.gate import PERCENTILE, threshold_of
    from autoseg.tasks.anomaly.model import load_detector

    model, target = ModelFolder(folder), resolve_device(device)
    require_task(model, "anomaly", flag="--gate")
    loaded = load_detector(model, device=target)
    threshold = threshold_of(model, loaded.folds, PERCENTILE if percentile is None else percentile)
    if not quiet:
        description = loaded.description
        called = f"{description.dataset}, {description.called}, fold {' '.join(loaded.folds)}"
        console.show(f"Gate: {called} ({folder}); it flags images that score above {threshold.in_words}")
        if threshold.warning:
            console.show(f"Note: {threshold.warning}")
    most_slices = loaded.description.settings.get("validation_slices")
    return OpenedGate(AnomalyDetector(loaded, target, most_slices=most_slices), threshold)


def pass_gate(
    opened: OpenedGate, inputs: Sequence[PredictionInput], output: Path, overwrite: bool, quiet: bool
) -> GateResult:
    """Score every case, into `gate.csv`; one that has a row by the same gate keeps it."""
    from autoseg.tasks.anomaly.gate import CSV_NAME, gate_files

    flagged, done = {}, 0
    with console.progress(f"Gate: scoring {many(len(inputs), 'image')}", quiet) as report:

        def progress(case: str, share: float) -> None:
            report((done + share) / len(inputs), f"case {case}")

        for row in gate_files(opened.detector, opened.threshold, inputs, output, overwrite, progress):
            done += 1
            report(done / len(inputs), f"case {row.case}")
            if row.flagged:
                flagged[row.case] = row.reason
    return GateResult(flagged, len(inputs), opened.threshold.in_words, output / CSV_NAME)
