"""Recipes, and what their papers claim for their parts, side by side: Dice per class, seconds an iteration, peak memory.

usage: python benchmarks/recipes.py --workspace DIR [--datasets DATASET ...] [--variants NAME ...] [--seeds N ...]
           [--epochs N] [--iterations N] [--base-features N] [--batch-size N] [--set KEY=VALUE ...]

--datasets: folders; without it the synthetic small tumours (small_tumours.py), which are made in the workspace.
--variants: of those that VARIANTS and SPARSE below list; all of VARIANTS by default.
--seeds: each variant is trained once for each; Dice is then the mean, with the lowest and the highest of them.
--set: settings for all variants besides, such as patch_size=24,32,32.

Every variant trains fold 0 of 3d_fullres by the real command line, in a process of its own: same data, fold, steps, batch size,
width and mirroring (of the last axis). What is for short trainings (SHORT below) follows the optimizer that the recipe names: its
rate; and for all a linear rise over the first twentieth and polynomial decay. All else is the recipe's own.

In the table: Dice over the validation cases at full size, by the weights after the last step, with its 95 % bootstrap interval
over the cases. Seconds an iteration: the median over the epochs, first one left out where there are more, of an epoch's seconds
(with one batch of validation at its end) by its iterations. Memory and minutes are those of the whole command, with the
validation; the peak is that of the proportional set size, the minutes of processor are those of all threads together. A finished
training is kept, and the same command goes on after it.
"""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import Measurement, measure
from safetensors import safe_open
from small_tumours import make_small_tumours

from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.training_log import read_log
from autoseg.workspace import FoldFolder, Workspace, read_json, read_model

PROGRAM = "import sys; from autoseg.cli.{} import main; sys.exit(main())"
CONFIGURATION = "3d_fullres"
USUAL_SEED = 12345

# name of the model: recipe, and what is set besides
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "default": ("default", ()),
    "default-exp_log": ("default", ("loss=exp_log",)),
    "default-one_level": ("default", ("deep_supervision=false",)),
    "multiscale": ("multiscale", ()),
    "multiscale-dice_ce": ("multiscale", ("loss=dice_ce",)),
    "multiscale-one_level": ("multiscale", ("deep_supervision=false",)),
    "unet3plus": ("unet3plus", ()),
    "unet3plus-dice_ce": ("unet3plus", ("loss=dice_ce",)),
    "unet3plus-one_level": ("unet3plus", ("deep_supervision=false",)),
    "default-resunet": ("default", ("network=resunet",)),
}
# which patches are drawn, for small and sparse classes
SPARSE: dict[str, tuple[str, tuple[str, ...]]] = {
    "default-rare": ("default", ("sampling=rare",)),
    "default-foreground": ("default", ("foreground_share=0.67",)),
    "default-rare-foreground": ("default", ("sampling=rare", "foreground_share=0.67")),
    "default-rare-foreground-one_level": ("default", ("sampling=rare", "foreground_share=0.67", "deep_supervision=false")),
}
ALL = VARIANTS | SPARSE
# SGD: what the README gives for short trainings. Adam: the better of 0.001 and 0.003 in trials of `multiscale` with 400 steps
SGD = ("learning_rate=0.05", "momentum=0.9")
ADAM = ("learning_rate=0.003", "schedule=poly")
SHORT = {"default": SGD, "multiscale": ADAM, "unet3plus": SGD}


@dataclass(frozen=True)
class Trained:
    """dice: by class name, with the interval's ends. parameters: of the network. iteration_seconds: see above."""

    dice: dict[str, tuple[float, float, float]]
    parameters: int
    iteration_seconds: float
    measured: Measurement


def main() -> None:
    arguments = _parse_arguments()
    sources = arguments.datasets or [make_small_tumours(arguments.workspace / "raw")]
    print(f"command: python {shlex.join(sys.argv)}")
    for name in arguments.variants:
        recipe, changes = ALL[name]
        print(f"  {name}: {shlex.join(command_line(Path('DATASET'), recipe, changes, name, USUAL_SEED, arguments))}")
    for source in sources:
        plan(source, arguments.workspace)
        print(f"\n{source.name}, {arguments.epochs * arguments.iterations} steps of {arguments.batch_size} patches, "
              f"{arguments.base_features} base features\n", flush=True)
        rows = {}
        for name in arguments.variants:
            rows[name] = [train(source, name, seed, arguments) for seed in arguments.seeds]
            print(f"  {name} done", file=sys.stderr, flush=True)
        print(table(rows), flush=True)


def plan(source: Path, workspace: Path) -> None:
    """Plan and preprocess, where that has not been done."""
    flags = [source, "-c", CONFIGURATION, "--workspace", workspace]
    measure([sys.executable, "-c", PROGRAM.format("plan_and_preprocess"), *flags])


def train(source: Path, name: str, seed: int, arguments: argparse.Namespace) -> Trained:
    """Train one variant, unless the same command has been run to its end, and read what it left."""
    recipe, changes = ALL[name]
    model_name = name if seed == USUAL_SEED else f"{name}-{seed}"
    command = command_line(source, recipe, changes, model_name, seed, arguments)
    dataset = Workspace(arguments.workspace).dataset(source.name)
    record = dataset.root / "benchmark" / f"{model_name}.json"
    fold = dataset.model(CONFIGURATION, model_name).fold(0)
    if not (record.exists() and fold.summary_json.exists() and read_json(record)["command"] == command):
        flags = [*command[1:], "--workspace", str(arguments.workspace), "--restart"]
        measured = measure([sys.executable, "-c", PROGRAM.format("train"), *flags])
        write_json(record, {"command": command, "measured": asdict(measured)})
    summary = read_model(fold.summary_json, Summary)
    dice = {summary.names[key]: (mean["Dice"], *summary.confidence[key]["Dice"]) for key, mean in summary.mean.items()}
    dice["mean"] = (summary.foreground_mean["Dice"], *summary.foreground_confidence["Dice"])
    return Trained(dice, number_of_parameters(fold), iteration_seconds(fold, arguments.iterations),
                   Measurement(**read_json(record)["measured"]))


def command_line(
    source: Path, recipe: str, changes: tuple[str, ...], model_name: str, seed: int, arguments: argparse.Namespace
) -> list[str]:
    """Return what a user would type for one variant, but for the workspace."""
    settings = [*SHORT[recipe], "warmup=0.05", *changes, f"base_features={arguments.base_features}",
                f"batch_size={arguments.batch_size}", "mirror=2", "validation_iterations=1", *arguments.set]
    if seed != USUAL_SEED:
        settings.append(f"seed={seed}")
    return ["autoseg_train", str(source), "0", "-c", CONFIGURATION, "-tr", recipe, "--name", model_name,
            "--epochs", str(arguments.epochs), "--iterations", str(arguments.iterations),
            *(word for setting in settings for word in ("--set", setting))]


def number_of_parameters(fold: FoldFolder) -> int:
    """All learnable numbers in the final weights; the running statistics of batch norm are not among them."""
    with safe_open(fold.checkpoint_final, framework="np") as weights:
        names = [name for name in weights.keys() if "running_" not in name and "num_batches" not in name]  # noqa: SIM118
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in names)


def iteration_seconds(fold: FoldFolder, iterations: int) -> float:
    epochs = [epoch.seconds for epoch in read_log(fold.log_jsonl)]
    return statistics.median(epochs[1:] or epochs) / iterations


def table(rows: dict[str, list[Trained]]) -> str:
    """In Markdown."""
    classes = list(next(iter(rows.values()))[0].dice)
    header = ["recipe", "set besides", *(f"Dice {name}" for name in classes), "s / iteration", "peak GB", "minutes",
              "of processor", "parameters"]
    lines = [header, ["---"] * len(header)]
    for name, trained in rows.items():
        recipe, changes = ALL[name]
        lines.append([
            recipe, " ".join(changes), *(dice_cell([one.dice[key] for one in trained]) for key in classes),
            f"{statistics.fmean(one.iteration_seconds for one in trained):.3f}",
            f"{max(one.measured.peak_bytes for one in trained) / 1e9:.2f}",
            f"{statistics.fmean(one.measured.seconds for one in trained) / 60:.1f}",
            f"{statistics.fmean(one.measured.processor_seconds for one in trained) / 60:.1f}",
            f"{trained[0].parameters / 1e6:.2f} M",
        ])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def dice_cell(seeds: list[tuple[float, float, float]]) -> str:
    """Mean, with the interval over the cases for one seed, or with the range over several."""
    means = [value for value, _, _ in seeds]
    low, high = seeds[0][1:] if len(seeds) == 1 else (min(means), max(means))
    return f"{statistics.fmean(means):.3f} ({low:.3f}-{high:.3f})"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--datasets", type=Path, nargs="+")
    parser.add_argument("--variants", nargs="+", choices=list(ALL), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[USUAL_SEED])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
