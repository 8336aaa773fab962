"""recipes: what there is to train, and what can be set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape

from autoseg import console
from autoseg.api import tasks
from autoseg.commands import as_flag
from autoseg.settings import choices_of, description_of, listed
from autoseg.wording import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from autoseg.trainers.recipe import Recipe
    from autoseg.trainers.settings import TrainingSettings


@dataclass(frozen=True)
class ListedSetting:
    """A setting. key: as --set takes it. choices: allowed names; () for numbers. defaults: by recipe, as --set takes them."""

    key: str
    meaning: str
    choices: tuple[str, ...]
    defaults: Mapping[str, str]


@dataclass(frozen=True)
class Catalogue:
    """All that a user can choose from. recipes, networks, losses: a one-line description of each, by name. settings: those that
    the recipes of a task have, by the first of these recipes."""

    recipes: Mapping[str, str]
    networks: Mapping[str, str]
    losses: Mapping[str, str]
    settings: Mapping[str, tuple[ListedSetting, ...]]


def catalogue(recipes: Mapping[str, Recipe], tasks: Sequence[type[TrainingSettings]]) -> Catalogue:
    """Return what there is to choose from.

    recipes: by name, a user's own among them. tasks: of each task, the class of its recipes' settings.
    """
    from autoseg.networks import NETWORKS
    from autoseg.trainers.losses import LOSSES

    settings = {}
    for task in tasks:
        its_recipes = {name: recipe for name, recipe in recipes.items() if isinstance(recipe.settings, task)}
        settings[next(iter(its_recipes))] = tuple(_settings(its_recipes))
    return Catalogue(
        recipes={name: recipe.summary for name, recipe in recipes.items()},
        networks={name: _first_line(network) for name, network in NETWORKS.items()},
        losses={name: _first_line(loss) for name, loss in LOSSES.items()},
        settings=settings)


def _settings(recipes: Mapping[str, Recipe]) -> list[ListedSetting]:
    """Return every key of any of these recipes, in the order in which they are defined."""
    values = {name: dict(listed(recipe.settings)) for name, recipe in recipes.items()}
    found: dict[str, ListedSetting] = {}
    for name, recipe in recipes.items():
        for key in values[name]:
            defaults = {other: as_flag(those[key]) for other, those in values.items() if key in those}
            model = type(recipe.settings)
            found.setdefault(key, ListedSetting(key, description_of(model, key), choices_of(model, key), defaults))
    return list(found.values())


def _first_line(part: object) -> str:
    return (part.__doc__ or "").strip().partition("\n")[0]


def recipes(own: str | None = None, quiet: bool = False) -> Catalogue:
    """Show recipes, networks, losses and planners, and every setting with its meaning and defaults; the same as data.

    own: a recipe of yours, "module:function", to be shown with the others.
    """
    known = tasks.recipes_of_all()
    found = catalogue(known if own is None else known | {own: tasks.find_recipe(own)[1]},
                      [task.trainer.SETTINGS for task in tasks.TASKS])
    if not quiet:
        console.show(_parts("Recipes: autoseg_train -tr RECIPE", found.recipes))
        console.show(_parts("Networks: --set network=NAME", found.networks))
        console.show(_parts("Losses: --set loss=NAME", found.losses))
        console.show(_parts("Planners: autoseg_plan_and_preprocess --planner NAME", tasks.planners()))
        for task, settings in zip(tasks.TASKS, found.settings.values(), strict=True):
            console.show(_settings_table(f"Settings of {task.info.plural}: --set KEY=VALUE", settings))
    return found


def _parts(title: str, parts: Mapping[str, str]) -> Table:
    table = _table(title, "name", "what it is")
    for name, summary in parts.items():
        table.add_row(escape(name), escape(summary))
    return table


def _settings_table(title: str, settings: tuple[ListedSetting, ...]) -> Table:
    table = _table(title, "key", "default", "meaning")
    for setting in settings:
        table.add_row(escape(setting.key), escape(_defaults(setting.defaults)), escape(_meaning(setting)))
    return table


def _defaults(by_recipe: Mapping[str, str]) -> str:
    """Return the default of the first recipe that has the setting, and those of the other recipes where they differ."""
    (_, first), *others = by_recipe.items()
    return "\n".join([first, *(f"{value} ({name})" for name, value in others if value != first)])


def _meaning(setting: ListedSetting) -> str:
    return " · ".join(text for text in (", ".join(setting.choices), setting.meaning) if text)


def _table(title: str, *columns: str) -> Table:
    table = plain_table(title, title_justify="left")
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table
