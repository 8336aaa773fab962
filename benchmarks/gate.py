"""Images that a gate flags: some that its detector was validated on, the same images changed, and images of something else.

usage: python benchmarks/gate.py DATASET FOLDER [--epochs 60] [--steps 200] [--others IMAGE_OR_FOLDER ...]

DATASET is a folder in nnU-Net's layout of volumes with one channel. A detector is trained on all slices of fold 0's training
cases (sagittal; in FOLDER, where a second run goes on). Its validation cases are scored as they are, upside down, front to back,
with inverted intensities, and with noise of a standard deviation of 8 % of their range; and so are up to five images of each of
the others (their first channel). Printed are the lowest and highest score of each kind and how many lie above the gate's
threshold, which comes from the very same validation cases: that these themselves pass says little.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autoseg import plan_slices, train
from autoseg.dataset import load_dataset
from autoseg.image import Image
from autoseg.image_io import read_image
from autoseg.layouts import CHANNEL_SUFFIX, image_files, stem
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.gate import threshold_of
from autoseg.tasks.anomaly.model import load_detector
from autoseg.tasks.anomaly.plan import CONFIGURATION
from autoseg.workspace import Workspace, read_json

NOISE, SEED = 0.08, 0
MOST = 5


def noisy(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    noise = np.random.default_rng(SEED).normal(0, NOISE * (float(high) - float(low)), values.shape)
    return np.clip(values + noise, low, high).astype(np.float32)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of (C, Z, Y, X)
    "as they are": lambda values: values,
    "upside down": lambda values: values[:, ::-1],
    "front to back": lambda values: values[:, :, ::-1],
    "inverted": lambda values: values.max() - values,
    "with noise": noisy,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=200, help="updates of the search, at most (default: 200)")
    parser.add_argument("--others", nargs="*", type=Path, default=[])
    flags = parser.parse_args()
    source = load_dataset(flags.dataset)
    plan_slices(flags.dataset, axis="sagittal", normal="all", workspace=flags.folder, quiet=True)
    train(flags.dataset, 0, recipe="anogan", epochs=flags.epochs, settings={"encoder": True, "search_steps": flags.steps},
          workspace=flags.folder)
    home = Workspace.at(flags.folder).dataset(source.name)
    model = home.model(CONFIGURATION, "anogan")
    detector = load_detector(model, ["0"], torch.device("cpu"))
    threshold = threshold_of(model, ["0"])
    scorer = AnomalyDetector(detector, torch.device("cpu"), most_slices=detector.description.settings["validation_slices"])
    held_out = read_json(home.splits_of(ANOMALY))[0]["val"]
    images = {case.name: read_image(case.images[0]) for case in source.training if case.name in held_out}
    print(f"flagged above {threshold.in_words}\n\n| inputs | scores | flagged |\n|---|---|---|")
    for change, function in CHANGES.items():
        changed = {name: replace(image, array=np.ascontiguousarray(function(image.array))) for name, image in images.items()}
        print_row(f"{len(images)} validation cases {change}", changed, scorer, threshold.score)
    for place in flags.others:
        print_row(place.name, dict(some_of(place)), scorer, threshold.score)


def some_of(place: Path) -> Iterator[tuple[str, Image]]:
    """Up to five images, with their first channel alone."""
    files = [place] if place.is_file() else [path for path in image_files(place) if is_first_channel(path)]
    for path in files[:MOST]:
        image = read_image(path)
        yield path.name, replace(image, array=image.array[:1])


def is_first_channel(path: Path) -> bool:
    match = CHANNEL_SUFFIX.match(stem(path))
    return match is None or int(match["channel"]) == 0


def print_row(what: str, images: dict[str, Image], scorer: AnomalyDetector, threshold: float) -> None:
    scores = [scorer.score_image(image, name).case.score for name, image in images.items()]
    flagged = sum(score > threshold for score in scores)
    print(f"| {what} | {min(scores):.0f} to {max(scores):.0f} | {flagged} of {len(scores)} |", flush=True)


if __name__ == "__main__":
    main()
