"""Levels in files: a locator opened for `autoseg_predict`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.device import resolve_device
from autoseg.errors import AutosegError
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput
from autoseg.inference.prediction import CaseProgress, Prediction
from autoseg.parallel import Outcome
from autoseg.settings import parse_settings
from autoseg.tasks.localization.locator import Locator
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.localization.options import PredictOptions
from autoseg.tasks.localization.outputs import locate_files, output_folder

if TYPE_CHECKING:
    from rich.table import Table


class LocalizationPrediction(Prediction):
    """One locator."""

    done = "searched"

    def __init__(self, locator: Locator, crop_mm: float | None) -> None:
        self.locator, self.crop_mm, self.plans = locator, crop_mm, locator.description.plans
        self.doing = f"Looking for {self.plans.target.name} in"
        self.one_file_each = self.plans.source.layout == "folders"

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.locator.description.channel_names

    def in_words(self, chosen: Chosen) -> str:
        locator, plans, threshold = self.locator, self.plans, self.locator.settings.threshold
        return "\n".join([
            f"Locator, on {locator.device}: {locator.locator.in_words} ({chosen.members[0].root})",
            f"Why: {chosen.why}",
            f"Looks for: {plans.target.name}, along {plans.axis}; found where the confidence is {threshold:g} or more"])

    def check_output(self, folder: Path, overwrite: bool) -> None:
        output_folder(self.locator, folder, overwrite)

    def predict_files(
        self, inputs: Sequence[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        return locate_files(self.locator, inputs, folder, overwrite, self.crop_mm)

    def made(self, written: int, extra: int) -> str:
        also = " and locations.csv" if self.crop_mm is None else f", locations.csv and {extra} image(s) in crops/"
        return f"{written} picture(s){also}"

    def table(self, rows: Sequence[Any]) -> Table | None:
        from autoseg.tasks.localization.tables import locations_table

        return locations_table(list(rows), self.plans.target.name, self.plans.axis)

    def notes(self, rows: Sequence[Any]) -> list[str]:
        absent = [row.case for row in rows if not row.found]
        return [f"Not found in {len(absent)} of {len(rows)} images: {', '.join(absent)}"] if absent else []


def open_models(
    chosen: Chosen, folds: Sequence[str] | None, options: PredictOptions, device: str, apply_rules: object = None
) -> LocalizationPrediction:
    """Return the chosen locator on a device, "auto", "cpu", "cuda", ... Raises AutosegError where the folder holds none, or has
    no such folds, or a setting is wrong."""
    crop_mm = options.crop_mm
    if crop_mm is not None and not (math.isfinite(crop_mm) and crop_mm >= 0):
        raise AutosegError(f"A crop of {crop_mm:g} mm was asked for. Give its thickness, or 0 for the found slice alone.")
    target = resolve_device(device)
    loaded = load_locator(chosen.members[0], folds, target)
    return LocalizationPrediction(
        Locator(loaded, target, parse_settings(list(options.settings), loaded.description.location)), crop_mm)
