"""Fine-tuning beside training from scratch: the same few cases, steps and seeds, with the weights of a trained model and without.

usage: python benchmarks/fine_tuning.py --workspace DIR --dataset DATASET [--from MODEL] [--steps N] [--cases N] [--seeds N ...]
           [--pretraining-cases N] [--pretraining-steps N] [--validation-cases N] [--base-features N] [--set KEY=VALUE ...]

DATASET: in nnU-Net's or the Decathlon's layout. Its cases are shuffled and dealt out: some to train a narrow model on (left out
where --from names a model that was trained elsewhere), others to fine-tune it on, others to validate on, which no training sees.
Both trainings take the model's plan, so that they differ in the weights that they begin with alone.

Each trains by the real command line in a process of its own with one thread. Dice is the mean over the validation cases at full
size. A finished training is kept, and the same command goes on after it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from measure import measure
from recipes import PROGRAM

from autoseg.dataset import Case, Dataset, load_dataset
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.tasks.segmentation.pretrained import FoldStart, Pretrained, start_of
from autoseg.workspace import FoldFolder, Workspace, read_model

EPOCHS = 10
PRETRAINING, TUNING = "Dataset991_Pretraining", "Dataset992_FineTuning"


def main() -> None:
    arguments = _parse_arguments()
    source = load_dataset(arguments.dataset)
    order = np.random.default_rng(0).permutation(len(source.training)).tolist()
    dealt = [source.training[place] for place in order]
    training, rest = dealt[:arguments.cases], dealt[arguments.cases:]
    validation, rest = rest[:arguments.validation_cases], rest[arguments.validation_cases:]
    raw = write_dataset(arguments.workspace / "raw" / TUNING, source, [*training, *validation])
    write_json(raw / "splits_final.json", [
        {"train": [case.name for case in training], "val": [case.name for case in validation]}])
    model = arguments.pretrained or pretrain(source, rest[:arguments.pretraining_cases], arguments)
    command("plan_and_preprocess", raw, "--from", model, "--workspace", arguments.workspace)
    names = list(source.labels.foreground)
    print(f"| weights at the start | seed | mean Dice | {' | '.join(names)} |\n|---|---|---|{'---|' * len(names)}")
    for label, start in (("random", []), ("the model's", ["--from", model])):
        means = []
        for number, seed in enumerate(arguments.seeds):
            fold, summary = train(raw, model, seed, arguments, start)
            if start and not number:
                show("the model's, not trained further", "", before(fold, names))
            dices = {summary.names[key]: of_class["Dice"] for key, of_class in summary.mean.items()}
            means.append(show(label, str(seed), dices))
        print(f"{label}: mean of {len(means)} seeds {np.mean(means):.3f}", file=sys.stderr)


def before(fold: FoldFolder, names: list[str]) -> dict[str, float]:
    """Return the model's own mean Dice of each class; nan where it does not know the class."""
    cases = list(read_model(start_of(fold), FoldStart).before.values())
    return {name: float(np.mean([dice for of_case in cases if (dice := of_case.get(name)) is not None])) for name in names}


def show(label: str, seed: str, dices: dict[str, float]) -> float:
    """Print a line of the table; return the mean Dice."""
    mean = float(np.mean(list(dices.values())))
    print(f"| {label} | {seed} | {mean:.3f} | {' | '.join(f'{dice:.3f}' for dice in dices.values())} |", flush=True)
    return mean


def pretrain(source: Dataset, cases: list[Case], arguments: argparse.Namespace) -> Path:
    """Return the folder of a narrow model that was trained on all of these cases."""
    raw = write_dataset(arguments.workspace / "raw" / PRETRAINING, source, cases)
    model = Workspace(arguments.workspace).dataset(PRETRAINING).model("3d_fullres", "default")
    if not model.fold("all").checkpoint_final.exists():
        command("plan_and_preprocess", raw, "-c", "3d_fullres", "--workspace", arguments.workspace)
        command("train", raw, "all", "-c", "3d_fullres", "--workspace", arguments.workspace, *steps(arguments.pretraining_steps),
                "--set", f"base_features={arguments.base_features}", "batch_size=2", "--restart")
    return model.root


def train(
    raw: Path, model: Path, seed: int, arguments: argparse.Namespace, start: list[str | Path]
) -> tuple[FoldFolder, Summary]:
    """Train a fold with the weights of `start`, unless that has been done; return it with its validation."""
    configuration = Pretrained.at(str(model)).description.configuration_name
    name = f"{'tuned' if start else 'scratch'}-{arguments.steps}-{seed}"
    fold = Workspace(arguments.workspace).dataset(TUNING).model(configuration, name).fold(0)
    if not fold.summary_json.exists():
        command("train", raw, "0", "-c", configuration, "--workspace", arguments.workspace, "--name", name, "--restart",
                *steps(arguments.steps), "--set", f"seed={seed}", "batch_size=2", "validation_iterations=1", *arguments.set,
                *start)
    return fold, read_model(fold.summary_json, Summary)


def steps(number: int) -> list[str]:
    return ["--epochs", str(EPOCHS), "--iterations", str(number // EPOCHS)]


def command(verb: str, *words: str | Path) -> None:
    """Run a command with one thread."""
    print(f"{verb}: {measure([sys.executable, '-c', PROGRAM.format(verb), *words], os.environ | {'OMP_NUM_THREADS': '1'})}",
          file=sys.stderr, flush=True)


def write_dataset(folder: Path, source: Dataset, cases: list[Case]) -> Path:
    """Copy cases into a dataset of nnU-Net's layout, one file for each channel."""
    for case in cases:
        for channel, image in enumerate(case.images):
            copy(image, folder / "imagesTr" / f"{case.name}_{channel:04d}{source.file_ending}")
        if case.label is not None:
            copy(case.label, folder / "labelsTr" / f"{case.name}{source.file_ending}")
    write_json(folder / "dataset.json", {
        "channel_names": {str(channel): name for channel, name in enumerate(source.channel_names)},
        "labels": source.labels.values, "numTraining": len(cases), "file_ending": source.file_ending})
    return folder


def copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--from", dest="pretrained", type=Path, metavar="MODEL")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--validation-cases", type=int, default=20)
    parser.add_argument("--pretraining-cases", type=int, default=40)
    parser.add_argument("--pretraining-steps", type=int, default=400)
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
