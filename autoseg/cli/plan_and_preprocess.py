"""autoseg_plan_and_preprocess: a dataset checked, measured, planned and preprocessed."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import (
    Command,
    add_dataset,
    add_options,
    add_planner,
    add_workers,
    add_workspace,
    command_like,
    main_of,
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    add_planner(parser)
    add_workers(parser)
    parser.add_argument("--skip-bad-cases", action="store_true", help="go on without the cases that have errors")
    add_options(parser, api.planning_flags())
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.plan_and_preprocess(
        flags.dataset, planner=flags.planner, workers=flags.workers, skip_bad_cases=flags.skip_bad_cases,
        workspace=flags.workspace, **api.given_options(api.planning_flags(), vars(flags)))
    print(f"Wrote {result.folder}: {', '.join(result.written)}")
    if result.counts is not None:
        print(result.counts.in_words)
    if result.failed:
        print(f"{len(result.failed)} case(s) could not be preprocessed:")
        for name, reason in result.failed.items():
            print(f"  {name}: {reason}")
        return 1
    print(f"Next: {command_like(flags, 'autoseg_train', '0', *result.next_flags)}")
    return 0


COMMAND = Command(
    "plan_and_preprocess", "Check a dataset, plan how it is preprocessed and trained on, and preprocess it.", add_flags, run,
    goes_on=True)
main = main_of(COMMAND, "autoseg_plan_and_preprocess")
