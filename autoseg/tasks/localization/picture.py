"""A projection with a locator's answer and the true level, and the response that the answer was taken from."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.plotting import BLUE, GRAY, VERMILION, new_figure, save_png
from autoseg.workspace import FoldFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_IN = (6.5, 5.0)  # (height, width) of the shown projection
PROFILE_IN, GAP_IN = 1.3, 0.15
LEFT_IN, RIGHT_IN, BELOW_IN, LEGEND_IN, LINE_IN = 0.6, 0.2, 0.5, 0.3, 0.2
LETTERS_PER_IN = 13  # of the title
DPI = 110


def picture_png(fold: FoldFolder, case: str) -> Path:
    """Return where the projection of a validation case, with the found line and the true one, is stored."""
    return fold.validation / "pictures" / f"{case}.png"


def draw_location(
    path: Path, projection: np.ndarray, response: np.ndarray | None, strongest_row: float | None, is_found: bool,
    true_row: float | None, title: str,
) -> None:
    """Draw a PNG: a projection's first channel in gray, its pixels square, with a line at either row; beside it the response.

    projection: (C, rows, columns) float in [-1, 1]. response: (rows,) float, 0 to 1; None for no profile. strongest_row: of the
    strongest response; true_row: of the level; both from 0, may lie between rows, None for no line. is_found: whether the
    strongest response counts as found; the line of one that does not is dotted, and called so. title: says it, too.
    """
    from matplotlib.ticker import MaxNLocator

    rows, columns = projection.shape[1:]
    scale = min(LARGEST_IN[0] / rows, LARGEST_IN[1] / columns)
    height, width = rows * scale, columns * scale
    beside = 0.0 if response is None else GAP_IN + PROFILE_IN
    whole_width = max(LEFT_IN + width + beside + RIGHT_IN, 3.6)
    lines = textwrap.wrap(title, int(whole_width * LETTERS_PER_IN)) or [""]
    whole_height = BELOW_IN + height + LEGEND_IN + LINE_IN * len(lines) + 0.1
    figure = new_figure(whole_width, whole_height, layout=None)
    figure.text(0.1 / whole_width, 1 - 0.1 / whole_height, "\n".join(lines), fontsize=10, va="top", parse_math=False)

    def place(left_in: float, width_in: float, shared: Axes | None = None) -> Axes:
        extent = (left_in / whole_width, BELOW_IN / whole_height, width_in / whole_width, height / whole_height)
        return figure.add_axes(extent, sharey=shared)

    shown = place(LEFT_IN, width)
    shown.imshow(projection[0], cmap="gray", vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    shown.set_ylabel("row")
    shown.set_xticks([])
    shown.yaxis.set_major_locator(MaxNLocator(nbins=int(np.clip(2 * height, 2, 8)), integer=True))
    _draw_rows(shown, strongest_row, is_found, true_row)
    if response is not None:
        profile = place(LEFT_IN + width + GAP_IN, PROFILE_IN, shown)
        _draw_profile(profile, response)
        _draw_rows(profile, strongest_row, is_found, true_row)
    shown.set_ylim(rows - 0.5, -0.5)
    figure.legend(*shown.get_legend_handles_labels(), loc="upper left", ncols=2, frameon=False, fontsize=9, borderaxespad=0,
                  bbox_to_anchor=(0.1 / whole_width, (BELOW_IN + height + LEGEND_IN - 0.03) / whole_height))
    save_png(path, figure, DPI)


def _draw_profile(axes: Axes, response: np.ndarray) -> None:
    axes.fill_betweenx(np.arange(len(response)), 0, response, color=GRAY, alpha=0.35, linewidth=0)
    axes.plot(response, np.arange(len(response)), color="black", linewidth=1)
    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"), xlabel="response")
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(labelleft=False)


def _draw_rows(axes: Axes, strongest_row: float | None, is_found: bool, true_row: float | None) -> None:
    """Draw both rows, the true one on top, dashed: both are seen where they coincide."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.6, foreground="white", alpha=0.6)]
    if strongest_row is not None:
        style, label = ("solid", "found") if is_found else ("dotted", "strongest, not found")
        axes.axhline(strongest_row, color=VERMILION, linewidth=1.5, linestyle=style, label=label, path_effects=halo)
    if true_row is not None:
        axes.axhline(true_row, color=BLUE, linewidth=1.5, linestyle=(0, (4, 4)), label="true", path_effects=halo)
