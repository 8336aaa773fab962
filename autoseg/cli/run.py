"""autoseg run: everything from a dataset to its report."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import (
    Command,
    add_dataset,
    add_device,
    add_name,
    add_options,
    add_planner,
    add_settings,
    add_workers,
    add_workspace,
    of_tasks,
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("-tr", "--trainer", dest="recipes", nargs="+", default=[], metavar="RECIPE",
                        help=f"what is trained and how: {of_tasks('recipe')}, another that `autoseg recipes` lists, or your own "
                             'as "module:function"; several, all of one task (default: as in the latest run, else default)')
    add_name(parser)
    parser.add_argument("--continue", dest="resume", action="store_true",
                        help="go on with the settings that the latest run was begun with, whatever else is given")
    parser.add_argument("--restart", action="store_true", help="throw away the folds of these models and begin anew")
    add_planner(parser, default=None)
    parser.add_argument("--max-hours", type=float, metavar="H",
                        help="finish in so many hours, which are divided over configurations and folds")
    parser.add_argument("--epochs", type=int, metavar="N", help="of each fold (default: the recipe's)")
    parser.add_argument("--iterations", type=int, metavar="N", help="optimizer steps per epoch (default: the recipe's)")
    add_settings(parser)
    _add_jobs(parser)
    parser.add_argument("--no-cheaper-ways", dest="cheaper_ways", action="store_const", const=False, default=None,
                        help="leave out measuring cheaper ways to predict, as autoseg find-best does with this flag")
    parser.add_argument("--not-worse", type=float, metavar="SHARE",
                        help="how much Dice and NSD may fall for a cheaper way to predict to be taken (default: 0.001)")
    parser.add_argument("--skip-bad-cases", action="store_true", help="go on without the cases that have errors")
    add_workers(parser)
    add_device(parser)
    add_options(parser, api.planning_flags())
    add_workspace(parser)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where folds are trained: by default one after the other, in this process."""
    group = parser.add_argument_group("for several GPUs, and clusters")
    group.add_argument("--gpus", type=int, metavar="N",
                       help="train N folds side by side on this machine, each on a GPU of its own; with --device cpu, on a part "
                            "of the cores (for one training on N GPUs: autoseg_train --gpus)")
    group.add_argument("--on", choices=["slurm"],
                       help="submit each fold, the comparison and the report as jobs that wait for each other")
    group.add_argument("--slurm", action="append", default=[], metavar="KEY=VALUE",
                       help="an option of sbatch for every job, such as partition=gpu, gres=gpu:1 or time=24:00:00; may be "
                            "repeated")
    group.add_argument("--print", dest="only_print", action="store_true",
                       help="write the sbatch scripts, and one that submits them, instead of submitting; needs no submitit")


def run(flags: argparse.Namespace) -> int:
    result = api.run(
        flags.dataset, max_hours=flags.max_hours, recipes=flags.recipes, epochs=flags.epochs, iterations=flags.iterations,
        settings=api.read_assignments(flags.assignments), skip_bad_cases=flags.skip_bad_cases, workers=flags.workers,
        device=flags.device, planner=flags.planner, workspace=flags.workspace,
        gpus=flags.gpus, on=flags.on, slurm=flags.slurm, only_print=flags.only_print, cheaper_ways=flags.cheaper_ways,
        not_worse=flags.not_worse, name=flags.name, resume=flags.resume, restart=flags.restart,
        **api.given_options(api.planning_flags(), vars(flags)))
    if result.submitted:
        print("\n".join(result.submitted))
        return 0
    model, found = result.models[0], result.best
    if found is not None:
        print(found.reason)
    used = model if found is None else found.members[0]
    print(f"Report: {result.report.resolve()}\n"
          f"Next: {api.next_prediction(flags.dataset, used.configuration, used.recipe, flags.workspace)}"
          f"{'   (uses what was found)' if found is not None else ''}")
    return 0


COMMAND = Command(
    "run", "All of it: plan, train every fold, find the best, report. Goes on where it was stopped.", add_flags, run, goes_on=True
)
