"""autoseg export: trained models as one file for another machine, or for other programs."""

from __future__ import annotations

import argparse
import shlex

from autoseg import api
from autoseg.cli.command import Command, add_workspace, of_tasks


def add_flags(parser: argparse.ArgumentParser) -> None:
    formats = ", ".join(f"{name} ({', '.join(whom)})" for name, whom in api.export_formats().items())
    parser.add_argument("model", nargs="*", metavar="MODEL",
                        help="a model's folder (holds model.json), or an archive of models (default: what autoseg_predict "
                             "would take)")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT",
                        help="the zip archive, or the folder of another format")
    parser.add_argument("-d", dest="dataset", metavar="DATASET", help="whose models (default: the only one there is)")
    parser.add_argument("-c", dest="configuration", nargs="+", metavar="CONFIG",
                        help=f"configuration of the model: {of_tasks('configurations')} (default: what find-best chose)")
    parser.add_argument("-tr", "--trainer", dest="recipe", nargs="+", metavar="RECIPE",
                        help="the recipe it was trained with, or the name it was given")
    parser.add_argument("-f", dest="folds", nargs="+", metavar="FOLD", help="folds of each model (default: all finished ones)")
    parser.add_argument("--format", default="zip", metavar="FORMAT",
                        help=f"zip, for autoseg elsewhere; or {formats}; default: zip")
    parser.add_argument("--best-weights", action="store_true",
                        help="put the best weights of the online validation into the zip, too, for --checkpoint best")
    parser.add_argument("--license", metavar="NAME", help="for the model card in the zip, such as cc-by-4.0")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.export_models(
        flags.output, model=flags.model or None, dataset=flags.dataset, configuration=flags.configuration, recipe=flags.recipe,
        folds=flags.folds, format=flags.format, best_weights=flags.best_weights, license=flags.license, overwrite=flags.overwrite,
        workspace=flags.workspace)
    print(f"Wrote {result.path}: {'; '.join(result.models)}.")
    for note in result.notes:
        print(f"Note: {note}")
    if result.is_archive:
        print(f"Next: autoseg_predict -i IMAGES -o OUT -m {shlex.quote(flags.output)}   (on any machine), or autoseg import "
              f"{shlex.quote(flags.output)}")
    return 0


COMMAND = Command("export", "Write trained models for another machine (zip), or for other programs.", add_flags, run)
