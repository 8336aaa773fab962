"""Charts as inline SVG: narrow, so that their text stays readable on a telephone, and each with a text alternative."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from autoseg.evaluation.roc import RocBand, RocCurve
from autoseg.plotting import BLUE, GRID, INK, LINES, PAGE_STYLE, PALE_BLUE, VERMILION, new_figure, style, svg
from autoseg.wording import interval, number, shortened, signed

WIDTH_IN = 5.0  # shown at 360 pixels, a point of text is a pixel
NAME_LENGTH = 18
POINTS_SHOWN = 60  # above so many values a box shows only its outliers
CURVE_POINTS = 400


def box_rows(
    name: str, values: Mapping[str, Sequence[float]], unit: str, logarithmic: bool = False,
    limits: tuple[float | None, float | None] = (None, None),
) -> Markup:
    """Draw box plots, one row for each entry of `values` in their order: median, middle half, range, outliers (Tukey 1977).

    name: what is drawn, for the text alternative. unit: at the axis. Values that are not finite are left out; an empty
    string where nothing is left. logarithmic: where all are positive. limits: of the axis; None for those of the values.
    """
    finite = {row: kept for row, given in values.items() if (kept := [float(v) for v in given if math.isfinite(v)])}
    if not finite:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure, axes = _figure(0.8 + 0.38 * len(finite))
        places = list(range(len(finite), 0, -1))
        few = max(len(kept) for kept in finite.values()) <= POINTS_SHOWN
        axes.boxplot(
            list(finite.values()), positions=places, orientation="horizontal", widths=0.6, showfliers=not few, patch_artist=True,
            boxprops={"facecolor": PALE_BLUE, "edgecolor": BLUE}, medianprops={"color": VERMILION, "linewidth": 2},
            whiskerprops={"color": BLUE}, capprops={"color": BLUE},
            flierprops={"marker": "o", "markersize": 3, "markeredgecolor": INK, "markerfacecolor": "none"})
        if few:
            _points(axes, places, list(finite.values()))
        axes.set_yticks(places, [shortened(row, NAME_LENGTH) for row in finite])
        axes.set_ylim(0.3, len(finite) + 0.7)
        _value_axis(axes, unit, logarithmic and min(map(min, finite.values())) > 0, limits)
        return svg(figure, f"Box plot. {name}, {unit}. {' '.join(_said(row, kept) for row, kept in finite.items())}")


def dots(
    name: str, values: Mapping[str, float], unit: str, marked: Collection[str] = (), marked_as: str = "",
    line: float | None = None,
) -> Markup:
    """Draw a point for each entry of `values` in their order, first on top (Cleveland 1984); an empty string where there is none.

    marked: entries that are shown as crosses, which the legend calls `marked_as`. line: a value that is drawn as a dashed line.
    """
    if not values:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure, axes = _figure(0.9 + 0.24 * len(values))
        places = dict(zip(values, range(len(values), 0, -1), strict=True))
        plain = [row for row in values if row not in marked]
        axes.hlines(list(places.values()), 0, list(values.values()), color=GRID, linewidth=1.5)
        axes.plot([values[row] for row in plain], [places[row] for row in plain], "o", color=BLUE, markersize=5, clip_on=False)
        if line is not None:
            axes.axvline(line, color=INK, linewidth=0.8, linestyle="--")
        if crossed := [row for row in values if row in marked]:
            axes.plot([values[row] for row in crossed], [places[row] for row in crossed], "X", color=VERMILION, markersize=7,
                      label=marked_as)
            figure.legend(loc="outside upper left", frameon=False, fontsize=11.5)
        axes.set_yticks(list(places.values()), [shortened(row, NAME_LENGTH) for row in values], fontsize=10)
        axes.set_ylim(0.3, len(values) + 0.7)
        _value_axis(axes, unit, False, (0, None))
        said = ", ".join(f"{row} {number(value)}{f' ({marked_as})' if row in marked else ''}" for row, value in values.items())
        return svg(figure, f"Dot plot. {name}, {unit}: {said}.")


def curves(
    name: str, series: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    limits: tuple[float | None, float | None] = (None, None),
) -> Markup:
    """Draw lines over epochs. series: for each line's name, epochs and values; gaps where a value is None or not finite.

    An empty string where there is no value at all.
    """
    thinned = {line: _thinned(epochs, values) for line, (epochs, values) in series.items()}
    thinned = {line: points for line, points in thinned.items() if np.isfinite(points[1]).any()}
    if not thinned:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure, axes = _figure(3.3)
        for position, (line, (epochs, values)) in enumerate(thinned.items()):
            colour, dashes = LINES[position % len(LINES)]
            axes.plot(epochs, values, color=colour, linestyle=dashes, linewidth=1.8, label=line,
                      marker="o" if np.isfinite(values).sum() < 3 else None, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_ylim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=11.5, handlelength=2.4, columnspacing=1.0)
        said = " ".join(_said_of_line(line, *points) for line, points in thinned.items())
        return svg(figure, f"Line chart. {name} over the epochs. {said}")


@dataclass(frozen=True)
class Change:
    """A point of `price_curve`. price: above 0. change, low, high: by how much a measure changes, and the interval of that."""

    label: str
    price: float
    change: float = 0.0
    low: float = math.nan
    high: float = math.nan


def price_curve(
    name: str, points: Sequence[Change], marked: Change | None, price_unit: str, unit: str, margin: float | None = None
) -> Markup:
    """Draw by how much a measure changes, with intervals, over what it costs, on a logarithmic axis; points are joined in order.

    unit: of the change, for the text alternative. marked: is shown as a cross. margin: a change that is drawn as a dashed line.
    An empty string where there is no point.
    """
    if not points:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure, axes = _figure(3.3)
        axes.axhline(0, color=INK, linewidth=0.8)
        if margin is not None:
            axes.axhline(margin, color=INK, linewidth=0.8, linestyle="--")
        axes.plot([point.price for point in points], [point.change for point in points], color=BLUE, linewidth=1.2)
        for point in points:
            colour, shape, size = (VERMILION, "X", 9) if point is marked else (BLUE, "o", 6)
            axes.plot([point.price] * 2, [point.low, point.high], color=colour, linewidth=1.6)
            axes.plot([point.price], [point.change], shape, color=colour, markersize=size)
        axes.set(xscale="log", xlabel=price_unit)
        axes.margins(x=0.08)
        ticks = sorted({float(f"{point.price:.3g}") for point in points})
        axes.set_xticks([tick for index, tick in enumerate(ticks) if index == 0 or tick > 1.35 * ticks[index - 1]])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        said = " ".join(f"{point.label}: {number(point.price)}, {signed(point.change)}{_between(point)}." for point in points)
        return svg(figure, f"Line chart. {name}, {unit} over {price_unit}. {said}")


class Reliable(NamedTuple):
    """A point of `reliability`: cases of about the same probability, the share of them that is true, and its interval."""

    probability: float
    share: float
    low: float
    high: float
    cases: int


def roc_lines(name: str, lines: Mapping[str, RocCurve], bands: Mapping[str, RocBand] | None = None) -> Markup:
    """Draw ROC curves, each by its name in the legend, and chance as a dotted line; an empty string where there is none.

    bands: intervals of some of the curves, by the same names.
    """
    if not lines:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure, axes = _figure(3.9)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for (line, curve), (colour, dashes) in zip(lines.items(), itertools.cycle(LINES), strict=False):
            axes.plot(curve.fpr, curve.tpr, color=colour, linestyle=dashes, linewidth=1.8, label=line)
            if band := (bands or {}).get(line):
                axes.fill_between(band.fpr, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=11.5, handlelength=2.4, columnspacing=1.0)
        said = " ".join(_said_of_roc(line, curve) for line, curve in lines.items())
        return svg(figure, f"ROC curve. {name}: true positive rate over false positive rate. {said}")


def reliability(name: str, points: Sequence[Reliable]) -> Markup:
    """Draw the share that is true over the predicted probability, with intervals, and honesty as a dotted line; an empty
    string where there is no point."""
    if not points:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure, axes = _figure(3.9)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for point in points:
            axes.plot([point.probability] * 2, [point.low, point.high], color=BLUE, linewidth=1.6)
        axes.plot([point.probability for point in points], [point.share for point in points], "o-", color=BLUE, linewidth=1.2)
        axes.set(xlabel="predicted probability", ylabel="share that is true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        said = " ".join(f"At {number(point.probability)}: {number(point.share)} ({interval(point.low, point.high)}), "
                        f"{point.cases} cases." for point in points)
        return svg(figure, f"Reliability curve. {name}: share that is true over the predicted probability. {said}")


def intensity_ranges(name: str, channels: Mapping[str, tuple[float, float, float]], unit: str) -> Markup:
    """Draw for each channel a bar from its lowest to its highest value with a mark between, each on an axis of its own.

    channels: 0.5 percentile, median, 99.5 percentile.
    """
    if not channels:
        return Markup("")
    with style(PAGE_STYLE, name):
        figure = new_figure(WIDTH_IN, 0.85 * len(channels) + 0.25)
        rows = figure.subplots(len(channels), 1, squeeze=False)[:, 0]
        for axes, (channel, (low, median, high)) in zip(rows, channels.items(), strict=True):
            axes.barh([0], [high - low], left=[low], height=0.5, color=PALE_BLUE, edgecolor=BLUE)
            axes.plot([median, median], [-0.4, 0.4], color=VERMILION, linewidth=2.5)
            axes.set_yticks([0], [shortened(channel, NAME_LENGTH)])
            axes.set_ylim(-0.6, 0.6)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        rows[-1].set_xlabel(unit)
        said = " ".join(f"{channel}: from {number(low)} to {number(high)}, median {number(median)}."
                        for channel, (low, median, high) in channels.items())
        return svg(figure, f"Bars. {name}, {unit}. {said}")


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = new_figure(WIDTH_IN, height_in)
    return figure, figure.add_subplot()


def _points(axes: Axes, places: Sequence[int], rows: Sequence[Sequence[float]]) -> None:
    """Draw every value, moved up and down a little so that equal ones can be told apart; the same at each run."""
    jitter = np.random.default_rng(0)
    for place, row in zip(places, rows, strict=True):
        heights = place + jitter.uniform(-0.18, 0.18, len(row))
        axes.plot(row, heights, linestyle="none", marker="o", markersize=3, markeredgecolor=INK, markerfacecolor="none",
                  markeredgewidth=0.7, zorder=3)


def _value_axis(axes: Axes, unit: str, logarithmic: bool, limits: tuple[float | None, float | None]) -> None:
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(unit)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter("")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.set_xlim(*limits)


def _thinned(epochs: Sequence[float], values: Sequence[float | None]) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most some hundred points, the last one always among them; None becomes nan."""
    chosen = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), CURVE_POINTS)).astype(int))
    known = [math.nan if values[i] is None else values[i] for i in chosen]
    return np.array([epochs[i] for i in chosen]), np.array(known, float)


def _said(row: str, values: Sequence[float]) -> str:
    low, quarter, median, three_quarters, high = np.percentile(values, [0, 25, 50, 75, 100])
    if len(values) == 1:
        return f"{row}: one value, {number(median)}."
    return (f"{row}: median {number(median)}, half of the {len(values)} values from {number(quarter)} to "
            f"{number(three_quarters)}, lowest {number(low)}, highest {number(high)}.")


def _between(point: Change) -> str:
    known = interval(point.low, point.high, 4)
    return f" ({known})" if known else ""


def _said_of_line(line: str, epochs: np.ndarray, values: np.ndarray) -> str:
    there = np.isfinite(values)
    first, last = np.flatnonzero(there)[[0, -1]]
    return f"{line}: {number(values[first])} in epoch {epochs[first]:g}, {number(values[last])} in epoch {epochs[last]:g}."


def _said_of_roc(line: str, curve: RocCurve) -> str:
    reached = [f"{number(curve.tpr[curve.fpr <= rate].max())} at {rate:g}" for rate in (0.05, 0.2, 0.5)]
    return f"{line}: {', '.join(reached)}."
