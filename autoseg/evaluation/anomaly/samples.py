"""What a generator makes, on one sheet."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from autoseg.evaluation.anomaly.pictures import show_slice
from autoseg.files import atomic_path

EDGE_IN = 1.0  # of a shown sample


def draw_samples(path: Path, images: np.ndarray, title: str) -> None:
    """A PNG with the images in rows, about as many as columns. images: (N, C, S, S) float, values -1 to 1, N at least 1."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(columns * EDGE_IN, rows * EDGE_IN + 0.4),
                    layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0))
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9, parse_math=False)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image in zip(places, images, strict=False):
        show_slice(axes, image)
    for axes in places[len(images):]:
        axes.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
