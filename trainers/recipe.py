"""Recipes: what is trained, and how. A user's own is named as "package.module:function"."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from autoseg.errors import AutosegError, did_you_mean
from autoseg.trainers.settings import TrainingSettings


@dataclass(frozen=True)
class Recipe:
    """A recipe: what is trained, and how.

    build: makes the learner; the `recipes.py` of each task says what it is called with. settings: defaults, where the user sets
    nothing else; their class says which settings there are, and which task the recipe is for. summary: a one-line description.
    """

    build: Callable[..., Any]
    settings: TrainingSettings
    summary: str


def find_recipe(name: str, known: Mapping[str, Recipe]) -> Recipe:
    """Return a recipe by its name, or a user's own by "package.module:function".

    known: recipes by name. The defaults of the user's own are the module's SETTINGS, or, where it has none, those of the first
    known recipe. Raises AutosegError that lists the known recipes, or says what of the user's own is missing.
    """
    if name in known:
        return known[name]
    module_name, colon, function_name = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
        raise AutosegError(
            f'There is no recipe "{name}".{did_you_mean(name, known)} There are: {", ".join(known)}; your '
            'own is named as "module:function".'
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise AutosegError(f'The recipe "{name}" cannot be imported: {error}. Is its folder on PYTHONPATH?') from error
    except (SyntaxError, ValidationError) as error:
        raise AutosegError(f'The recipe "{name}" cannot be imported: {" ".join(str(error).split())}. Correct it.') from error
    build = getattr(module, function_name, None)
    if not callable(build):
        raise AutosegError(f'{module.__file__} has no function "{function_name}", which the recipe "{name}" names.')
    usual = next(iter(known.values())).settings
    settings = getattr(module, "SETTINGS", usual)
    if not isinstance(settings, TrainingSettings):
        raise AutosegError(f"{module.__file__}: SETTINGS is {type(settings).__name__}, but must be settings of a training, such "
                           f"as SETTINGS = {type(usual).__name__}(epochs=200).")
    summary = (build.__doc__ or module.__doc__ or "").strip().partition("\n")[0]
    return Recipe(build, settings, summary)


def check_model_name(name: str | None, recipe: str, known: Collection[str]) -> None:
    """Raise AutosegError for a model's name that cannot be a folder's, or that is another recipe's.

    name: given by --name, None for that of the recipe. known: names of all recipes.
    """
    if name is None or name == recipe:
        return
    if not re.fullmatch(r"[\w+-][\w.+-]*", name):
        raise AutosegError(f'--name "{name}" is to become a folder: give letters, digits, "_", "-", "+" and "." only.')
    if name in known:
        raise AutosegError(f"--name {name} is the name of a recipe, but the recipe is {recipe}. Choose another name.")
