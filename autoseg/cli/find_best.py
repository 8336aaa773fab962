"""autoseg find-best: the model or ensemble, and the post-processing, that the cross-validation supports."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command, add_dataset, add_device, add_gpus, add_workers, add_workspace, command_like


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("-c", dest="configurations", nargs="+", metavar="CONFIG", help="compare only these (default: all)")
    parser.add_argument("-tr", "--trainer", dest="recipes", nargs="+", metavar="RECIPE",
                        help="compare only models of these recipes, or with these names (default: all)")
    parser.add_argument("--no-ensembles", action="store_true",
                        help="compare single models only (pairs predict the validation cases once more)")
    parser.add_argument("--no-cheaper-ways", action="store_true",
                        help="predict in full, and do not measure what less mirroring and fewer tiles change (that predicts the "
                             "validation cases of the choice once more)")
    parser.add_argument("--not-worse", type=float, default=None, metavar="SHARE",
                        help="how much Dice and NSD may fall, at the lower ends of their intervals, for a cheaper way to be "
                             "taken (default: 0.001)")
    add_workers(parser)
    add_device(parser)
    add_gpus(parser, "spread the validation cases over the first N GPUs, a process each; with --device cpu over N processes on "
                     "the CPU")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.find_best(
        flags.dataset, configurations=flags.configurations, recipes=flags.recipes, ensembles=not flags.no_ensembles,
        device=flags.device, workers=flags.workers, workspace=flags.workspace, cheaper_ways=not flags.no_cheaper_ways,
        gpus=flags.gpus,
        **({} if flags.not_worse is None else {"not_worse": flags.not_worse}),
    )
    first = result.best.members[0]
    print(result.best.reason)
    print(f"Wrote {result.path}\nNext: {command_like(flags, 'autoseg report')}\n"
          f"      {api.next_prediction(flags.dataset, first.configuration, first.recipe, flags.workspace)}   "
          "(uses what was found)")
    return 0


COMMAND = Command(
    "find-best", "Compare models and ensembles on the cross-validation; choose, with post-processing.", add_flags, run,
    goes_on=True,
)
