"""autoseg import: models from another machine, into the workspace."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="MODEL", help="a zip archive that autoseg export wrote, or a model's folder")
    parser.add_argument("--name", metavar="NAME", help="of the model in the workspace (default: the name it has)")
    parser.add_argument("--overwrite", action="store_true", help="replace a model of this name")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.import_models(flags.source, name=flags.name, overwrite=flags.overwrite, workspace=flags.workspace)
    for model in result.models:
        print(f"Wrote {model.root}")
    for note in result.notes:
        print(f"Note: {note}")
    print(f"Next: {result.next_command}")
    return 0


COMMAND = Command("import", "Bring exported models into the workspace.", add_flags, run)
