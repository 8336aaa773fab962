"""What there is to choose from: recipes, the parts that they are made of, and every setting with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.commands import as_flag
from autoseg.kinds import KINDS, Task
from autoseg.networks import NETWORKS
from autoseg.trainers.losses import LOSSES
from autoseg.trainers.recipes import RECIPES, find_recipe
from autoseg.trainers.recipes.recipe import Recipe
from autoseg.trainers.settings import choices_of, description_of, listed


@dataclass(frozen=True)
class ListedSetting:
    """key: as --set takes it. choices: names that it takes; () for numbers. defaults: by recipe, as --set takes them."""

    key: str
    meaning: str
    choices: tuple[str, ...]
    defaults: Mapping[str, str]


@dataclass(frozen=True)
class Catalogue:
    """By name, each with what it is in a line. settings: of recipes that segment; of_kinds: of those that train another kind of
    model, by the kind's own recipe."""

    recipes: Mapping[str, str]
    networks: Mapping[str, str]
    losses: Mapping[str, str]
    settings: tuple[ListedSetting, ...]
    of_kinds: Mapping[str, tuple[ListedSetting, ...]]


def catalogue(own: str | None = None) -> Catalogue:
    """Of autoseg's recipes, and one of the user's own ("module:function"). Raises AutosegError as `find_recipe`."""
    recipes = RECIPES if own is None else {**RECIPES, own: find_recipe(own)}
    return Catalogue(
        recipes={name: recipe.summary for name, recipe in recipes.items()},
        networks={name: _first_line(network) for name, network in NETWORKS.items()},
        losses={name: _first_line(loss) for name, loss in LOSSES.items()},
        settings=tuple(_settings(recipes, "segmentation")),
        of_kinds={kind.recipe: tuple(_settings(recipes, kind.task)) for kind in KINDS})


def _settings(every: Mapping[str, Recipe], trains: Task) -> list[ListedSetting]:
    """Every key of any recipe that trains such a thing, in the order in which they are defined."""
    recipes = {name: recipe for name, recipe in every.items() if recipe.trains == trains}
    values = {name: dict(listed(recipe.settings)) for name, recipe in recipes.items()}
    found: dict[str, ListedSetting] = {}
    for name, recipe in recipes.items():
        for key in values[name]:
            defaults = {other: as_flag(those[key]) for other, those in values.items() if key in those}
            kind = type(recipe.settings)
            found.setdefault(key, ListedSetting(key, description_of(kind, key), choices_of(kind, key), defaults))
    return list(found.values())


def _first_line(part: object) -> str:
    return (part.__doc__ or "").strip().partition("\n")[0]
