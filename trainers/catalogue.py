"""What a user can choose from: recipes, the parts that they are made of, and every setting with its defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoseg.commands import as_flag
from autoseg.networks import NETWORKS
from autoseg.trainers.losses import LOSSES
from autoseg.trainers.recipe import Recipe
from autoseg.trainers.settings import TrainingSettings, choices_of, description_of, listed


@dataclass(frozen=True)
class ListedSetting:
    """key: as --set takes it. choices: names that it takes; () for numbers. defaults: by recipe, as --set takes them."""

    key: str
    meaning: str
    choices: tuple[str, ...]
    defaults: Mapping[str, str]


@dataclass(frozen=True)
class Catalogue:
    """recipes, networks, losses: by name, each with what it is in a line. settings: of the recipes of each task, by the first of
    these recipes."""

    recipes: Mapping[str, str]
    networks: Mapping[str, str]
    losses: Mapping[str, str]
    settings: Mapping[str, tuple[ListedSetting, ...]]


def catalogue(recipes: Mapping[str, Recipe], tasks: Sequence[type[TrainingSettings]]) -> Catalogue:
    """Return what there is to choose from.

    recipes: by name, a user's own among them. tasks: of each task, the class of its recipes' settings.
    """
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
