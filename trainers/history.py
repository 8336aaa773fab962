"""The moving average of the validation Dice, and the picture of what each epoch gave."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.plotting import new_figure, save_png
from autoseg.training_log import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHING = 0.9  # share of the old average of the validation Dice that an epoch keeps


def smoothed(history: list[Epoch], mean_dice: float | None) -> float | None:
    """Return the moving average after another epoch with `mean_dice`."""
    before = next((epoch.smoothed_dice for epoch in reversed(history) if epoch.smoothed_dice is not None), None)
    if mean_dice is None or before is None:
        return before if mean_dice is None else mean_dice
    return SMOOTHING * before + (1 - SMOOTHING) * mean_dice


def draw_progress(path: Path, history: list[Epoch], title: str) -> None:
    """Draw each epoch's results as a PNG: losses; Dice per class, or what else the recipe logs; learning rate and seconds."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(10, 9)
    losses, quality, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
    figure.suptitle(title)
    epochs = [epoch.epoch + 1 for epoch in history]
    _draw_lines(losses, epochs, _losses(history), "loss")
    _draw_lines(quality, epochs, _qualities(history), _quality_label(history))
    if history and history[-1].smoothed_dice is not None:
        quality.plot(epochs, [e.smoothed_dice for e in history], label="mean, smoothed", color="black", lw=2)
        quality.legend(loc="lower right", fontsize="small", ncols=2)
    quality.set_ylim(0, 1)
    rate.plot(epochs, [e.learning_rate for e in history], color="tab:green")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    seconds = rate.twinx()
    seconds.plot(epochs, [e.seconds for e in history], color="tab:gray", lw=1)
    seconds.set_ylabel("seconds", color="tab:gray")
    seconds.set_ylim(0)
    for axis in (losses, quality, rate):
        axis.grid(alpha=0.3)
    save_png(path, figure)


Lines = dict[str, list[float | None]]


def _losses(history: list[Epoch]) -> Lines:
    """Return losses of each network where a recipe trains several, else of training and validation."""
    if named := _values(history, are_losses=True):
        return named
    lines: Lines = {"training": [e.training_loss for e in history]}
    if history and history[-1].validation_loss is not None:
        lines["validation"] = [e.validation_loss for e in history]
    return lines


def _qualities(history: list[Epoch]) -> Lines:
    dice: Lines = {name: [e.dice[name] for e in history] for name in (history[0].dice if history else ())}
    return dice or _values(history, are_losses=False)


def _quality_label(history: list[Epoch]) -> str:
    named = _values(history, are_losses=False)
    return ", ".join(named) if named else "Dice (validation patches)"


def _values(history: list[Epoch], are_losses: bool) -> Lines:
    """Return what else the recipe logs, by name; None in epochs that gave no such value."""
    names = dict.fromkeys(name for epoch in history for name in epoch.values if name.endswith("loss") == are_losses)
    return {name.replace("_", " "): [e.values.get(name) for e in history] for name in names}


def _draw_lines(axes: Axes, epochs: list[int], lines: Lines, label: str) -> None:
    for name, values in lines.items():
        drawn = [math.nan if value is None else value for value in values]
        axes.plot(epochs, drawn, label=name, lw=1.2, marker="o" if len(epochs) < 30 else None, ms=3)
    if lines:
        axes.legend(fontsize="small", ncols=2)
    axes.set_ylabel(label)
