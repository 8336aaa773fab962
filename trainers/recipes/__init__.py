"""Recipes by name: `build(configuration, labels, settings, device) -> Task`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from autoseg.errors import AutosegError
from autoseg.trainers.recipes import default

RECIPES: dict[str, Callable[..., Any]] = {"default": default.build}


def find_recipe(name: str) -> Callable[..., Any]:
    """A recipe by its name, or a user's own by "package.module:function".

    Raises AutosegError that lists the recipes there are, or says what of the user's own is missing.
    """
    if name in RECIPES:
        return RECIPES[name]
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise AutosegError(
            f'There is no recipe "{name}". There are: {", ".join(sorted(RECIPES))}; your own is named as "module:function".'
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise AutosegError(f'The recipe "{name}" cannot be imported: {error}. Is its folder on PYTHONPATH?') from error
    build = getattr(module, function_name, None)
    if not callable(build):
        raise AutosegError(f'{module.__file__} has no function "{function_name}", which the recipe "{name}" names.')
    return build  # type: ignore[no-any-return]
