"""A gate before a segmentation: images that are unlike what a detector was trained on are flagged. None is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.device import resolve_device
from autoseg.errors import AutosegError, many
from autoseg.evaluation.csv_table import Row, read_rows, write_rows
from autoseg.inference.cases import Spread, attempt
from autoseg.inference.inputs import PredictionInput, read_input, require_complete
from autoseg.inference.prediction import CaseProgress
from autoseg.parallel import Outcome
from autoseg.plan import Frozen
from autoseg.provenance import GATED, OutputFolder
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.scores import SCORES, CaseScore
from autoseg.workspace import ModelFolder

PERCENTILE = 99.0
FEWEST_CASES = 20  # a percentile of fewer is not much more than the highest of them
CSV_NAME = "gate.csv"


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
        """Return what the user should know of it."""
        if self.cases >= FEWEST_CASES:
            return None
        return (f"the gate's threshold comes from {many(self.cases, 'normal validation case')}. Fewer than {FEWEST_CASES} say "
                "little about how far normal scores reach.")


class GatedCase(Row):
    """A row of `gate.csv`. score: None where the case could not be scored; problem: why. highest_slice: index of the slice with
    the highest score, along the axis that was cut."""

    score: float | None
    threshold: float
    flagged: bool
    highest_slice: int | None = None
    problem: str | None = None

    @property
    def reason(self) -> str:
        """Return why it is flagged, in words."""
        return self.problem or f"score {self.score:.4g}, above {self.threshold:.4g}; highest in slice {self.highest_slice}"


def threshold_of(folder: ModelFolder, folds: Sequence[str], percentile: float = PERCENTILE) -> Threshold:
    """Take the threshold from the validation of a detector's folds: each normal case counts once, as the fold that did
    not train on it scored it.

    percentile: above 0, at most 100. Raises AutosegError where it is not, and where there is no score of a normal case.
    """
    if not 0 < percentile <= 100:
        raise AutosegError(f"--gate-percentile is {percentile:g}, but a percentile lies above 0 and is 100 at most.")
    files = [folder.fold(fold).validated(SCORES) for fold in folds]
    normal = [row.score for file in files if file.exists() for row in read_rows(file, CaseScore) if row.truth == "normal"]
    if not normal:
        raise AutosegError(
            f"{folder.root} has no validation scores of normal cases, which a gate takes its threshold from. Train a fold to its "
            "end with autoseg_train, on a dataset with cases that are normal as a whole: by case_labels in dataset.json, in a "
            "folder normal, or all of them by --normal all.")
    return Threshold(score=float(np.percentile(normal, percentile)), percentile=percentile, cases=len(normal))


@dataclass(frozen=True)
class Gate:
    """A detector that is ready, and the score above which it flags a case. table: the name of the file that it writes.

    detector: with as many slices of a case at most as its validation took.
    """

    detector: AnomalyDetector
    threshold: Threshold
    in_words: tuple[str, ...]
    table = CSV_NAME

    def flag_files(
        self, inputs: Sequence[PredictionInput] | Spread, folder: Path, overwrite: bool = False,
        progress: CaseProgress | None = None,
    ) -> Iterator[GatedCase]:
        """Score cases before they are segmented; yield a row for each. `gate.csv` is written at the end.

        A case that has a row by the same detector and threshold keeps it, unless `overwrite`, and comes first; one that cannot be
        scored is flagged with the reason. Raises AutosegError where the folder cannot be written.
        """
        origin = self.detector.origin(most_slices=self.detector.most_slices, threshold=self.threshold)
        outputs = OutputFolder(folder, origin, overwrite, GATED, refuses_others=False)
        outputs.require_own_tables(CSV_NAME)
        rows: dict[str, GatedCase] = {}
        try:
            waiting = []
            for item in inputs:
                if (there := self._earlier(item, outputs)) is not None:
                    rows[item.name] = there
                    yield there
                else:
                    waiting.append(item)
            outcomes = inputs.elsewhere(waiting) if isinstance(inputs, Spread) and waiting[1:] else self.score(waiting, progress)
            for outcome in outcomes:
                rows[outcome.item.name] = row = self._noted(outcome, outputs)
                yield row
        finally:
            if rows:
                known = {name: GatedCase.model_validate(result) for name, result in outputs.results.items()} | rows
                write_rows(folder / CSV_NAME, GatedCase, [known[name] for name in sorted(known)])

    def score(
        self, items: Iterable[PredictionInput], progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        """Yield the outcome of each case, whose value is its row."""
        return (attempt(item, partial(self._score, item, progress)) for item in items)

    def _earlier(self, item: PredictionInput, outputs: OutputFolder) -> GatedCase | None:
        """Return the row that an earlier run left of a case."""
        entry = None if item.problem else outputs.made(item.name, item.images, is_file=False)
        return None if entry is None or entry.result is None else GatedCase.model_validate(entry.result)

    def _noted(self, outcome: Outcome[PredictionInput], outputs: OutputFolder) -> GatedCase:
        """Take note of the outcome of a case, and return its row."""
        item = outcome.item
        if outcome.error is not None:
            problem = str(outcome.error)
            row = GatedCase(case=item.name, score=None, threshold=self.threshold.score, flagged=True, problem=problem)
            outputs.fail(item.name, problem, row)
        else:
            row = outcome.value
            outputs.note(item.name, item.images, row)
        return row

    def _score(self, item: PredictionInput, progress: CaseProgress | None) -> GatedCase:
        require_complete(item)
        progress_of_case = None if progress is None else partial(progress, item.name)
        case = self.detector.score_image(read_input(item), item.name, progress_of_case).case
        return GatedCase(case=item.name, score=case.score, threshold=self.threshold.score,
                         flagged=case.score > self.threshold.score, highest_slice=case.highest_slice)


def open_gate(folder: ModelFolder, percentile: float | None, device: str) -> Gate:
    """Return a detector with its threshold, and what to say of both. percentile: None for 99.

    Raises AutosegError where the folder holds no detector, or one without scores of normal cases.
    """
    target = resolve_device(device)
    loaded = load_detector(folder, device=target)
    threshold = threshold_of(folder, loaded.folds, PERCENTILE if percentile is None else percentile)
    said = [f"Gate: {loaded.in_words} ({folder.root}); it flags images that score above {threshold.in_words}"]
    said += [f"Note: {threshold.warning}"] if threshold.warning else []
    most_slices = loaded.description.settings.get("validation_slices")
    return Gate(AnomalyDetector(loaded, target, most_slices=most_slices), threshold, tuple(said))
