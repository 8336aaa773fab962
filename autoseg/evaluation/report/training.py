"""Learning curves of all folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from autoseg.commands import as_flag
from autoseg.evaluation.report.artefacts import Artefacts, Fold, Model
from autoseg.evaluation.report.elements import (
    Block,
    Command,
    Explained,
    Explanations,
    Figure,
    Folded,
    Heading,
    Section,
    Table,
    Text,
    figures,
)
from autoseg.evaluation.report.figures import curves
from autoseg.evaluation.report.missing import next_steps
from autoseg.evaluation.report.words import JOINED, counted, dice, duration, times
from autoseg.plan import Plans
from autoseg.training_log import Epoch


def training_section(found: Artefacts) -> Section:
    """Each model's losses and Dice over the epochs, and how long they took."""
    section = Section("training", "Training")
    if not found.models:
        step = next_steps(found)[0]
        section.blocks += [Text("No model has been trained yet. This trains one:", is_note=True), Command(step.line)]
        return section
    section.blocks.append(Text(
        "The data are divided into folds: each fold's model is trained on the others' cases and validated on its own. The "
        "loss is what training makes smaller. Dice (0 to 1, more is better) is measured on patches of validation cases, as a "
        "sign of how the training goes; the whole images count in the cross-validation above."))
    for model in found.models:
        section.blocks += _curves_of(model)
    return section


def _curves_of(model: Model) -> list[Block]:
    begun = [fold for fold in model.folds if fold.log]
    blocks: list[Block] = [Heading(model.name), *_made_of(model)]
    if not begun:
        return [*blocks, Text("No epoch has been finished yet.", is_note=True)]
    return [
        *blocks, *figures(
            _figure(model, begun, "Training loss", lambda epoch: epoch.training_loss),
            _figure(model, begun, "Validation loss", lambda epoch: epoch.validation_loss),
            _figure(model, begun, "Validation Dice", lambda epoch: epoch.mean_dice, (0, 1))),
        _folds_table(model)]


def _made_of(model: Model) -> list[Block]:
    """Its recipe, network and settings, as model.json holds them; nothing where that could not be read."""
    its = model.description
    try:
        configuration = Plans.model_validate(its.get("plans")).configurations[model.configuration]
    except (ValidationError, KeyError):
        return []
    network, settings = configuration.network, its.get("settings") or {}
    kind = f"{network.name}, {counted(network.stages, 'stage')}, {network.features[0]} to {network.features[-1]} features"
    batch = f"{counted(configuration.batch_size, 'patch', 'patches')} of {times(configuration.patch_size)} voxels in each step"
    return [
        Explanations([Explained("Recipe", str(its.get("recipe", model.recipe))), Explained("Network", kind),
                      Explained("Batch", batch), Explained("Set by you", set_by_user(its.get("flags")))]),
        all_settings(model.name, settings)]


def set_by_user(flags: object) -> str:
    """The flags of a training that were given, in words where there were none."""
    given = " ".join(map(str, flags)) if isinstance(flags, (list, tuple)) else ""
    return given or "nothing: all settings are the recipe's own"


def all_settings(name: str, settings: dict[str, Any]) -> Folded:
    """Every setting that a model was trained with, folded away."""
    rows = [[key, as_flag(value)] for key, value in _flat(settings).items()]
    return Folded("All settings", [Table(f"Settings of {name}", ("setting", "value"), rows, frozenset({1}))])


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of parts as "part.setting"."""
    parts = {key: part for key, part in settings.items() if isinstance(part, dict)}
    inner = {f"{key}.{name}": value for key, part in parts.items() for name, value in part.items()}
    return {key: value for key, value in settings.items() if key not in parts} | inner


def _figure(
    model: Model, folds: Sequence[Fold], title: str, of: Callable[[Epoch], float | None],
    limits: tuple[float | None, float | None] = (None, None),
) -> Figure:
    series = {
        f"fold {fold.name}": ([epoch.epoch + 1 for epoch in fold.log], [of(epoch) for epoch in fold.log]) for fold in folds}
    return Figure(title, curves(f"{title} of {model.name}", series, limits))


def _folds_table(model: Model) -> Table:
    rows = [_fold_row(fold) for fold in model.folds]
    columns = ("fold", "state", "epochs", "time", "last loss", "validation Dice", "cases validated")
    return Table(f"Folds of {model.name}", columns, rows, frozenset({1}))


def _fold_row(fold: Fold) -> list[str]:
    last = fold.log[-1] if fold.log else None
    cases = "" if fold.summary is None else counted(len(fold.summary.metric_per_case), "case")
    return [
        f"fold{JOINED}{fold.name}", fold.state or "trained on all cases", str(len(fold.log)),
        duration(sum(epoch.seconds for epoch in fold.log)) if fold.log else "",
        f"{last.training_loss:.3f}" if last else "",
        dice(fold.summary.foreground_mean.get("Dice")) if fold.summary else "", cases]
