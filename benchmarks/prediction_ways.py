"""Full, chosen and fastest way to predict, by the real command on validation cases: seconds, network evaluations, Dice and NSD.

usage: python benchmarks/prediction_ways.py --workspace DIR --dataset NAME [--folds N ...] [--nnunet-python PATH]
                                            [--engine NAME] [--folder FOLDER]

find-best must have been run. --folds: each predicts the cases that it did not train on, alone, as find-best measures; all by
default. --nnunet-python: the python of an environment with nnunetv2; the models are exported for it, and it predicts the same
cases in full and without mirroring.
--engine: the ways again by this engine, which has converted its networks before. --folder: where images, predictions and the
export go.

Seconds are those of the whole commands, divided by the cases. Processor seconds are those of all processes, which other work on
the machine hardly changes, for a fold's cases less those for one case, divided by the others: start and loading are left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import Measurement, measure

from autoseg.best import Best
from autoseg.dataset import Case, Dataset
from autoseg.evaluation.summary import Pair, evaluate_pairs
from autoseg.image_io import file_ending, label_ending
from autoseg.tasks.segmentation import INFO
from autoseg.workspace import DatasetFolder, Workspace, read_json, read_model

PROGRAM = "from autoseg.cli.main import main; raise SystemExit(main())"
Predict = Callable[[Path, Path, int], Measurement]  # from images into a folder, by a fold


def main() -> None:
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        compare(arguments, arguments.folder or Path(temporary))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print a line for each way of autoseg, and of nnU-Net."""
    place = Workspace(arguments.workspace).dataset(arguments.dataset)
    ways, dataset = read_model(place.best_of(INFO), Best).ways, read_model(place.dataset_json, Dataset)
    if ways is None:
        raise SystemExit("find-best has not measured the ways to predict.")
    print(f"chosen: {ways.in_words(ways.chosen_way.way)}; fastest: {ways.in_words(ways.fastest_way.way)}")
    print("| | way | evaluations | seconds | processor seconds | Dice | NSD |\n|---|---|---|---|---|---|---|", flush=True)
    by_name = {"full": (("--accurate",), ways.full), "chosen": ((), ways.chosen_way), "fast": (("--fast",), ways.fastest_way)}
    for name, (flags, one) in by_name.items():
        row(arguments, folder, place, dataset, f"autoseg | {name}", f"{one.evaluations:.3g}", autoseg_by(place, flags))
        if arguments.engine:
            row(arguments, folder, place, dataset, f"autoseg | {name}, {arguments.engine}", f"{one.evaluations:.3g}",
                autoseg_by(place, (*flags, "--engine", arguments.engine)), converts=True)
    if arguments.nnunet_python:
        model = folder / "nnunet"
        if not model.exists():
            measure([sys.executable, "-c", PROGRAM, "export", "-o", model, "-d", place.name, "--format", "nnunet", "--workspace",
                     arguments.workspace])
        model = next(model.rglob("plans.json")).parent
        for name, flags in (("full", ()), ("no mirroring", ("--disable_tta",))):
            row(arguments, folder, place, dataset, f"nnU-Net | {name}", "", nnunet_by(arguments.nnunet_python, model, flags))


def row(
    arguments: argparse.Namespace, folder: Path, place: DatasetFolder, dataset: Dataset, name: str, evaluations: str,
    predict: Predict, converts: bool = False,
) -> None:
    """Predict each fold's cases, compare them with their labels, and print the line. converts: the first prediction does more."""
    splits = read_json(place.splits_json)
    seconds, processor, others = 0.0, 0.0, 0
    pairs: list[Pair] = []
    for fold in arguments.folds if arguments.folds is not None else range(len(splits)):
        cases = [case for case in dataset.training if case.name in splits[fold]["val"]]
        output = folder / name.replace(" | ", "_").replace(" ", "_") / str(fold)
        shutil.rmtree(output, ignore_errors=True)
        for again in range(1 + converts):
            one = predict(images(folder, cases[:1], f"{fold}_one"), output / f"one_{again}", fold)
        every = predict(images(folder, cases, str(fold)), output / "all", fold)
        seconds += every.seconds
        processor += every.processor_seconds - one.processor_seconds
        others += len(cases) - 1
        pairs += [Pair(case.name, case.label, output / "all" / f"{case.name}{label_ending(file_ending(case.images[0]))}")
                  for case in cases if case.label is not None]
    mean = evaluate_pairs(pairs, dataset.labels).foreground_mean
    print(f"| {name} | {evaluations} | {seconds / len(pairs):.3f} | {processor / others:.3f} | {mean['Dice']:.4f} | "
          f"{mean['NSD']:.4f} |", flush=True)


def images(folder: Path, cases: Sequence[Case], name: str) -> Path:
    """Return a folder of links to the images of cases, named as both programs expect them."""
    place = folder / "images" / name
    place.mkdir(parents=True, exist_ok=True)
    for case in cases:
        for channel, image in enumerate(case.images):
            link = place / f"{case.name}_{channel:04d}{file_ending(image)}"
            if not link.exists():
                link.symlink_to(image.resolve())
    return place


def autoseg_by(place: DatasetFolder, flags: Sequence[str]) -> Predict:
    """Return a prediction by autoseg_predict, on the CPU."""
    def predict(source: Path, target: Path, fold: int) -> Measurement:
        return measure([sys.executable, "-c", PROGRAM, "predict", "-i", source, "-o", target, "-d", place.name, "-f", str(fold),
                        "--device", "cpu", "--workspace", place.root.parent, *flags])

    return predict


def nnunet_by(python: Path, model: Path, flags: Sequence[str]) -> Predict:
    """Return a prediction by nnU-Net, on the CPU."""
    def predict(source: Path, target: Path, fold: int) -> Measurement:
        environment = {**os.environ, "nnUNet_raw": str(model), "nnUNet_preprocessed": str(model), "nnUNet_results": str(model)}
        return measure([python.parent / "nnUNetv2_predict_from_modelfolder", "-i", source, "-o", target, "-m", model,
                        "-f", str(fold), "-device", "cpu", *flags], environment)

    return predict


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--folds", type=int, nargs="+")
    parser.add_argument("--nnunet-python", type=Path)
    parser.add_argument("--engine")
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
