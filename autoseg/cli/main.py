"""autoseg VERB ...: every command under one name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from autoseg import api
from autoseg.cli import (
    convert,
    demo,
    evaluate,
    export,
    find_best,
    import_models,
    jobs,
    plan_and_preprocess,
    postprocess,
    predict,
    recipes,
    report,
    run,
    train,
    verify,
    verify_dicom,
)
from autoseg.cli.command import add_version, carry_out, execute

COMMANDS = (
    run.COMMAND, verify.COMMAND, verify_dicom.COMMAND, convert.COMMAND, plan_and_preprocess.COMMAND, train.COMMAND,
    find_best.COMMAND, report.COMMAND, predict.COMMAND, postprocess.COMMAND, evaluate.COMMAND, export.COMMAND,
    import_models.COMMAND, recipes.COMMAND, demo.COMMAND, jobs.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the verb and its flags, and run it; return the exit code."""
    return execute(_run, arguments)


def _run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="autoseg", description="Auto-configuring toolkit for medical images. `autoseg VERB -h` explains a verb."
    )
    add_version(parser)
    names = [command.name for command in COMMANDS]
    if arguments and arguments[0] not in names and not arguments[0].startswith("-"):
        parser.error(f'there is no verb "{arguments[0]}".{api.did_you_mean(arguments[0], names)} There are: {", ".join(names)}.')
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for command in COMMANDS:
        verb = verbs.add_parser(command.name, help=command.summary, description=command.summary, allow_abbrev=False)
        command.add_flags(verb)
        verb.set_defaults(command=command)
    if not arguments:
        parser.print_help()
        return 0
    flags = parser.parse_args(arguments)
    return carry_out(flags.command, flags)


if __name__ == "__main__":
    sys.exit(main())
