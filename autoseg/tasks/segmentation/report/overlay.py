"""A slice of an image with the outlines of reference and prediction, as a PNG inside the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from autoseg.dataset import Case, Dataset, Labels, grid_differences
from autoseg.errors import AutosegError
from autoseg.evaluation.case import CaseSummary
from autoseg.image import Geometry, Image
from autoseg.image_io import read_image, read_label
from autoseg.plan import Plans
from autoseg.plotting import ORANGE, PICTURE_STYLE, SKY, new_figure, png, style
from autoseg.reporting.blocks import embedded
from autoseg.voxels import count_pairs

LONGER_SIDE_PX = 560
LEGEND_PX = 34
MARGIN = 0.3  # of the structures' extent, on each side
LEAST_MARGIN_MM = 8.0
SOFT_TISSUE_HU = (-160.0, 240.0)
PLANES = {0: "Sagittal", 1: "Coronal", 2: "Axial"}  # by the world axis (x, y, z) that runs through the slices

Window = tuple[float, float]


@dataclass(frozen=True)
class Overlay:
    """png: the file's bytes, of `size_px` (width, height). where: which slice. channel: which image is shown.
    differing: what differs on it, in words."""

    png: bytes
    size_px: tuple[int, int]
    where: str
    channel: str
    differing: str

    def element(self, alternative: str) -> Markup:
        """Return an <img> that holds the picture itself."""
        return embedded(self.png, self.size_px, alternative)


class Plane(NamedTuple):
    """A slice of a case: the image's channels, reference and prediction, each (rows, columns); spacing_mm of rows and columns."""

    channels: list[np.ndarray]
    reference: np.ndarray
    prediction: np.ndarray
    spacing_mm: tuple[float, float]


def window_of(dataset: Dataset, plans: Plans) -> dict[int, Window]:
    """Map a channel to the intensities that are shown black and white, for CT: soft tissue, widened to the foreground's."""
    windows = {}
    for channel, name in enumerate(dataset.channel_names):
        foreground = plans.foreground_intensities.get(str(channel))
        if name.upper() == "CT" and foreground is not None:
            low, high = SOFT_TISSUE_HU
            windows[channel] = (min(low, foreground.percentile_00_5), max(high, foreground.percentile_99_5))
    return windows


def overlay(case: Case, summary: CaseSummary, dataset: Dataset, windows: dict[int, Window]) -> Overlay:
    """Draw the slice on which reference and prediction differ in most voxels, along the axis with the largest spacing.

    windows: by channel; others are shown between the 1 and 99 percentiles of what is seen. Of several channels the one is
    shown in which the structures stand out most. Raises AutosegError where a file is missing or does not fit.
    """
    reference, prediction = _read_labels(case, summary)
    shape, spacing_mm = reference.array.shape[1:], reference.geometry.spacing_mm
    axis = shape.index(1) if 1 in shape else int(np.argmax(spacing_mm))
    index = _most_differing(reference.array[0], prediction.array[0], axis, dataset.labels.ignore)
    through = PLANES[_runs_to(reference.geometry, axis)[0]]
    where = f"{through} slice {index + 1} of {shape[axis]}" if shape[axis] > 1 else "Picture"
    ref, pred = (volume.array[0].take(index, axis) for volume in (reference, prediction))
    ref, pred = (np.where(ref == dataset.labels.ignore, 0, labels) for labels in (ref, pred))
    channels = [channel for path in case.images for channel in _slices(path, axis, index, shape)]
    y_mm, x_mm = (mm for i, mm in enumerate(spacing_mm) if i != axis)
    plane = _crop(upright(Plane(channels, ref, pred, (y_mm, x_mm)), reference.geometry, axis))
    channel = _clearest(plane)
    picture = plane.channels[channel]
    content, size_px = _draw(plane, picture, windows.get(channel) or _visible_range(picture))
    name = dataset.channel_names[channel] if channel < len(dataset.channel_names) else f"channel {channel}"
    return Overlay(content, size_px, where, name, _difference_in_words(plane, dataset.labels))


def upright(plane: Plane, geometry: Geometry, axis: int) -> Plane:
    """Turn the slice across array axis `axis` (0 = z) as a radiologist's screen shows it.

    Head or front above; in axial and coronal slices the patient's left on the right, in sagittal ones the front on the left.
    """
    (down, is_down_forward), (right, is_right_forward) = [_runs_to(geometry, i) for i in range(3) if i != axis]
    transposed = down < right  # world axes x, y, z: the higher one of the two runs down the screen
    if transposed:
        down, is_down_forward, is_right_forward = right, is_right_forward, is_down_forward
    flip_rows = is_down_forward == (down == 2)  # z grows towards the head, which is above; y towards the back, below
    rows, columns = slice(None, None, -1 if flip_rows else 1), slice(None, None, 1 if is_right_forward else -1)

    def turned(array: np.ndarray) -> np.ndarray:
        return (array.T if transposed else array)[rows, columns]

    spacing = plane.spacing_mm[::-1] if transposed else plane.spacing_mm
    return Plane([turned(c) for c in plane.channels], turned(plane.reference), turned(plane.prediction), spacing)


def _runs_to(geometry: Geometry, axis: int) -> tuple[int, bool]:
    """Return the world axis (0 = x, LPS) that array axis `axis` (0 = z) follows most closely, and whether it grows along it."""
    column = np.reshape(geometry.direction, (3, 3))[:, 2 - axis]
    world = int(np.argmax(np.abs(column)))
    return world, bool(column[world] > 0)


def _visible_range(picture: np.ndarray) -> Window:
    """Return the 1 and 99 percentiles of the finite values."""
    finite = picture[np.isfinite(picture)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))


def _read_labels(case: Case, summary: CaseSummary) -> tuple[Image, Image]:
    if case.label is None:
        raise AutosegError(f"{case} has no label.")
    reference, prediction = read_label(case.label, case.images[0]), read_label(Path(summary.prediction_file))
    if differing := grid_differences(reference, prediction):
        raise AutosegError(f"{summary.prediction_file} does not lie on the grid of its reference: {differing}.")
    return reference, prediction


def _slices(path: Path, axis: int, index: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return one slice of each channel in a file, float32."""
    image = read_image(path)
    if image.array.shape[1:] != shape:
        raise AutosegError(f"{path} has shape (z, y, x) {image.array.shape[1:]}, but its label {shape}.")
    return [channel.take(index, axis).astype(np.float32) for channel in image.array]


def _most_differing(reference: np.ndarray, prediction: np.ndarray, axis: int, ignore: int | None) -> int:
    """Return the slice with most differing voxels; where nothing differs, that with most foreground."""
    differs = reference != prediction
    if ignore is not None:
        differs &= reference != ignore
    others = tuple(i for i in range(3) if i != axis)
    per_slice = np.count_nonzero(differs, axis=others)
    if not per_slice.any():
        per_slice = np.count_nonzero(reference, axis=others)
    return int(np.argmax(per_slice))


def _crop(plane: Plane) -> Plane:
    """Cut out the structures with a margin, not narrower than three quarters of the other side where the image allows."""
    found = np.nonzero((plane.reference != 0) | (plane.prediction != 0))
    if found[0].size == 0:
        return plane
    bounds_mm = [((axis.min()) * mm, (axis.max() + 1) * mm) for axis, mm in zip(found, plane.spacing_mm, strict=True)]
    margins_mm = [max(MARGIN * (high - low), LEAST_MARGIN_MM, 8 * mm)
                  for (low, high), mm in zip(bounds_mm, plane.spacing_mm, strict=True)]
    extents_mm = [high - low + 2 * margin for (low, high), margin in zip(bounds_mm, margins_mm, strict=True)]
    box = []
    for (low, high), extent, mm, size in zip(bounds_mm, extents_mm, plane.spacing_mm, plane.reference.shape, strict=True):
        half = max(extent, 0.75 * max(extents_mm)) / 2
        middle = (low + high) / 2
        box.append(slice(max(0, int((middle - half) / mm)), min(size, int(np.ceil((middle + half) / mm)))))
    rows, columns = box
    return Plane([c[rows, columns] for c in plane.channels], plane.reference[rows, columns], plane.prediction[rows, columns],
                 plane.spacing_mm)


def _clearest(plane: Plane) -> int:
    """Return the channel whose mean inside the reference lies farthest from that outside, in standard deviations outside."""
    inside = plane.reference != 0
    if len(plane.channels) == 1 or not inside.any() or inside.all():
        return 0
    contrasts = [abs(c[inside].mean() - c[~inside].mean()) / (c[~inside].std() + 1e-6) for c in plane.channels]
    return int(np.argmax(np.nan_to_num(contrasts)))


def _draw(plane: Plane, picture: np.ndarray, window: Window) -> tuple[bytes, tuple[int, int]]:
    """Draw a PNG of gray values and outlines, with a line below that says which is which."""
    height_mm, width_mm = (size * mm for size, mm in zip(picture.shape, plane.spacing_mm, strict=True))
    scale = LONGER_SIDE_PX / max(height_mm, width_mm)
    width, height = max(240, round(width_mm * scale)), round(height_mm * scale) + LEGEND_PX
    with style(PICTURE_STYLE):
        figure = new_figure(width / 100, height / 100, layout=None, dpi=100, facecolor="#111111")
        axes = figure.add_axes((0, LEGEND_PX / height, 1, 1 - LEGEND_PX / height))
        axes.set_axis_off()
        axes.imshow(picture, cmap="gray", vmin=window[0], vmax=window[1], extent=(0, width_mm, height_mm, 0),
                    interpolation="bilinear")
        _outlines(axes, plane.reference, plane.spacing_mm, SKY, "solid")
        _outlines(axes, plane.prediction, plane.spacing_mm, ORANGE, (0, (4, 2)))
        axes.set_xlim(0, width_mm)
        axes.set_ylim(height_mm, 0)
        lines = [Line2D([], [], color=SKY, lw=2.2), Line2D([], [], color=ORANGE, lw=2.2, ls=(0, (4, 2)))]
        figure.legend(lines, ["reference", "prediction"], loc="lower center", ncols=2, frameon=False, labelcolor="white",
                      borderpad=0.2, handlelength=2.6)
        return png(figure)


def _outlines(axes: Axes, labels: np.ndarray, spacing_mm: Sequence[float], colour: str, dashes: Any) -> None:
    """Draw the border of each label value, closed at the edge of the picture."""
    padded = np.pad(labels, 1)
    y_mm, x_mm = ((np.arange(-1, size + 1) + 0.5) * mm for size, mm in zip(labels.shape, spacing_mm, strict=True))
    for value in np.unique(labels[labels != 0]):
        lines = axes.contour(x_mm, y_mm, padded == value, levels=[0.5], colors=[colour], linewidths=2.3, linestyles=[dashes])
        lines.set_path_effects([patheffects.withStroke(linewidth=3.4, foreground="#000000", alpha=0.4)])


def _difference_in_words(plane: Plane, labels: Labels) -> str:
    """Say how many voxels differ, and which confusion is the most frequent."""
    differs = plane.reference != plane.prediction
    if not differs.any():
        return "Reference and prediction do not differ."
    pairs = count_pairs(plane.reference[differs], plane.prediction[differs])
    (is_value, said_value), most = max(pairs.items(), key=lambda entry: entry[1])
    largest_first = sorted(labels.foreground.items(), key=lambda entry: -len(entry[1]))  # the smallest region names a value
    names = {value: name for name, values in largest_first for value in values} | {0: "background"}
    here, said = names.get(is_value, str(is_value)), names.get(said_value, str(said_value))
    differ = "voxel differs" if differs.sum() == 1 else "voxels differ"
    return f"{differs.sum():,} {differ} here, most often where the reference is {here} and the prediction {said} ({most:,})."
