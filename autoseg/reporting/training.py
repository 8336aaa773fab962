"""Blocks that show what was planned and trained, the same for every task: networks, settings, learning curves, folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from autoseg.commands import as_flag
from autoseg.intensities import IntensityWindow
from autoseg.plan import Topology
from autoseg.reporting.artefacts import AnyFold, AnyModel, FoldArtefacts
from autoseg.reporting.blocks import Block, Explained, Explanations, Figure, Folded, Table, Text, figures
from autoseg.reporting.figures import curves
from autoseg.training_log import Epoch
from autoseg.wording import JOINED, counted, duration

Results = TypeVar("Results")
NO_EPOCH = Text("No epoch has been finished yet.", is_note=True)


class Described(Protocol):
    """The content of model.json that the page shows of a model of any task. flags: those that the user gave to the training."""

    @property
    def recipe(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def flags(self) -> Sequence[str]: ...


def network_in_words(network: Topology) -> str:
    """Return "unet, 6 stages, 32 to 320 features"."""
    return f"{network.name}, {counted(network.stages, 'stage')}, {network.features[0]} to {network.features[-1]} features"


def windows_in_words(channel_names: Sequence[str], windows: Sequence[IntensityWindow | None]) -> str:
    """Return "CT: -150 to 350; MR: case by case"."""
    return "; ".join(f"{name}: {'case by case' if window is None else f'{window.low:g} to {window.high:g}'}"
                     for name, window in zip(channel_names, windows, strict=True))


def recipe_and_settings(name: str, its: Described, *entries: Explained) -> list[Block]:
    """Show the recipe of a model, further entries, the flags that the user gave, and, folded away, all settings."""
    flags = " ".join(its.flags) or "nothing: all settings are the recipe's own"
    parts = {key: part for key, part in its.settings.items() if isinstance(part, dict)}
    inner = {f"{key}.{setting}": value for key, part in parts.items() for setting, value in part.items()}
    flat = {key: value for key, value in its.settings.items() if key not in parts} | inner
    rows = [[key, as_flag(value)] for key, value in flat.items()]
    return [Explanations([Explained("Recipe", its.recipe), *entries, Explained("Set by you", flags)]),
            Folded("All settings", [Table(f"Settings of {name}", ("setting", "value"), rows, frozenset({1}))])]


def curve_figures(model: AnyModel, introduction: str = "") -> list[Block]:
    """Show losses and validation Dice of a model's folds over the epochs, below an introduction; say where there is no epoch."""
    if not model.begun:
        return [NO_EPOCH]
    shown = figures(
        _figure(model, "Training loss", lambda epoch: epoch.training_loss),
        _figure(model, "Validation loss", lambda epoch: epoch.validation_loss),
        _figure(model, "Validation Dice", lambda epoch: epoch.mean_dice, (0, 1)))
    return [*([Text(introduction)] if introduction else ()), *shown]


def _figure(
    model: AnyModel, title: str, of: Callable[[Epoch], float | None],
    limits: tuple[float | None, float | None] = (None, None),
) -> Figure:
    series = {f"fold {fold.name}": over_epochs(fold, [of(epoch) for epoch in fold.log]) for fold in model.begun}
    return Figure(title, curves(f"{title} of {model.name}", series, limits))


def over_epochs(fold: AnyFold, values: list[float | None]) -> tuple[list[float], list[float | None]]:
    """Return the fold's epochs, from 1, with a value of each."""
    return [epoch.epoch + 1.0 for epoch in fold.log], values


def folds_table(
    name: str, folds: Sequence[FoldArtefacts[Results]], more: Mapping[str, Callable[[FoldArtefacts[Results]], str]]
) -> Table:
    """Show the state of each fold of a model. more: further columns."""
    rows = [[f"fold{JOINED}{fold.name}", fold.state or "trained on all cases", str(len(fold.log)),
             duration(sum(epoch.seconds for epoch in fold.log)) if fold.log else "",
             *(cell(fold) for cell in more.values()), *_record(fold)] for fold in folds]
    columns = ("fold", "state", "epochs", "time", *more, "seed", "trained on", "chosen by the number of steps")
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(f"Folds of {name}", columns, rows, frozenset({1, *range(columns.index("trained on"), len(columns))}))


def _record(fold: FoldArtefacts[Results]) -> tuple[str, str, str]:
    """Return the seed and the machines of a fold's training, and the settings that its number of steps has decided."""
    if fold.record is None:
        return "", "", ""
    chosen = ", ".join(f"{key}={as_flag(value)}" for key, value in fold.record.chosen.items())
    return str(fold.record.settings.get("seed", "")), ", then ".join(fold.record.machines), chosen


def last_loss(fold: AnyFold) -> str:
    """Return the training loss of the last epoch, as a cell of `folds_table`."""
    return f"{fold.log[-1].training_loss:.3f}" if fold.log else ""
