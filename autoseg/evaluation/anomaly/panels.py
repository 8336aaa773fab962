"""Slices beside the closest ones that the generator knows, as in Schlegl et al. (2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autoseg.evaluation.anomaly.pictures import show_slice
from autoseg.files import atomic_path

EDGE_IN = 2.2  # of a shown slice
COLUMNS = ("real", "generated", "difference")


def draw_panels(path: Path, real: np.ndarray, generated: np.ndarray, titles: Sequence[str], title: str) -> None:
    """A PNG with a row for each slice: real, generated, and how far they are apart, in one colour scale for all rows.

    real, generated: (N, C, S, S) float, values -1 to 1, N at least 1. titles: one for each slice. title: of the sheet.
    The difference is the mean over the channels of |real - generated|, 0 to 2.
    """
    difference = np.abs(np.asarray(real, np.float32) - np.asarray(generated, np.float32)).mean(axis=1)
    count = len(real)
    figure = Figure(figsize=(3 * EDGE_IN + 1.0, count * (EDGE_IN + 0.3) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, parse_math=False)
    rows = figure.subplots(count, 3, squeeze=False)
    highest = max(float(difference.max()), 1e-6)
    for row, image, explained, apart, name in zip(rows, real, generated, difference, titles, strict=True):
        show_slice(row[0], image)
        show_slice(row[1], explained)
        row[2].set_axis_off()
        drawn = row[2].imshow(apart, cmap="inferno", vmin=0, vmax=highest, interpolation="nearest")
        row[0].set_title(name, fontsize=9, loc="left", parse_math=False)
    for axes, column in zip(rows[0][1:], COLUMNS[1:], strict=True):
        axes.set_title(column, fontsize=9)
    figure.colorbar(drawn, ax=rows[:, 2].tolist(), label="|real - generated|", shrink=min(1.0, 1.6 / count + 0.2))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
