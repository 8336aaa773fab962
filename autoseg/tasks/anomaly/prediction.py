"""Anomaly scores and maps of files: a detector opened for `autoseg_predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.device import resolve_device
from autoseg.errors import many
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput
from autoseg.inference.prediction import CaseProgress, Prediction
from autoseg.parallel import Outcome
from autoseg.settings import parse_settings
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.options import PredictOptions
from autoseg.tasks.anomaly.outputs import output_folder, score_files

if TYPE_CHECKING:
    from rich.table import Table


class AnomalyPrediction(Prediction):
    """One detector."""

    doing, done = "Scoring", "scored"
    compare_with = ("TRUTH", "where you know which are abnormal; -h says how to give it")

    def __init__(self, detector: AnomalyDetector) -> None:
        self.detector = detector
        self.one_file_each = detector.description.plans.source.layout == "folders"

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.detector.description.channel_names

    def in_words(self, chosen: Chosen) -> str:
        detector, search = self.detector, self.detector.search
        starts = "the encoder's proposal" if detector.description.has_encoder and search.start != "random" else "random proposals"
        return "\n".join([
            f"Detector, on {detector.device}: {detector.detector.in_words} ({chosen.members[0].root})",
            f"Why: {chosen.why}",
            f"Search: {search.search_steps} updates at most, {many(search.restarts, 'start')}, from {starts}; lambda "
            f"{search.lambda_:g}"])

    def check_output(self, folder: Path, overwrite: bool) -> None:
        output_folder(self.detector, folder, overwrite)

    def predict_files(
        self, inputs: Sequence[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        return score_files(self.detector, inputs, folder, overwrite, progress)

    def made(self, written: int, extra: int) -> str:
        return f"{written} anomaly map(s), scores.csv, slice_scores.csv and panels/"

    def table(self, rows: Sequence[Any]) -> Table | None:
        from autoseg.tasks.anomaly.tables import case_scores_table

        return case_scores_table(rows)


def open_models(
    chosen: Chosen, folds: Sequence[str] | None, options: PredictOptions, device: str, apply_rules: object = None
) -> AnomalyPrediction:
    """Return the chosen detector on a device, "auto", "cpu", "cuda", ... Raises AutosegError where the folder holds none, or has
    no such folds, or a setting is wrong."""
    target = resolve_device(device)
    loaded = load_detector(chosen.members[0], folds, target)
    return AnomalyPrediction(AnomalyDetector(loaded, target, parse_settings(list(options.settings), loaded.description.search)))
