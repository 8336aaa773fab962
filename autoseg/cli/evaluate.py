"""autoseg evaluate: predictions against references."""

from __future__ import annotations

import argparse
import sys

from autoseg.cli.command import Command, add_workers, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE_DIR", help="folder of reference labels")
    parser.add_argument("prediction", metavar="PREDICTION_DIR", help="folder of predictions, with the same names")
    parser.add_argument("-d", "--labels", metavar="DATASET",
                        help="dataset whose label names and regions count (default: the values in the files)")
    parser.add_argument("-o", dest="output", metavar="FILE",
                        help="default: PREDICTION_DIR/summary.json; a table, summary.csv, is written beside it")
    parser.add_argument("--tolerance-mm", type=float, default=2.0, metavar="MM",
                        help="distance up to which surfaces agree, for the normalised surface Dice (default: 2.0)")
    add_workers(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.evaluate(
        flags.reference, flags.prediction, labels=flags.labels, output=flags.output, workspace=flags.workspace,
        tolerance_mm=flags.tolerance_mm, workers=flags.workers,
    )
    print(f"Wrote {result.path} and {result.csv_path}")
    if failed := result.summary.failed:
        total = len(failed) + len(result.summary.metric_per_case)
        print(f"Error: {len(failed)} of {total} cases could not be evaluated, as listed above.", file=sys.stderr)
        return 1
    return 0


COMMAND = Command(
    "evaluate", "Overlap, surface distances, volumes and lesions of predictions, per class and case.", add_flags, run
)
