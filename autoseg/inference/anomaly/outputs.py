"""What a detector writes of the cases in a folder: maps, panels, scores of cases and slices. It goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.evaluation.anomaly.panels import draw_panels
from autoseg.evaluation.anomaly.scores import (
    SCORES,
    SLICE_SCORES,
    CaseScore,
    SliceScore,
    read_scores,
    read_slice_scores,
    write_scores,
    write_slice_scores,
)
from autoseg.image_io import file_ending, float_ending, write_image
from autoseg.inference.anomaly.detector import AnomalyDetector, ScoredCase
from autoseg.inference.attempt import attempt
from autoseg.inference.inputs import PredictionInput, read_input, require_complete
from autoseg.inference.record import ModelOrigin, Origin, RecordedFolder, networks_digest
from autoseg.parallel import Outcome
from autoseg.slices.plan import CONFIGURATION

SHOWN = 3  # slices of a case's panels

CaseProgress = Callable[[str, float], None]  # the case, and the share of it that is done, 0 to 1


@dataclass(frozen=True)
class WrittenMap:
    """A map on disk, and the case's scores. was_there: whether an earlier run of the same detector had made them."""

    path: Path
    score: CaseScore
    was_there: bool = False


class AnomalyFolder(RecordedFolder):
    """A folder of maps, with the scores of all of them in `scores.csv` and `slice_scores.csv`, and pictures in `panels`."""

    def __init__(self, folder: Path, origin: Origin, overwrite: bool) -> None:
        """overwrite: as in `RecordedFolder`: scores that this detector gave to other cases stay beside those that are made anew.
        Those of another detector or other settings go, all of them, before the first case; their maps and panels stay as files,
        but are in no table and no record, and a later run refuses them.

        Raises AutosegError as `RecordedFolder`, and without `overwrite` where scores are there that are damaged or of something
        else.
        """
        super().__init__(folder, origin, overwrite)
        self._cases: dict[str, CaseScore] = {}
        self._slices: dict[str, list[SliceScore]] = {}
        if not self.has_table(self._scores, self._slice_scores):
            return
        cases, slices = self.rows_of(self._read) or ([], [])
        self._cases = {score.case: score for score in cases}
        for row in slices:
            self._slices.setdefault(row.case, []).append(row)

    def _read(self) -> tuple[list[CaseScore], list[SliceScore]]:
        return read_scores(self._scores), read_slice_scores(self._slice_scores) if self._slice_scores.exists() else []

    @property
    def _scores(self) -> Path:
        return self.folder / SCORES

    @property
    def _slice_scores(self) -> Path:
        return self.folder / SLICE_SCORES

    def map_path(self, item: PredictionInput) -> Path:
        """The ending is that of the case's image, as far as floating point can be kept in it."""
        return self.folder / f"{item.name}{float_ending(file_ending(item.images[0]))}"

    def panels_path(self, item: PredictionInput) -> Path:
        return self.folder / "panels" / f"{item.name}.png"

    def made(self, item: PredictionInput) -> WrittenMap | None:
        """What an earlier run left of a case, if all of it is there. Raises AutosegError as `is_made`."""
        is_made = self.is_made(item, self.map_path(item)) and self.panels_path(item).exists() and item.name in self._slices
        score = self._cases.get(item.name)
        return WrittenMap(self.map_path(item), score, was_there=True) if is_made and score else None

    def write(self, item: PredictionInput, scored: ScoredCase, write_map: Callable[[Path], None]) -> WrittenMap:
        """All of a case; the map comes last: where it is, the others are. write_map: writes it to a path."""
        self.begin_file(item, self.map_path(item))
        self._cases[item.name], self._slices[item.name] = scored.case, scored.slices
        write_slice_scores(self._slice_scores, [row for case in sorted(self._slices) for row in self._slices[case]])
        write_scores(self._scores, [self._cases[case] for case in sorted(self._cases)])
        draw_highest(self.panels_path(item), scored)
        write_map(self.map_path(item))
        return WrittenMap(self.map_path(item), scored.case)


def draw_highest(path: Path, scored: ScoredCase) -> None:
    """Panels (PNG) of the slices with the highest scores, at most three."""
    rows = scored.highest(SHOWN)
    titles = [f"slice {scored.slices[row].slice}, score {scored.slices[row].score:.4g}" for row in rows]
    case = scored.case
    draw_panels(path, scored.real[rows], scored.generated[rows], titles, f"{case.case}: score {case.score:.4g}")


def score_files(
    detector: AnomalyDetector, inputs: Sequence[PredictionInput], output_folder: Path, overwrite: bool = False,
    progress: CaseProgress | None = None,
) -> Iterator[Outcome[PredictionInput]]:
    """Score cases one by one, with `<output_folder>/<case><ending>`, the map of each; yield what became of each.

    An outcome's value is `WrittenMap`; a case that fails stops no other. What an earlier run of the same detector made of the
    same files stays, unless `overwrite`. Raises AutosegError where the folder cannot be written or holds something else.
    """
    outputs = AnomalyFolder(output_folder, origin_of_detector(detector), overwrite)
    for item in inputs:
        yield attempt(item, partial(_score_file, detector, item, outputs, progress))


def _score_file(
    detector: AnomalyDetector, item: PredictionInput, outputs: AnomalyFolder, progress: CaseProgress | None
) -> WrittenMap:
    require_complete(item)
    if made := outputs.made(item):
        return made
    image = read_input(item)
    scored = detector.score_image(image, item.name, None if progress is None else partial(progress, item.name))
    anomaly_map = scored.anomaly_map
    if anomaly_map is None:
        raise ValueError("a detector that writes maps searches all slices")
    return outputs.write(item, scored, lambda path: write_image(path, anomaly_map, like=image))


def origin_of_detector(detector: AnomalyDetector) -> Origin:
    """What scores depend on besides the image."""
    description, loaded = detector.description, detector.detector
    model = ModelOrigin(
        dataset=description.dataset, configuration=CONFIGURATION, recipe=description.called, folds=loaded.folds,
        weights=networks_digest(network for networks in loaded.networks for network in networks), mirror_axes=())
    return Origin(models=(model,), search=detector.search)
