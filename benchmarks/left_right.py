"""Left and right as two classes: Dice where mirroring swaps the labels, where it does not, and without mirroring that axis.

usage: python benchmarks/left_right.py --workspace DIR [--bodies NAME ...] [--configurations 2d 3d_fullres] [--mirror CHOICE ...]
           [--epochs N] [--iterations N] [--seeds N ...] [--training N] [--validation N] [--set KEY=VALUE ...]

Makes two datasets of synthetic CT-like kidneys, left_kidney and right_kidney, in DIR/raw:

- alike: both sides of the body look alike, so that only the place in the body tells a left kidney from a right one.
- liver: the same, with a large organ on the patient's right.

Each choice of `mirror` trains fold 0 with narrow networks, the same steps, settings and seed. In the table: Dice over the
validation cases at full size, with mirrored tiles as training mirrored; "either": of the kidneys, whatever side they are called;
"wrong side": share of the kidneys' voxels that are called the other kidney.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

import autoseg
from autoseg.demo import Ellipsoid, ellipsoid, make_synthetic_dataset, synthetic_case
from autoseg.evaluation.summary import Summary
from autoseg.files import write_json
from autoseg.image import Image
from autoseg.image_io import read_label
from autoseg.settings import read_assignments

NAMES = {"alike": "Dataset902_KidneysAlike", "liver": "Dataset903_KidneysAndLiver"}
SHAPE = (14, 28, 32)  # less than three times as long as thick: turned by up to 30 degrees about each axis in 3D
LIVER: Ellipsoid = (np.array([-0.1, -0.2, -0.42]), np.array([0.9, 0.32, 0.26]))
LIVER_HU = 60  # above muscle
SETTINGS = {"base_features": "8", "batch_size": "2", "momentum": "0.9", "learning_rate": "0.05", "warmup": "0.05",
            "validation_iterations": "1"}


def draw_body(rng: np.random.Generator, about: tuple[int, int, int], liver: bool) -> tuple[Image, np.ndarray]:
    """Return a case with the label 1 for the left kidney and 2 for the right one. x runs to the patient's left."""
    image, label = synthetic_case(rng, about, tumour=lambda rng, kidney: None)
    label[..., :label.shape[2] // 2][label[..., :label.shape[2] // 2] == 1] = 2
    if liver:
        grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in label.shape), indexing="ij")
        image.array[0][ellipsoid(*grid, *LIVER) & (label == 0)] += LIVER_HU
    return image, label


def make_bodies(parent: Path, body: str, training: int, validation: int) -> Path:
    """Return the dataset's folder in `parent`; made where it is not there yet."""
    folder = parent / NAMES[body]
    if not (folder / "splits_final.json").exists():
        make_synthetic_dataset(parent, training + validation, 0, shape=SHAPE, name=NAMES[body],
                               draw_case=partial(draw_body, liver=body == "liver"))
        write_json(folder / "dataset.json", {
            "channel_names": {"0": "CT"}, "labels": {"background": 0, "left_kidney": 1, "right_kidney": 2},
            "numTraining": training + validation, "file_ending": ".nii.gz"})
        cases = [f"synthetic_{number:03d}" for number in range(training + validation)]
        write_json(folder / "splits_final.json", [{"train": cases[:training], "val": cases[training:]}])
    return folder


def measured(summary: Summary) -> tuple[float, float, float, float]:
    """Return Dice of the left and of the right kidney, of both as one, and the share of voxels that are called the other one."""
    both, wrong = [], []
    for case in summary.metric_per_case:
        truth, found = (read_label(Path(file)).array for file in (case.reference_file, case.prediction_file))
        hit = (truth > 0) & (found > 0)
        both.append(2 * hit.sum() / ((truth > 0).sum() + (found > 0).sum()))
        wrong.append((hit & (truth != found)).sum() / max(1, hit.sum()))
    left, right = (summary.mean[key]["Dice"] for key in ("1", "2"))
    return left, right, statistics.fmean(both), statistics.fmean(wrong)


def main() -> None:
    arguments = _parse_arguments()
    print(f"command: python {shlex.join(sys.argv)}\n\n| sides | configuration | mirror= | Dice left | Dice right | either | "
          "wrong side | minutes |\n|---|---|---|---|---|---|---|---|", flush=True)
    for body in arguments.bodies:
        source = make_bodies(arguments.workspace / "raw", body, arguments.training, arguments.validation)
        autoseg.plan_and_preprocess(source, workspace=arguments.workspace, quiet=True, workers=1)
        for configuration in arguments.configurations:
            for choice in arguments.mirror:
                began = time.perf_counter()
                cells = _shown([_train(source, configuration, choice, seed, arguments) for seed in arguments.seeds])
                minutes = (time.perf_counter() - began) / 60
                print(f"| {body} | {configuration} | {choice} | {' | '.join(cells)} | {minutes:.1f} |", flush=True)


def _train(
    source: Path, configuration: str, choice: str, seed: int, arguments: argparse.Namespace
) -> tuple[float, float, float, float]:
    given = {**SETTINGS, "mirror": choice, "seed": str(seed), **read_assignments(arguments.set)}
    result = autoseg.train(
        source, 0, configuration, restart=True, epochs=arguments.epochs, iterations=arguments.iterations, settings=given,
        name=f"{choice}-{seed}", workspace=arguments.workspace, quiet=True, device="cpu")
    return measured(result.summary)


def _shown(seeds: Sequence[tuple[float, float, float, float]]) -> list[str]:
    """Return the mean over the seeds of each measure, for several seeds with the lowest and the highest."""
    ends = (f" ({min(its):.3f}-{max(its):.3f})" if len(its) > 1 else "" for its in zip(*seeds, strict=True))
    return [f"{statistics.fmean(its):.3f}{end}" for its, end in zip(zip(*seeds, strict=True), ends, strict=True)]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--bodies", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--configurations", nargs="+", default=["3d_fullres"])
    parser.add_argument("--mirror", nargs="+", default=["auto", "no_swap", "no_left_right"])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[12345])
    parser.add_argument("--training", type=int, default=12)
    parser.add_argument("--validation", type=int, default=8)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
