"""autoseg report: one page about all that is known of a dataset."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command, add_dataset, add_workspace


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    path = api.report(flags.dataset, workspace=flags.workspace)
    print(f"Wrote {path.resolve()}\nNext: open it in a browser")
    return 0


COMMAND = Command("report", "Write report.html: data, plan, training, results and worst cases of a dataset.", add_flags, run)
