"""autoseg postprocess: the rules that find-best accepted, on any folder of labels."""

from __future__ import annotations

import argparse
import sys

from autoseg.cli.command import Command, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="input", required=True, metavar="IN", help="a folder of label files, or one")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT", help="folder for the results, not IN itself")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("-d", dest="dataset", metavar="DATASET", help="whose rules (default: the only ones there are)")
    whose.add_argument("--rules", metavar="BEST_JSON", help="a best.json whose accepted rules to apply")
    parser.add_argument("-np", dest="workers", type=int, metavar="N", help="at most so many processes")
    parser.add_argument("--overwrite", action="store_true", help="replace what is already there")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.postprocess(
        flags.input, flags.output, dataset=flags.dataset, rules=flags.rules, workers=flags.workers,
        overwrite=flags.overwrite, workspace=flags.workspace,
    )
    there = f" ({result.already_there} were there already)" if result.already_there else ""
    print(f"Wrote {len(result.written)} label files to {flags.output}{there}.")
    for reason in result.failed.values():
        print(f"Failed: {reason}", file=sys.stderr)
    if result.failed:
        print(f"Error: {len(result.failed)} of {len(result.failed) + len(result.written)} files could not be post-processed: "
              f"{', '.join(result.failed)}. The same command tries them again.", file=sys.stderr)
        return 1
    print(f"Next: autoseg evaluate REFERENCE_DIR {flags.output}   (where you have reference labels)")
    return 0


COMMAND = Command("postprocess", "Apply the post-processing that find-best chose to label files.", add_flags, run)
