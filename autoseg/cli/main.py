"""autoseg VERB ...: every command under one name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from autoseg.cli import (
    demo,
    evaluate,
    find_best,
    plan_and_preprocess,
    postprocess,
    predict,
    recipes,
    report,
    run,
    train,
    verify,
)
from autoseg.cli.command import execute

COMMANDS = (
    run.COMMAND, verify.COMMAND, plan_and_preprocess.COMMAND, train.COMMAND, find_best.COMMAND, report.COMMAND, predict.COMMAND,
    postprocess.COMMAND, evaluate.COMMAND, recipes.COMMAND, demo.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the verb and its flags, and run it; return the exit code."""
    return execute(_run, arguments)


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="autoseg", description="Auto-configuring toolkit for medical images. `autoseg VERB -h` explains a verb."
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for command in COMMANDS:
        verb = verbs.add_parser(command.name, help=command.summary, description=command.summary, allow_abbrev=False)
        command.add_flags(verb)
        verb.set_defaults(run=command.run)
    flags = parser.parse_args(arguments)
    code: int = flags.run(flags)
    return code
