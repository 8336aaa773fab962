"""autoseg verify-dicom: the series below a folder, which are volumes, and why the others are not."""

from __future__ import annotations

import argparse
import shlex

from autoseg import api
from autoseg.cli.command import Command


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a folder with DICOM files, anywhere below")
    parser.add_argument("--repair", action="store_true",
                        help="show what predicting with --repair would use: gaps of missing slices filled, a tilt of the gantry "
                             "undone")


def run(flags: argparse.Namespace) -> int:
    result = api.verify_dicom(flags.folder, repair=flags.repair)
    found, faults = len(result.study.found), len(result.faults)
    print(f"{found} series can be used, {faults} cannot, {len(result.study.refused) - faults} are no volumes.")
    if found:
        print(f"Next: autoseg_predict -i {shlex.quote(flags.folder)} -o OUT{' --repair' * flags.repair}")
    return int(faults > 0 or not found)


COMMAND = Command("verify-dicom", "List the DICOM series below a folder: which are volumes, and why others are not.",
                  add_flags, run)
