"""autoseg evaluate: predictions against references."""

from __future__ import annotations

import argparse

from autoseg.cli.command import Command, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE_DIR", help="folder of reference labels")
    parser.add_argument("prediction", metavar="PREDICTION_DIR", help="folder of predictions, with the same names")
    parser.add_argument("--labels", metavar="DATASET",
                        help="dataset whose label names and regions count (default: the values in the files)")
    parser.add_argument("-o", dest="output", metavar="FILE", help="default: PREDICTION_DIR/summary.json")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.evaluate(
        flags.reference, flags.prediction, labels=flags.labels, output=flags.output, workspace=flags.workspace
    )
    print(f"Wrote {result.path}")
    return 1 if result.summary.failed else 0


COMMAND = Command("evaluate", "Dice, IoU and volumes of predictions, per class and case.", add_flags, run)
