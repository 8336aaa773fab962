"""Slices as matplotlib shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show_slice(axes: Axes, image: np.ndarray) -> None:
    """One slice (C, S, S), values -1 to 1: gray for one channel, colour for three, else the channels' mean in gray."""
    axes.set_axis_off()
    shown = np.clip((np.asarray(image, np.float32) + 1) / 2, 0, 1)
    if len(shown) == 3:
        axes.imshow(np.moveaxis(shown, 0, -1), interpolation="nearest")
    else:
        axes.imshow(shown.mean(axis=0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
