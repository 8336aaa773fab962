"""Learning curves of all folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from autoseg.commands import as_flag
from autoseg.evaluation.report.apart import FoldApart
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
from autoseg.evaluation.report.planning import network_in_words
from autoseg.evaluation.report.words import JOINED, counted, dice, duration, times
from autoseg.plan import Plans
from autoseg.training_log import Epoch

LoggedFold = Fold | FoldApart
FoldType = TypeVar("FoldType", bound=LoggedFold)


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
        *blocks, *curve_figures(model.name, begun), folds_table(model.name, model.folds, {
            "last loss": lambda fold: f"{fold.log[-1].training_loss:.3f}" if fold.log else "",
            "validation Dice": lambda fold: dice(fold.summary.foreground_mean.get("Dice")) if fold.summary else "",
            "cases validated": lambda fold: counted(len(fold.summary.metric_per_case), "case") if fold.summary else ""})]


def _made_of(model: Model) -> list[Block]:
    """Its recipe, network and settings, as model.json holds them; nothing where that could not be read."""
    its = model.description
    try:
        configuration = Plans.model_validate(its.get("plans")).configurations[model.configuration]
    except (ValidationError, KeyError):
        return []
    settings = its.get("settings") or {}
    batch = f"{counted(configuration.batch_size, 'patch', 'patches')} of {times(configuration.patch_size)} voxels in each step"
    return [
        Explanations([Explained("Recipe", str(its.get("recipe", model.recipe))),
                      Explained("Network", network_in_words(configuration.network)), Explained("Batch", batch),
                      Explained("Set by you", set_by_user(its.get("flags")))]),
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


def curve_figures(name: str, folds: Sequence[LoggedFold]) -> list[Block]:
    """Losses and validation Dice of a model's folds over the epochs."""
    return figures(
        _figure(name, folds, "Training loss", lambda epoch: epoch.training_loss),
        _figure(name, folds, "Validation loss", lambda epoch: epoch.validation_loss),
        _figure(name, folds, "Validation Dice", lambda epoch: epoch.mean_dice, (0, 1)))


def _figure(
    name: str, folds: Sequence[LoggedFold], title: str, of: Callable[[Epoch], float | None],
    limits: tuple[float | None, float | None] = (None, None),
) -> Figure:
    series = {
        f"fold {fold.name}": ([epoch.epoch + 1 for epoch in fold.log], [of(epoch) for epoch in fold.log]) for fold in folds}
    return Figure(title, curves(f"{title} of {name}", series, limits))


def folds_table(name: str, folds: Sequence[FoldType], more: Mapping[str, Callable[[FoldType], str]]) -> Table:
    """What there is of each fold of a model. more: further columns."""
    rows = [[f"fold{JOINED}{fold.name}", fold.state or "trained on all cases", str(len(fold.log)),
             duration(sum(epoch.seconds for epoch in fold.log)) if fold.log else "",
             *(cell(fold) for cell in more.values())] for fold in folds]
    return Table(f"Folds of {name}", ("fold", "state", "epochs", "time", *more), rows, frozenset({1}))
