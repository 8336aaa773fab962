"""autoseg recipes: what there is to train, and what can be set."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-tr", "--trainer", dest="recipe", metavar="RECIPE",
                        help='a recipe of your own, "module:function", to be listed with the others')
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    api.recipes(flags.recipe)
    print("Next: autoseg_train DATASET 0 -tr RECIPE --set KEY=VALUE")
    return 0


COMMAND = Command("recipes", "List recipes, networks, losses, planners, and every setting with its defaults.", add_flags, run)
