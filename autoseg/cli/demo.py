"""autoseg demo: the whole main job on a small synthetic dataset."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="output", default="autoseg_demo", metavar="DIR",
                        help="where everything goes (default: ./autoseg_demo)")


def run(flags: argparse.Namespace) -> int:
    result = api.demo(flags.output)
    print(f"Images, segmentations and models lie in {flags.output}\n"
          f"Evaluation of the test images: {result.summary_json}\n"
          "Next: autoseg run DATASET   with your own data; the README shows how it should lie\n"
          f"Report, to be opened in a browser: {result.report}")
    return 0


COMMAND = Command("demo", "Make a synthetic dataset and run the whole job on it, in a few minutes.", add_flags, run, goes_on=True)
