"""autoseg demo: the whole main job on a small synthetic dataset."""

from __future__ import annotations

import argparse

from autoseg.cli.command import Command


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="output", default="autoseg_demo", metavar="DIR",
                        help="where everything goes (default: ./autoseg_demo)")


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.demo(flags.output)
    print(f"Images, segmentations and models lie in {flags.output}\n"
          f"Learning curves: {result.progress_png}\n"
          f"Report of the segmentations of the test images: {result.summary_json}\n"
          "Next: autoseg_plan_and_preprocess DATASET   with your own data; the README shows how it should lie")
    return 0


COMMAND = Command("demo", "Make a synthetic dataset, plan, train, predict and evaluate it, in a few minutes.", add_flags, run)
