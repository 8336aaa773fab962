"""Scores of slices and cases, as prediction and validation write them: `slice_scores.csv` and `scores.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from autoseg.plan import Frozen

SHARE_OF_SLICES = 0.1  # the highest tenth of a case's slices makes its score
Truth = Literal["normal", "abnormal"]


class SliceScore(Frozen):
    """One slice. slice: its index, from 0, along the axis that it was cut along, in the file's own order. score: (1 - λ) residual
    + λ discrimination, both sums (Schlegl et al. 2017); None for a slice of one value everywhere, which is not scored.
    steps: updates of the search. truth: None where it is not known.
    """

    case: str
    slice: int
    score: float | None
    residual: float | None
    discrimination: float | None
    steps: int
    truth: Truth | None = None


class CaseScore(Frozen):
    """One case. score: mean over the highest tenth of its slices (one at least), as an anomaly may lie in a few only. mean: over
    all. highest, highest_slice: the largest, and where. slices: that were scored. truth: None where it is not known."""

    case: str
    score: float
    mean: float
    highest: float
    highest_slice: int
    slices: int
    truth: Truth | None = None


def case_score(slices: Sequence[SliceScore], truth: Truth | None = None) -> CaseScore:
    """Of the slices of one case, of which one at least was scored. truth: of the case, where it is known."""
    scored = sorted(((entry.score, entry.slice) for entry in slices if entry.score is not None), reverse=True)
    values = np.array([score for score, _ in scored])
    top = max(1, round(SHARE_OF_SLICES * len(values)))
    return CaseScore(
        case=slices[0].case, score=float(values[:top].mean()), mean=float(values.mean()), highest=float(values[0]),
        highest_slice=scored[0][1], slices=len(values), truth=truth)
