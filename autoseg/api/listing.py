"""recipes: what there is to train, and what can be set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape

from autoseg import console
from autoseg.api import tasks
from autoseg.wording import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from autoseg.trainers.catalogue import Catalogue, ListedSetting


def recipes(own: str | None = None, quiet: bool = False) -> Catalogue:
    """Show recipes, networks, losses and planners, and every setting with its meaning and defaults; the same as data.

    own: a recipe of yours, "module:function", to be shown with the others.
    """
    from autoseg.trainers.catalogue import catalogue

    known = tasks.recipes_of_all()
    found = catalogue(known if own is None else known | {own: tasks.find_recipe(own)[1]},
                      [task.trainer.SETTINGS for task in tasks.TASKS])
    if not quiet:
        console.show(_parts("Recipes: autoseg_train -tr RECIPE", found.recipes))
        console.show(_parts("Networks: --set network=NAME", found.networks))
        console.show(_parts("Losses: --set loss=NAME", found.losses))
        console.show(_parts("Planners: autoseg_plan_and_preprocess --planner NAME", tasks.planners()))
        for task, settings in zip(tasks.TASKS, found.settings.values(), strict=True):
            console.show(_settings(f"Settings of {task.info.plural}: --set KEY=VALUE", settings))
    return found


def _parts(title: str, parts: Mapping[str, str]) -> Table:
    table = _table(title, "name", "what it is")
    for name, summary in parts.items():
        table.add_row(escape(name), escape(summary))
    return table


def _settings(title: str, settings: tuple[ListedSetting, ...]) -> Table:
    table = _table(title, "key", "default", "meaning")
    for setting in settings:
        table.add_row(escape(setting.key), escape(_defaults(setting.defaults)), escape(_meaning(setting)))
    return table


def _defaults(by_recipe: Mapping[str, str]) -> str:
    """That of the first recipe that has the setting, and of the others where theirs differ."""
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
