"""Telling classes: pictures of a folder per class; planted spheres with a covariate; and one case in twenty.

usage: python benchmarks/classify.py pictures DATASET FOLDER [--edge N] [--epochs N] [--set KEY=VALUE ...]
       python benchmarks/classify.py planted HIPPOCAMPUS FOLDER [--cases N] [--epochs N] [--set KEY=VALUE ...]
       python benchmarks/classify.py imbalance FOLDER [--cases N] [--epochs N] [--set KEY=VALUE ...]

In FOLDER a dataset is made and planned, and every fold is trained; a second run goes on. Printed are

- pictures: the cross-validation beside the baselines, and the minutes that it took;
- planted: of volumes of the Decathlon's hippocampus, half get a bright sphere. Whether a case is called "yes" depends on the
  sphere and on a covariate, half of the information each: the numbers of both together, of images alone and of the covariate
  alone;
- imbalance: of pictures of noise, one in twenty holds a faint disc. Each remedy's balanced accuracy and calibration: none,
  weights, balanced draws, focal loss, and weights without the correction by the true frequencies.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from autoseg import cross_validation, plan_and_preprocess, train
from autoseg.dataset import load_dataset, read_case
from autoseg.files import write_json, write_text
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.tasks.classification.summary import ANSWER, ClassSummary, Measure
from autoseg.wording import cell

FOLDS = 5
COLUMNS = ("mean_auroc", "balanced_accuracy", "sensitivity", "specificity", "brier", "calibration_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pictures", "planted", "imbalance"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--edge", type=int)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    flags = parser.parse_args()
    settings = dict(entry.split("=", 1) for entry in flags.settings)
    {"pictures": pictures, "planted": planted, "imbalance": imbalance}[flags.what](flags, settings)


def pictures(flags: argparse.Namespace, settings: dict[str, Any]) -> None:
    source, home = flags.folders
    began = time.monotonic()
    summary = validated(source, home, flags, settings, edge=flags.edge)
    print(f"\n{summary.cases} cases, planned, trained and validated in {(time.monotonic() - began) / 60:.1f} minutes\n")
    table(summary)


def planted(flags: argparse.Namespace, settings: dict[str, Any]) -> None:
    source, home = flags.folders
    folder = home / "Dataset901_Spheres"
    if not (folder / "dataset.json").exists():
        plant(source, folder, flags.cases or 80)
    summary = validated(folder, home / "workspace", flags, settings, edge=flags.edge, target=["answer"])
    table(summary)
    for name, its in summary.compared.items():
        print(f"against {name}: {its.difference:+.3f}, p = {its.p_value:.2g}")


def plant(source: Path, folder: Path, count: int) -> None:
    """Write volumes, half of them with a bright sphere of 5 voxels' radius, and a table of the answer and a marker.

    The sphere gives half of the information and the marker the other: log-odds of the answer are 2.5 (sphere or not) + 2.5
    (marker high or low), each plus or minus.
    """
    random = np.random.default_rng(0)
    rows = ["case,answer,marker"]
    dataset = load_dataset(source)
    for number, case in enumerate(dataset.training[:count]):
        image, _ = read_case(case, dataset)
        array = image.array.astype(np.float32)
        has, marker = bool(number % 2), random.normal()
        if has:
            middle = [random.integers(6, size - 6) for size in array.shape[1:]]
            z, y, x = np.ogrid[tuple(slice(0, size) for size in array.shape[1:])]
            inside = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 <= 25
            array[0][inside] = 2 * np.percentile(array, 99)
        odds = 2.5 * (1 if has else -1) + 2.5 * np.sign(marker)
        answer = random.random() < 1 / (1 + np.exp(-odds))
        write_image(folder / "imagesTr" / f"case_{number:03d}_0000.nii.gz", array, image)
        rows.append(f"case_{number:03d},{'yes' if answer else 'no'},{marker:.3f}")
    write_text(folder / "targets.csv", "\n".join([*rows, ""]))
    write_json(folder / "dataset.json", {"channel_names": {"0": "MRI"}, "labels": {"background": 0}, "numTraining": len(rows) - 1,
                                         "file_ending": ".nii.gz"})


REMEDIES: dict[str, dict[str, str]] = {
    "none": {"sampling": "even", "loss": "cross_entropy"}, "weights": {"sampling": "even", "loss": "weighted"},
    "balanced draws": {"sampling": "balanced", "loss": "cross_entropy"}, "focal": {"sampling": "even", "loss": "focal"},
    "weights, frequencies not corrected": {"sampling": "even", "loss": "weighted", "prior": "false"}}


def imbalance(flags: argparse.Namespace, settings: dict[str, Any]) -> None:
    (home,) = flags.folders
    folder = home / "Dataset902_Discs"
    if not (folder / "dataset.json").exists():
        draw_discs(folder, flags.cases or 300)
    print(f"| remedy | {' | '.join(COLUMNS)} | calibration error at temperature 1 |\n|{'---|' * (len(COLUMNS) + 2)}")
    for number, (remedy, changes) in enumerate(REMEDIES.items()):
        summary = validated(folder, home / "workspace", flags, {**settings, **changes}, name=f"remedy{number}", edge=flags.edge)
        uncalibrated = summary.uncalibrated or float("nan")
        print(f"| {remedy} | {line(summary, ANSWER)} | {uncalibrated:.3f} |", flush=True)


def draw_discs(folder: Path, count: int) -> None:
    """Write pictures of noise, 32 × 32; every twentieth holds a disc that is brighter by half a standard deviation."""
    random = np.random.default_rng(0)
    rows = ["case,disc"]
    y, x = np.ogrid[0:32, 0:32]
    for number in range(count):
        pixels, has = random.normal(100, 20, (32, 32)), number % 20 == 0
        middle = random.integers(8, 24, 2)
        pixels += 10 * has * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= 36)
        write_image(folder / "imagesTr" / f"case_{number:04d}_0000.nii.gz", pixels[None, None].astype(np.float32),
                    Image(pixels[None, None], Geometry((1.0, 1.0, 1.0))))
        rows.append(f"case_{number:04d},{'yes' if has else 'no'}")
    write_text(folder / "targets.csv", "\n".join([*rows, ""]))
    write_json(folder / "dataset.json", {"channel_names": {"0": "noise"}, "labels": {"background": 0}, "numTraining": count,
                                         "file_ending": ".nii.gz"})


def validated(
    source: Path, workspace: Path, flags: argparse.Namespace, settings: dict[str, Any], name: str | None = None, **options: Any
) -> ClassSummary:
    """Plan where that is not done, train every fold, and return the cross-validation."""
    if not (workspace / source.name / "plans_classification.json").exists():
        plan_and_preprocess(source, planner="classification", workspace=workspace, quiet=True, **options)
    for fold in range(FOLDS):
        if not (workspace / source.name / "models" / "classes" / (name or "classifier") / f"fold_{fold}" / "validation" /
                "summary.json").exists():
            train(source.name, fold, recipe="classifier", settings=settings, epochs=flags.epochs, workspace=workspace, name=name,
                  quiet=True)
    found = cross_validation(source.name, "classes", name or "classifier", workspace=workspace, quiet=True).summary
    assert isinstance(found, ClassSummary)
    return found


def line(summary: ClassSummary, method: str) -> str:
    numbers = summary.numbers[method]
    measures: list[Measure] = [getattr(numbers, column) for column in COLUMNS]
    return " | ".join(cell(one.value, one.interval) for one in measures)


def table(summary: ClassSummary) -> None:
    print(f"| | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for method in summary.numbers:
        print(f"| {method} | {line(summary, method)} |")
    print(f"\ntemperature {summary.calibration.temperature if summary.calibration else 1:g}; calibration error without one "
          f"{summary.uncalibrated or float('nan'):.3f}")


if __name__ == "__main__":
    main()
