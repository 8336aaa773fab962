"""autoseg_train: one or more folds, each to its validation."""

from __future__ import annotations

import argparse
import sys

from autoseg import api
from autoseg.cli.command import (
    Command,
    add_dataset,
    add_device,
    add_gpus,
    add_name,
    add_settings,
    add_workspace,
    command_like,
    main_of,
    of_tasks,
    one_or_more,
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("folds", nargs="+", metavar="FOLD", help="0..4, or all (trains on every case)")
    parser.add_argument("-c", dest="configuration", metavar="CONFIG",
                        help=f"configuration: {of_tasks('configurations')} (default: the usual one where it was planned, such as "
                             "3d_fullres, else the first)")
    parser.add_argument("-tr", "--trainer", dest="recipe", default="default", metavar="RECIPE",
                        help=f"what is trained and how: {of_tasks('recipe')}, another that `autoseg recipes` lists, or your own "
                             'as "module:function" (default: default)')
    add_name(parser)
    parser.add_argument("--from", dest="pretrained", metavar="MODEL",
                        help="a trained model's folder or zip, whose weights the training starts from; the dataset must be "
                             "planned by it (autoseg_plan_and_preprocess --from MODEL)")
    parser.add_argument("--continue", dest="resume", action="store_true",
                        help="go on with an unfinished fold, with the settings that it was started with")
    parser.add_argument("--restart", action="store_true", help="throw away what there is of these folds and begin anew")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: that of the recipe")
    parser.add_argument("--iterations", type=int, metavar="N",
                        help="optimizer steps per epoch (default: that of the recipe)")
    parser.add_argument("--max-hours", type=float, metavar="H",
                        help="fit the schedule into this time per fold; with schedule=poly the learning rate still ends at zero")
    add_device(parser)
    add_gpus(parser, "train one network on N GPUs of this machine, a process each (with --device cpu: N processes that share its "
                     "cores, which is no faster); torchrun starts them over machines: docs/several_gpus.md")
    parser.add_argument("--batch-per-gpu", type=one_or_more, metavar="N",
                        help="samples of a step on each GPU, where the planned batch is too small for so many")
    add_settings(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    for fold in flags.folds:
        result = api.train(
            flags.dataset, fold, configuration=flags.configuration, recipe=flags.recipe, resume=flags.resume,
            restart=flags.restart, epochs=flags.epochs, iterations=flags.iterations, max_hours=flags.max_hours,
            device=flags.device, settings=api.read_assignments(flags.assignments), name=flags.name, workspace=flags.workspace,
            pretrained=flags.pretrained, gpus=flags.gpus, batch_per_gpu=flags.batch_per_gpu,
        )
        if not api.is_main_process():
            continue
        print(f"Wrote {result.folder}: checkpoint_final.safetensors, log.jsonl, progress.png"
              f"{', validation/' if result.summary else ''}")
    if not api.is_main_process():
        return 0
    model = flags.name or flags.recipe
    pooled = api.cross_validation(flags.dataset, result.configuration, model, workspace=flags.workspace)
    following = api.next_prediction(flags.dataset, result.configuration, model, flags.workspace)
    if pooled.summary is not None:
        compare = None if pooled.find_best is None else command_like(flags, "autoseg find-best", *pooled.find_best)
        print(f"Wrote {pooled.path}\nNext: {compare or following}")
        return 0
    if pooled.missing:
        print(f"Of the cross-validation, {', '.join(lack.words for lack in pooled.missing)}. To complete it:")
        for lack in pooled.missing:
            print(f"  {lack.command}")
    print(f"Next: {following}")
    return 0


COMMAND = Command(
    "train", "Train folds of a planned dataset, and validate each on its held-out cases.", add_flags, run, goes_on=True)
main = main_of(COMMAND, "autoseg_train")

if __name__ == "__main__":  # as torchrun starts it
    sys.exit(main(None))
