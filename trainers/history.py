"""The moving average of the validation Dice, and the picture of what each epoch gave."""

from __future__ import annotations

from pathlib import Path

from autoseg.training_log import Epoch
from autoseg.workspace import atomic_path

SMOOTHING = 0.9  # of the validation Dice, per epoch


def smoothed(history: list[Epoch], mean_dice: float | None) -> float | None:
    """The moving average after another epoch with `mean_dice`."""
    before = next((epoch.smoothed_dice for epoch in reversed(history) if epoch.smoothed_dice is not None), None)
    if mean_dice is None or before is None:
        return before if mean_dice is None else mean_dice
    return SMOOTHING * before + (1 - SMOOTHING) * mean_dice


def draw_progress(path: Path, history: list[Epoch], title: str) -> None:
    """Losses, Dice per class, learning rate and seconds over the epochs, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 9), layout="constrained")
    FigureCanvasAgg(figure)
    losses, dice, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
    figure.suptitle(title)
    epochs = [epoch.epoch + 1 for epoch in history]
    marker = "o" if len(history) < 30 else None
    losses.plot(epochs, [e.training_loss for e in history], label="training", color="tab:blue", marker=marker, ms=3)
    if history and history[-1].validation_loss is not None:
        losses.plot(epochs, [e.validation_loss for e in history], label="validation", color="tab:red", marker=marker, ms=3)
    losses.set_ylabel("loss")
    losses.legend()
    for name in history[0].dice if history else ():
        dice.plot(epochs, [e.dice[name] for e in history], label=name, lw=1, marker=marker, ms=3)
    if history and history[-1].smoothed_dice is not None:
        dice.plot(epochs, [e.smoothed_dice for e in history], label="mean, smoothed", color="black", lw=2)
        dice.legend(loc="lower right", fontsize="small", ncols=2)
    dice.set_ylabel("Dice (validation patches)")
    dice.set_ylim(0, 1)
    rate.plot(epochs, [e.learning_rate for e in history], color="tab:green")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    seconds = rate.twinx()
    seconds.plot(epochs, [e.seconds for e in history], color="tab:gray", lw=1)
    seconds.set_ylabel("seconds", color="tab:gray")
    seconds.set_ylim(0)
    for axis in (losses, dice, rate):
        axis.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
