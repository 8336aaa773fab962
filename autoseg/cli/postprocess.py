"""autoseg postprocess: the rules that find-best accepted, on any folder of labels."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command, add_workers, add_workspace, tell_written


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="input", required=True, metavar="IN", help="a folder of label files, or one")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT", help="folder for the results, not IN itself")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("-d", dest="dataset", metavar="DATASET", help="whose rules (default: the only ones there are)")
    whose.add_argument("--rules", metavar="BEST_JSON", help="a best.json whose accepted rules to apply")
    add_workers(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is already there")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.postprocess(
        flags.input, flags.output, dataset=flags.dataset, rules=flags.rules, workers=flags.workers,
        overwrite=flags.overwrite, workspace=flags.workspace,
    )
    written = len(result.written)
    return tell_written(f"{written} label file(s)", written, result.failed, result.already_there, flags.output, "post-processed")


COMMAND = Command("postprocess", "Apply the post-processing that find-best chose to label files.", add_flags, run, goes_on=True)
