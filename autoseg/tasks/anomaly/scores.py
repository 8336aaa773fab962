"""Scores of slices and cases, as prediction and validation write them: `slice_scores.csv` and `scores.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from autoseg.evaluation.csv_table import Row
from autoseg.evaluation.roc import Truth

SHARE_OF_SLICES = 0.1  # the highest tenth of a case's slices makes its score
SCORES, SLICE_SCORES = "scores.csv", "slice_scores.csv"
AGAIN = "Remove the file, and run the command that wrote it again: autoseg_predict, or autoseg_train with --continue."


class SliceScore(Row):
    """One slice. slice: its index, from 0, along the axis that it was cut along, in the file's own order. score: (1 - λ) residual
    + λ discrimination, both sums (Schlegl et al. 2017); None for a slice of one value everywhere, which is not scored.
    steps: updates of the search. truth: None where it is not known. axis: of the image's array (Z, Y, X) that the case was cut
    along: 0, 1 or 2; None where that was not recorded.
    """

    remedy: ClassVar[str] = AGAIN

    slice: int
    score: float | None
    residual: float | None
    discrimination: float | None
    steps: int
    truth: Truth | None = None
    axis: int | None = Field(None, ge=0, le=2)

    @property
    def about(self) -> str:
        return f"{super().about}, slice {self.slice}"


class CaseScore(Row):
    """One case. score: mean over the highest tenth of its slices (one at least), as an anomaly may lie in a few only. mean: over
    all. highest, highest_slice: the largest, and where. slices: that were scored. truth: None where it is not known."""

    remedy: ClassVar[str] = AGAIN

    score: float
    mean: float
    highest: float
    highest_slice: int
    slices: int
    truth: Truth | None = None


def case_score(slices: Sequence[SliceScore], truth: Truth | None = None) -> CaseScore:
    """Return the score of a case from its slices, of which one at least was scored. truth: of the case, where it is known."""
    scored = sorted(((entry.score, entry.slice) for entry in slices if entry.score is not None), reverse=True)
    values = np.array([score for score, _ in scored])
    top = max(1, round(SHARE_OF_SLICES * len(values)))
    return CaseScore(
        case=slices[0].case, score=float(values[:top].mean()), mean=float(values.mean()), highest=float(values[0]),
        highest_slice=scored[0][1], slices=len(values), truth=truth)
