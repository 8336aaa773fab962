"""autoseg evaluate: outputs of models, compared with the truth."""

from __future__ import annotations

import argparse
import sys

from autoseg import api
from autoseg.cli.command import Command, add_options, add_workers, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE_DIR",
                        help="what is true: " + "; ".join(f"of {info.writes}: {info.reference}" for info in api.task_infos()
                                                          if info.reference))
    parser.add_argument("prediction", metavar="PREDICTION_DIR",
                        help="folder of what models made; its tables say what it holds")
    parser.add_argument("-d", "--labels", metavar="DATASET",
                        help="dataset whose label names and regions count (default: the values in the files)")
    parser.add_argument("-o", dest="output", metavar="FILE",
                        help="default: PREDICTION_DIR/summary.json; a table or a figure is written beside it")
    add_options(parser, api.evaluation_flags())
    add_workers(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.evaluate(
        flags.reference, flags.prediction, labels=flags.labels, output=flags.output, workspace=flags.workspace,
        workers=flags.workers, **api.given_options(api.evaluation_flags(), vars(flags)))
    print(f"Wrote {' and '.join(map(str, result.files))}")
    if result.failed:
        print(f"Error: {result.failed} of {result.cases} cases could not be evaluated, as listed above.", file=sys.stderr)
    return int(result.failed > 0)


COMMAND = Command(
    "evaluate", "Compare what models made with what is true, per class and case.", add_flags, run)
