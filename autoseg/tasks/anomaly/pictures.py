"""Slices as matplotlib draws them: panels of a case, and samples of a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.plotting import new_figure, save_png
from autoseg.workspace import FoldFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SLICE_IN = 2.2  # edge of a slice in a panel
SAMPLE_IN = 1.0  # edge of a sample
COLUMNS = ("real", "generated", "difference")
SAMPLES = "samples"  # folder of a fold


def panels_png(fold: FoldFolder, case: str) -> Path:
    """Return where the panels of a validation case are stored."""
    return fold.validation / "panels" / f"{case}.png"


def samples_png(fold: FoldFolder, epochs_done: int) -> Path:
    """Return where what the generator gave after so many epochs is stored."""
    return fold.root / SAMPLES / f"epoch_{epochs_done:05d}.png"


def draw_panels(path: Path, real: np.ndarray, generated: np.ndarray, titles: Sequence[str], title: str) -> None:
    """Draw a PNG with a row for each slice: real, generated, and how far they are apart, in one colour scale for all rows.

    real, generated: (N, C, S, S) float, values -1 to 1, N at least 1. titles: one for each slice. title: of the sheet.
    The difference is the mean over the channels of |real - generated|, 0 to 2.
    """
    difference = np.abs(np.asarray(real, np.float32) - np.asarray(generated, np.float32)).mean(axis=1)
    count = len(real)
    figure = new_figure(3 * SLICE_IN + 1.0, count * (SLICE_IN + 0.3) + 0.6)
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
    save_png(path, figure)


def draw_samples(path: Path, images: np.ndarray, title: str) -> None:
    """Draw a PNG with the images in rows, about as many as columns. images: (N, C, S, S) float, values -1 to 1, N at least 1."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    figure = new_figure(columns * SAMPLE_IN, rows * SAMPLE_IN + 0.4, layout)
    figure.suptitle(title, fontsize=9, parse_math=False)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image in zip(places, images, strict=False):
        show_slice(axes, image)
    for axes in places[len(images):]:
        axes.set_axis_off()
    save_png(path, figure)


def show_slice(axes: Axes, image: np.ndarray) -> None:
    """Show one slice (C, S, S), values -1 to 1: gray for one channel, colour for three, else the channels' mean in gray."""
    axes.set_axis_off()
    shown = np.clip((np.asarray(image, np.float32) + 1) / 2, 0, 1)
    if len(shown) == 3:
        axes.imshow(np.moveaxis(shown, 0, -1), interpolation="nearest")
    else:
        axes.imshow(shown.mean(axis=0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
