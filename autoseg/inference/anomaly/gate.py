"""A gate before a segmentation: images that are unlike what a detector was trained on are flagged. None is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError, many
from autoseg.evaluation.anomaly.scores import read_scores
from autoseg.evaluation.csv_table import write_rows
from autoseg.inference.anomaly.detector import AnomalyDetector
from autoseg.inference.anomaly.outputs import CaseProgress, origin_of_detector
from autoseg.inference.attempt import attempt
from autoseg.inference.inputs import PredictionInput, read_input, require_complete
from autoseg.inference.record import Origin, identity
from autoseg.plan import Frozen
from autoseg.workspace import ModelFolder, read_model, write_json

PERCENTILE = 99.0
FEWEST_CASES = 20  # a percentile of fewer is not much more than the highest of them
CSV_NAME, RECORD_NAME = "gate.csv", "autoseg_gate.json"


class Threshold(Frozen):
    """The score above which a case is flagged: a percentile of the scores of `cases` normal validation cases."""

    score: float
    percentile: float
    cases: int

    @property
    def in_words(self) -> str:
        return f"{self.score:.4g} (percentile {self.percentile:g} of {many(self.cases, 'normal validation case')})"

    @property
    def warning(self) -> str | None:
        """What the user should know of it."""
        if self.cases >= FEWEST_CASES:
            return None
        return (f"the gate's threshold comes from {many(self.cases, 'normal validation case')}. Fewer than {FEWEST_CASES} say "
                "little about how far normal scores reach.")


class GatedCase(Frozen):
    """A row of `gate.csv`. score: None where the case could not be scored; problem: why. highest_slice: index of the slice with
    the highest score, along the axis that was cut."""

    case: str
    score: float | None
    threshold: float
    flagged: bool
    highest_slice: int | None = None
    problem: str | None = None

    @property
    def reason(self) -> str:
        """Why it is flagged, in words."""
        return self.problem or f"score {self.score:.4g}, above {self.threshold:.4g}; highest in slice {self.highest_slice}"


class GateRecord(Frozen):
    """`autoseg_gate.json`. images: case to what its files were ("path, bytes, time of change" each)."""

    origin: Origin
    most_slices: int | None
    threshold: Threshold
    cases: dict[str, GatedCase] = {}
    images: dict[str, tuple[str, ...]] = {}


def threshold_of(folder: ModelFolder, folds: Sequence[str], percentile: float = PERCENTILE) -> Threshold:
    """From the validation of a detector's folds: each normal case once, as the fold that did not train on it scored it.

    percentile: above 0, at most 100. Raises AutosegError where it is not, and where there is no score of a normal case.
    """
    if not 0 < percentile <= 100:
        raise AutosegError(f"--gate-percentile is {percentile:g}, but a percentile lies above 0 and is 100 at most.")
    files = [folder.fold(fold).scores_csv for fold in folds]
    normal = [row.score for file in files if file.exists() for row in read_scores(file) if row.truth == "normal"]
    if not normal:
        raise AutosegError(
            f"{folder.root} has no validation scores of normal cases, which a gate takes its threshold from. Train a fold to its "
            "end with autoseg_train, on a dataset with cases that are normal as a whole: by case_labels in dataset.json, in a "
            "folder normal, or all of them by --normal all.")
    return Threshold(score=float(np.percentile(normal, percentile)), percentile=percentile, cases=len(normal))


class Gate:
    """Scores cases before they are segmented, into `gate.csv`; a second run scores what has no score yet."""

    def __init__(self, detector: AnomalyDetector, threshold: Threshold, output_folder: Path, overwrite: bool) -> None:
        """detector: with as many slices of a case at most as its validation took. overwrite: score anew what is asked for;
        the same gate's rows of other cases stay."""
        self.threshold, self._overwrite = threshold, overwrite
        self._detector, self._folder = detector, output_folder
        self._record = GateRecord(origin=origin_of_detector(detector), most_slices=detector.most_slices, threshold=threshold)
        there = output_folder / RECORD_NAME
        if there.exists():
            earlier = read_model(there, GateRecord)
            if earlier.model_copy(update={"cases": {}, "images": {}}) == self._record:
                self._record = earlier

    def score_files(self, inputs: Sequence[PredictionInput], progress: CaseProgress | None = None) -> Iterator[GatedCase]:
        """A row for each case. One that cannot be scored is flagged with the reason. Raises AutosegError where the folder cannot
        be written."""
        for item in inputs:
            row = self._earlier(item) or self._scored(item, progress)
            self._write(item, row)
            yield row

    def _earlier(self, item: PredictionInput) -> GatedCase | None:
        row = None if self._overwrite else self._record.cases.get(item.name)
        is_scored = row is not None and row.problem is None and item.problem is None
        return row if is_scored and self._record.images.get(item.name) == identity(item.images) else None

    def _scored(self, item: PredictionInput, progress: CaseProgress | None) -> GatedCase:
        outcome = attempt(item, partial(self._score, item, progress))
        if outcome.error is not None:
            return GatedCase(case=item.name, score=None, threshold=self.threshold.score, flagged=True, problem=str(outcome.error))
        row: GatedCase = outcome.value
        return row

    def _score(self, item: PredictionInput, progress: CaseProgress | None) -> GatedCase:
        require_complete(item)
        report = None if progress is None else partial(progress, item.name)
        case = self._detector.score_image(read_input(item), item.name, report).case
        return GatedCase(case=item.name, score=case.score, threshold=self.threshold.score,
                         flagged=case.score > self.threshold.score, highest_slice=case.highest_slice)

    def _write(self, item: PredictionInput, row: GatedCase) -> None:
        if self._record.cases.get(item.name) == row and (self._folder / CSV_NAME).exists():
            return
        cases, images = {**self._record.cases, item.name: row}, dict(self._record.images)
        if row.problem is None:
            images[item.name] = identity(item.images)
        self._record = self._record.model_copy(update={"cases": cases, "images": images})
        write_json(self._folder / RECORD_NAME, self._record)
        write_rows(self._folder / CSV_NAME, GatedCase, [cases[name] for name in sorted(cases)])
