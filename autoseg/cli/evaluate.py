"""autoseg evaluate: segmentations against references, and anomaly scores against what is known."""

from __future__ import annotations

import argparse
import sys

from autoseg.cli.command import Command, add_workers, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE_DIR",
                        help="folder of reference labels. Of anomaly scores: a dataset with case_labels, with folders normal and "
                        "abnormal or with label files; a folder of label files (foreground is abnormal); or a CSV file with the "
                        "columns case, truth (normal or abnormal) and perhaps slice")
    parser.add_argument("prediction", metavar="PREDICTION_DIR",
                        help="folder of predictions, with the same names; with scores.csv in it, of anomaly scores")
    parser.add_argument("-d", "--labels", metavar="DATASET",
                        help="dataset whose label names and regions count (default: the values in the files)")
    parser.add_argument("-o", dest="output", metavar="FILE",
                        help="default: PREDICTION_DIR/summary.json; a table, summary.csv, is written beside it; of anomaly "
                        "scores a figure, scores.png")
    parser.add_argument("--tolerance-mm", type=float, metavar="MM",
                        help="distance up to which surfaces agree, for the normalised surface Dice (default: 2.0)")
    add_workers(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    if api.holds_anomaly_scores(flags.prediction):
        return _run_anomalies(flags)
    tolerance = {} if flags.tolerance_mm is None else {"tolerance_mm": flags.tolerance_mm}
    result = api.evaluate(
        flags.reference, flags.prediction, labels=flags.labels, output=flags.output, workspace=flags.workspace,
        workers=flags.workers, **tolerance,
    )
    print(f"Wrote {result.path} and {result.csv_path}")
    return _tell_failed(len(result.summary.failed), len(result.summary.failed) + len(result.summary.metric_per_case))


def _run_anomalies(flags: argparse.Namespace) -> int:
    from autoseg import api

    if flags.tolerance_mm is not None:
        raise api.AutosegError(f"--tolerance-mm is for segmentations, but {flags.prediction} holds anomaly scores. Leave it out.")
    result = api.evaluate_anomalies(
        flags.reference, flags.prediction, labels=flags.labels, output=flags.output, workspace=flags.workspace,
        workers=flags.workers,
    )
    print(f"Wrote {result.path} and {result.figure_path}")
    its = result.summary.cases
    return _tell_failed(len(result.summary.failed), its.normal + its.abnormal + its.unknown)


def _tell_failed(failed: int, total: int) -> int:
    """Say how many cases could not be evaluated; the exit code."""
    if failed:
        print(f"Error: {failed} of {total} cases could not be evaluated, as listed above.", file=sys.stderr)
    return int(failed > 0)


COMMAND = Command(
    "evaluate", "How good segmentations are, per class and case, or how well anomaly scores tell abnormal from normal.",
    add_flags, run,
)
