"""autoseg_plan_and_preprocess: a dataset checked, measured, planned and preprocessed."""

from __future__ import annotations

import argparse

from autoseg.cli.command import Command, add_dataset, add_planner, add_workers, add_workspace, command_like, main_of


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("-c", dest="configurations", nargs="+", metavar="CONFIG",
                        help="what to preprocess: 2d 3d_fullres 3d_lowres (default: all that were planned)")
    add_planner(parser)
    add_workers(parser)
    parser.add_argument("--skip-bad-cases", action="store_true", help="go on without the cases that have errors")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.plan_and_preprocess(
        flags.dataset, configurations=flags.configurations, planner=flags.planner, memory_gb=flags.memory_gb,
        workers=flags.workers, skip_bad_cases=flags.skip_bad_cases, workspace=flags.workspace,
    )
    print(f"Wrote {result.folder}: dataset.json, fingerprint.json, plans.json, preprocessed/")
    if result.failed:
        print(f"{len(result.failed)} case(s) could not be preprocessed:")
        for name, reason in result.failed.items():
            print(f"  {name}: {reason}")
        return 1
    which = ["-c", flags.configurations[0]] if flags.configurations and "3d_fullres" not in flags.configurations else []
    print(f"Next: {command_like(flags, 'autoseg_train', '0', *which)}")
    return 0


COMMAND = Command(
    "plan_and_preprocess", "Check a dataset, plan spacing, patch size and network, and preprocess it.", add_flags, run
)
main = main_of(COMMAND, "autoseg_plan_and_preprocess")
