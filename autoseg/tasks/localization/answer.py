"""The step from a network's response to one row: where it is strongest, and how much stronger than anywhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TIE = 1e-6  # strengths that differ by less are alike: of these, the middle one


@dataclass(frozen=True)
class Answer:
    """row: of the strongest response, between rows. confidence: 0 to 1, its strength less that of the strongest one elsewhere."""

    row: float
    confidence: float


def answer_of(response: np.ndarray, band: float) -> Answer:
    """Find where a band of so many rows fits best into a response.

    response: (rows,) float, mean probability of each row. The response summed over the band's height is highest at some row; the
    answer is the response's centre of mass within one height of it (a parabola through three rows would see but its top), and
    where the band does not fit into the projection, the middle of the whole band.
    Confidence: the mean response within the band there, less the highest such mean of rows that are farther away than its
    height; in a projection without such rows, less the mean response beside the band, and 0 where there is nothing beside it.
    """
    rows = len(response)
    strength = np.array([_mean_within(response, row, band) for row in range(rows)])
    highest = np.flatnonzero(strength >= strength.max() - TIE)
    peak = int(highest[len(highest) // 2])
    distance = np.abs(np.arange(rows) - peak)
    near, far, beside = response * (distance <= band), strength[distance > band], response[distance > band / 2]
    rest = float(far.max()) if len(far) else float(beside.mean()) if len(beside) else 1.0
    row = _as_of_whole_band(float(np.arange(rows) @ near / near.sum()), rows, band) if near.sum() > 0 else float(peak)
    return Answer(row, float(np.clip(strength[peak] - rest, 0, 1)))


def _as_of_whole_band(centre: float, rows: int, band: float) -> float:
    """Return the row of a band of which the projection's end cuts a part off, from the centre of mass of what is left: a band
    around row r reaches to r + band/2, so that of what begins at -1/2 the middle is (r + band/2 - 1/2) / 2."""
    free = band / 2 - 0.5  # the first row around which a whole band fits
    if rows <= band:
        return centre
    if centre < free:
        return max(-0.5, 2 * centre - free)
    last = rows - 1 - free
    return min(rows - 0.5, 2 * centre - last) if centre > last else centre


def coverage(rows: int, row: float, band: float) -> np.ndarray:
    """Return (rows,) float64: the share of each row that a band of height `band` around `row` covers."""
    each = np.arange(rows)
    covered: np.ndarray = np.clip(np.minimum(each + 0.5, row + band / 2) - np.maximum(each - 0.5, row - band / 2), 0, 1)
    return covered


def _mean_within(response: np.ndarray, row: int, band: float) -> float:
    covered = coverage(len(response), row, band)
    return float(response @ covered / max(covered.sum(), 1e-9)) if covered.any() else 0.0
