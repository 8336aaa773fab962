"""Maps of cases as files: `explain/` beside what was predicted, NIfTI in the image's own grid, and pictures with the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.image import Image, axis_order
from autoseg.image_io import write_image
from autoseg.inference.cases import attempt
from autoseg.inference.inputs import PredictionInput
from autoseg.parallel import Outcome
from autoseg.pictures import is_picture
from autoseg.plotting import new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPLAIN = "explain"  # folder in the output folder
ENDING = ".nii.gz"
UPRIGHT = "LPI"  # rows run down from head or front, columns to the patient's left, or to the back
PANEL_IN = 3.0  # edge of a panel
MOST_ROWS = 12
SHOWN = (0.5, 99.5)  # percentiles of an image's values that are black and white

Maps = Mapping[str, np.ndarray]


def with_maps(
    outcomes: Iterator[Outcome[PredictionInput]], files: Callable[[PredictionInput], Sequence[Path]],
    explain: Callable[[PredictionInput], None],
) -> Iterator[Outcome[PredictionInput]]:
    """Yield the outcomes of a prediction, each once its maps are there, too; where these fail, the outcome says so.

    files: of a case's maps: those that an earlier run wrote stay where its prediction stays. explain: makes and writes them.
    """
    for outcome in outcomes:
        is_there = outcome.error is None and outcome.value.was_there and all(path.exists() for path in files(outcome.item))
        if outcome.error is None and not is_there:
            made = attempt(outcome.item, partial(explain, outcome.item))
            outcome = outcome if made.error is None else Outcome(outcome.item, error=made.error)
        yield outcome


def map_path(folder: Path, case: str, name: str) -> Path:
    """Return the file of one of a case's maps. folder: of the predictions."""
    return folder / EXPLAIN / f"{case}_{name}{ENDING}"


def picture_path(folder: Path, case: str) -> Path:
    """Return the file of the picture of a case's maps. folder: of the predictions."""
    return folder / EXPLAIN / f"{case}.png"


def write_maps(folder: Path, case: str, image: Image, maps: Maps) -> None:
    """Write maps (Z, Y, X) float32 on the grid of an image, by their names."""
    for name, values in maps.items():
        write_image(map_path(folder, case, name), np.asarray(values, np.float32)[None], like=image)


def draw_maps(
    path: Path, image: np.ndarray, rows: Mapping[str, Maps], title: str,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0), orientation: str | None = None,
) -> None:
    """Draw a PNG with a row for each entry of `rows`: the image alone, then the image below each map, on the slice that holds the
    first map's largest value, across the axis with the largest spacing.

    image: (C, Z, Y, X). rows: maps (Z, Y, X) by title, one at least; those of a row are shown on one slice, each in its own
    scale. A row without maps shows the image's middle slice. orientation: of the arrays' axes; known ones are turned as on a
    radiologist's screen.
    """
    order = axis_order(orientation, UPRIGHT, image.shape[1:])
    image, spacing = order.of(image), [spacing_mm[axis] for axis in order.axes]
    axis = 0 if is_picture(image) else int(np.argmax(spacing))
    shown = list(rows.values())[:MOST_ROWS]
    columns = 1 + max(map(len, shown))
    figure = new_figure(columns * (PANEL_IN + 0.5), len(shown) * (PANEL_IN + 0.4) + 0.5)
    figure.suptitle(title, fontsize=11, parse_math=False)
    high, wide = (mm for number, mm in enumerate(spacing) if number != axis)
    for places, maps in zip(figure.subplots(len(shown), columns, squeeze=False), shown, strict=True):
        turned = {name: order.of(values) for name, values in maps.items()}
        index = slice_of_maximum(next(iter(turned.values())), axis) if turned else image.shape[axis + 1] // 2
        for place in places:
            place.set_axis_off()
        _show(places[0], image, axis, index, high / wide)
        places[0].set_title("image" if image.shape[axis + 1] == 1 else f"image, slice {index + 1} of {image.shape[axis + 1]}",
                            fontsize=9)
        for place, (name, values) in zip(places[1:], turned.items(), strict=False):
            _show(place, image, axis, index, high / wide)
            _overlay(place, values, axis, index, high / wide)
            place.set_title(name, fontsize=9, parse_math=False)
    save_png(path, figure)


def slice_of_maximum(values: np.ndarray, axis: int) -> int:
    """Return the slice that holds the middle of a map's largest values (windows give several voxels the same)."""
    return round(float(np.argwhere(values == values.max())[:, axis].mean()))


def _show(axes: Axes, image: np.ndarray, axis: int, index: int, aspect: float) -> None:
    """Show a slice of an image: in colour where it is a picture of three channels, else its first channel in gray."""
    plane = image.take(index, axis + 1).astype(np.float32)
    if is_picture(image) and len(image) == 3:
        axes.imshow(np.moveaxis(np.clip(plane / max(float(image.max()), 1e-6), 0, 1), 0, -1), aspect=aspect)
        return
    low, high = np.percentile(image[0], SHOWN)
    axes.imshow(plane[0], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)


def _overlay(axes: Axes, values: np.ndarray, axis: int, index: int, aspect: float) -> None:
    """Lay a map over the image: blue where it is negative, red where positive, clear where it is near 0."""
    most = max(float(np.abs(values).max()), 1e-12)
    plane = values.take(index, axis) / most
    axes.imshow(plane, cmap="RdBu_r", vmin=-1, vmax=1, alpha=np.clip(np.abs(plane) * 1.2, 0, 0.75), aspect=aspect)
