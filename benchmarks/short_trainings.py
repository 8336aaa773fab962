"""Optimizer settings by the number of steps: Dice of short trainings with what follows from the steps, and with other settings.

usage: python benchmarks/short_trainings.py --workspace DIR --dataset DATASET [--steps N ...] [--variants NAME ...]
           [-c CONFIGURATION] [--recipe NAME] [--base-features N] [--batch-size N] [--set KEY=VALUE ...]

--variants: of those that VARIANTS lists; all by default. "by steps" sets nothing. "nnU-Net" is what a training of 250 000 steps
has. --set: settings for all variants besides, such as network=resunet.

Each trains fold 0 by the real command line in a process of its own with one thread; the same data, fold, seed and steps, in ten
epochs. Dice is the mean over classes and validation cases at full size. A finished training is kept, and the same command goes
on after it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from measure import measure
from recipes import PROGRAM

from autoseg.evaluation.summary import Summary
from autoseg.workspace import Workspace, read_model

EPOCHS = 10
VARIANTS: dict[str, tuple[str, ...]] = {
    "by steps": (),
    "nnU-Net": ("learning_rate=0.01", "momentum=0.99", "warmup=0"),
    "0.05, 0.9": ("learning_rate=0.05", "momentum=0.9", "warmup=0.05"),
    "0.1, 0.9": ("learning_rate=0.1", "momentum=0.9", "warmup=0.05"),
    "0.05, 0.95": ("learning_rate=0.05", "momentum=0.95", "warmup=0.05"),
    "0.2, 0.8": ("learning_rate=0.2", "momentum=0.8", "warmup=0.05"),
    "0.3, 0.7": ("learning_rate=0.3", "momentum=0.7", "warmup=0.05"),
}


def main() -> None:
    arguments = _parse_arguments()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    planned = [arguments.dataset, "-c", arguments.configuration, "--workspace", arguments.workspace]
    measure([sys.executable, "-c", PROGRAM.format("plan_and_preprocess"), *planned], environment)
    print(f"| steps | {' | '.join(arguments.variants)} |\n|---|{'---|' * len(arguments.variants)}", flush=True)
    for steps in arguments.steps:
        cells = [f"{dice(name, steps, arguments, environment):.3f}" for name in arguments.variants]
        print(f"| {steps} | {' | '.join(cells)} |", flush=True)


def dice(variant: str, steps: int, arguments: argparse.Namespace, environment: dict[str, str]) -> float:
    """Train one variant, unless that has been done, and return its mean Dice."""
    settings = [*VARIANTS[variant], f"base_features={arguments.base_features}", f"batch_size={arguments.batch_size}",
                "validation_iterations=1", *arguments.set]
    name = f"{arguments.recipe}-{steps}-{list(VARIANTS).index(variant)}"
    fold = Workspace(arguments.workspace).dataset(arguments.dataset.name).model(arguments.configuration, name).fold(0)
    if not fold.summary_json.exists():
        flags = [arguments.dataset, "0", "-c", arguments.configuration, "-tr", arguments.recipe, "--name", name,
                 "--epochs", str(EPOCHS), "--iterations", str(steps // EPOCHS), "--workspace", arguments.workspace, "--restart",
                 *(word for setting in settings for word in ("--set", setting))]
        measure([sys.executable, "-c", PROGRAM.format("train"), *flags], environment)
    return read_model(fold.summary_json, Summary).foreground_mean["Dice"]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400, 1500, 4000])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("-c", "--configuration", default="3d_fullres")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
