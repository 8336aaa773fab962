"""autoseg verify: everything that is wrong with a dataset, in one table."""

from __future__ import annotations

import argparse
import json
import shlex

from autoseg import api
from autoseg.cli.command import Command, add_dataset, add_workers, add_workspace, command_like


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    add_workers(parser)
    parser.add_argument("--repair", metavar="DIR",
                        help="write a copy of the dataset with mended label values to DIR (the dataset itself stays as it is)")
    parser.add_argument("--json", action="store_true", help="print findings and what the dataset holds as JSON, and nothing else")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    if flags.repair:
        api.repair(flags.dataset, flags.repair, workers=flags.workers, workspace=flags.workspace)
        print(f"Wrote {flags.repair}\nNext: autoseg verify {shlex.quote(flags.repair)}")
        return 0
    findings = api.verify(flags.dataset, workers=flags.workers, workspace=flags.workspace, quiet=flags.json)
    seen = api.seen(flags.dataset, flags.workspace)
    planner = api.planner_for(flags.dataset, flags.workspace)
    following = ("autoseg_plan_and_preprocess", *(["--planner", planner] if planner != "default" else []))
    errors = sum(finding.severity == "error" for finding in findings)
    if flags.json:
        content = {"dataset": seen.model_dump(mode="json"), "findings": [one.model_dump(mode="json") for one in findings]}
        print(json.dumps(content, indent=1))
        return int(errors > 0)
    print("\n".join(seen.in_words))
    if any(one.severity == "error" and not one.case for one in findings):
        print(f"{errors} error(s), {len(findings) - errors} warning(s), of the whole dataset, too. Mend them, then run the same "
              "command again.")
        return 1
    if errors and len({one.case for one in findings if one.severity == "error" and one.case}) >= seen.training_cases:
        print(f"{errors} error(s), {len(findings) - errors} warning(s), and no case is without errors. Mend them, then run "
              "the same command again.")
        return 1
    if errors:
        print(f"{errors} error(s), {len(findings) - errors} warning(s). Mend them, or leave these cases out with "
              f"{command_like(flags, *following, '--skip-bad-cases')}")
        return 1
    print(f"No errors, {len(findings)} warning(s).\nNext: {command_like(flags, *following)}")
    return 0


COMMAND = Command("verify", "Check a dataset: every file is read, every finding is listed.", add_flags, run)
