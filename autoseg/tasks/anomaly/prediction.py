"""Anomaly scores and maps of files: a detector opened for `autoseg_predict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.device import device_in_words, resolve_device
from autoseg.errors import many
from autoseg.evaluation.csv_table import write_rows
from autoseg.image import Image
from autoseg.image_io import file_ending, float_ending, write_image
from autoseg.inference.cases import Written, predict_cases
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.inference.prediction import Answer, CaseProgress, Prediction
from autoseg.inference.unlike import unlike_training
from autoseg.parallel import Outcome
from autoseg.plan import Frozen
from autoseg.provenance import OutputFolder
from autoseg.settings import chosen_settings
from autoseg.tasks.anomaly.detector import AnomalyDetector, ScoredCase
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.options import PredictOptions
from autoseg.tasks.anomaly.pictures import draw_panels
from autoseg.tasks.anomaly.scores import SCORES, SLICE_SCORES, CaseScore, SliceScore

if TYPE_CHECKING:
    from rich.table import Table


PANELS = "panels"  # folder in the output folder
SHOWN = 3  # slices of a case's panels


class Scores(Frozen):
    """The scores of a case that the record of the folder holds."""

    case: CaseScore
    slices: tuple[SliceScore, ...]


def draw_highest(path: Path, scored: ScoredCase) -> None:
    """Draw panels (PNG) of the slices with the highest scores, at most three."""
    rows = scored.highest(SHOWN)
    titles = [f"slice {scored.slices[row].slice}, score {scored.slices[row].score:.4g}" for row in rows]
    case = scored.case
    draw_panels(path, scored.real[rows], scored.generated[rows], titles, f"{case.case}: score {case.score:.4g}")


class AnomalyPrediction(Prediction):
    """One detector."""

    doing, done = "Scoring", "scored"
    subfolders = (PANELS,)
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
            f"Detector, on {device_in_words(detector.device)}: {detector.detector.in_words} ({chosen.members[0].shown})",
            f"Why: {chosen.why}",
            f"Search: {search.search_steps} updates at most, {many(search.restarts, 'start')}, from {starts}; lambda "
            f"{search.lambda_:g}"])

    def _warnings(self, image: Image) -> tuple[str, ...]:
        plans = self.detector.description.plans
        return unlike_training(image, plans.images, [window is not None for window in plans.windows])

    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        outputs = OutputFolder(folder, self.detector.origin(), overwrite)
        outputs.claim_tables(SCORES, SLICE_SCORES)
        return outputs

    def predict_files(
        self, inputs: Iterable[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        """Write `<folder>/<case><ending>`, the map of each case, and panels.

        The ending is that of the case's image, as far as floating point can be kept in it. The tables `scores.csv` and
        `slice_scores.csv` are written at the end, from the record of the folder: they hold what other commands scored with the
        same detector, too.
        """
        outputs = self.outputs(folder, overwrite)

        def map_path(item: PredictionInput) -> Path:
            return folder / f"{item.name}{float_ending(file_ending(item.images[0]))}"

        def panels_path(item: PredictionInput) -> Path:
            return folder / PANELS / f"{item.name}.png"

        def earlier(item: PredictionInput) -> Written | None:
            entry = outputs.made(map_path(item).name, item.images)
            if entry is None or entry.result is None or not panels_path(item).exists():
                return None
            return Written(map_path(item), Scores.model_validate(entry.result).case, was_there=True, warnings=entry.warnings)

        def score(item: PredictionInput) -> Written:
            outputs.require_own(map_path(item).name, panels_path(item))
            image = read_input(item)
            scored = self.detector.score_image(image, item.name, None if progress is None else partial(progress, item.name))
            if scored.anomaly_map is None:
                raise ValueError("a detector that writes maps searches all slices")
            scores = Scores(case=scored.case, slices=tuple(scored.slices))
            warnings = self._warnings(image)
            with outputs.writing(map_path(item).name, item.images, scores, warnings) as path:
                draw_highest(panels_path(item), scored)
                write_image(path, scored.anomaly_map, like=image)  # last: where it is, the panels are
            return Written(map_path(item), scored.case, warnings=warnings)

        try:
            yield from predict_cases(inputs, outputs, lambda item: map_path(item).name, earlier,
                                     lambda waiting: ((item, partial(score, item)) for item in waiting))
        finally:
            found = sorted(map(Scores.model_validate, outputs.results.values()), key=lambda scores: scores.case.case)
            if found:
                write_rows(folder / SLICE_SCORES, SliceScore, [row for scores in found for row in scores.slices])
                write_rows(folder / SCORES, CaseScore, [scores.case for scores in found])

    def predict_image(self, image: Image, case: str, probabilities: bool = False) -> Answer:
        self.without_probabilities(probabilities)
        scored = self.detector.score_image(image, case)
        return Answer(None if scored.anomaly_map is None else scored.anomaly_map[0], row=scored.case,
                      warnings=self._warnings(image))

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
    return AnomalyPrediction(AnomalyDetector(loaded, target, chosen_settings(options.settings, loaded.description.search)))
