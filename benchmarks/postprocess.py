"""Time and memory that the post-processing of one label volume takes, beside nnU-Net's function and scipy.

usage: python benchmarks/postprocess.py [--classes N] [--slices N] [--nnunet-python PATH] [--repeat N]

Two volumes of 512×512×200 voxels: two kidneys with a tumour, and N classes (default 100) side by side that fill half of the
volume, both with 500 specks. Each side loads the volume and post-processes it, autoseg --repeat times (default 4), the
others once; what a process takes that only loads it is subtracted from the seconds, and given beside the memory.

autoseg: three rules (keep the largest with specks spared, drop small, drop detached). nnU-Net: its
remove_all_but_largest_component_from_segmentation for all foreground, then for class 1, then for class 2, as its
determine_postprocessing would have chosen. scipy: the same with scipy.ndimage.label. Then, for autoseg only, what a training
case costs (measuring all unions of its labels), and what a validation case costs (all candidate rules tried on it, files
read).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import Measurement, measure, ratios
from scipy import ndimage
from scipy.spatial import cKDTree

from autoseg.best import DropDetached, DropSmall, KeepLargest, Rule
from autoseg.dataset import Case, Dataset, Labels
from autoseg.evaluation.summary import Pair
from autoseg.files import write_json
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.image import Geometry, Image
from autoseg.image_io import read_label, write_label
from autoseg.planners.segmentation.anatomy import measure_labels
from autoseg.planners.segmentation.fingerprint import MeasuredVolume, build_fingerprint
from autoseg.planners.segmentation.unions import with_unions
from autoseg.postprocessing.rules import apply_rules
from autoseg.postprocessing.selection import candidate_rules, choose_rules
from autoseg.verification.inspection import Inspection
from autoseg.workspace import read_model

SPACING_MM = (2.5, 0.8, 0.8)
NNUNET = """
import sys, numpy as np
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation as keep
labels = np.load(sys.argv[1])
for _ in range(int(sys.argv[2])):
    cleaned = keep(keep(keep(labels, [tuple(range(1, int(labels.max()) + 1))]), 1), 2)
"""


def main() -> None:
    arguments = _parse_arguments()
    if arguments.side:
        SIDES[arguments.side](arguments.volume, arguments.repeat)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, labels in (("kidneys", kidneys(arguments.slices)), ("classes", cells(arguments.slices, arguments.classes))):
            volume = Path(folder) / f"{name}.npy"
            np.save(volume, labels)
            shape = " × ".join(map(str, labels.shape))
            print(f"{name}: {shape} voxels, {labels.max()} classes, {np.count_nonzero(labels) / labels.size:.0%} foreground")
            compare(volume, arguments)


def compare(volume: Path, arguments: argparse.Namespace) -> None:
    """Print a line for each side, and the ratios."""
    repeat = arguments.repeat
    loading = run("load", volume, repeat)
    print(f"  load only {loading}", flush=True)
    ours = _per_volume(run("rules", volume, repeat), loading, repeat)
    print(f"  autoseg   {ours} for a volume", flush=True)
    peers = {"scipy": run("scipy", volume, 1)}
    if arguments.nnunet_python:
        peers["nnU-Net"] = measure([arguments.nnunet_python, "-c", NNUNET, volume, "1"])
    for name, taken in peers.items():
        theirs = _per_volume(taken, loading, 1)
        print(f"  {name:9} {theirs} for a volume; autoseg: {ratios(ours, theirs)}", flush=True)
    for name in ("unions", "candidates"):
        print(f"  {name:9} {_per_volume(run(name, volume, 1), loading, 1)} for a case", flush=True)


def run(side: str, volume: Path, repeat: int) -> Measurement:
    return measure([sys.executable, __file__, "--side", side, "--volume", volume, "--repeat", str(repeat)])


def _per_volume(taken: Measurement, loading: Measurement, repeat: int) -> Measurement:
    return replace(taken, seconds=(taken.seconds - loading.seconds) / repeat,
                   processor_seconds=(taken.processor_seconds - loading.processor_seconds) / repeat)


def kidneys(slices: int) -> np.ndarray:
    """(slices, 512, 512) uint8: two ellipsoids (1), a ball on one of them (2), specks of both."""
    z, y, x = np.ogrid[:slices, :512, :512]
    labels = np.zeros((slices, 512, 512), np.uint8)
    for centre in (150, 360):
        labels[((z - slices / 2) / 25) ** 2 + ((y - 280) / 45) ** 2 + ((x - centre) / 40) ** 2 < 1] = 1
    labels[((z - slices / 2) * 3) ** 2 + (y - 240) ** 2 + (x - 150) ** 2 < 25**2] = 2
    return with_specks(labels)


def cells(slices: int, classes: int) -> np.ndarray:
    """(slices, 512, 512) uint8 or uint16: the cells around random centres, one class each, in an ellipsoid."""
    random = np.random.default_rng(0)
    grid = np.stack(np.mgrid[:slices:4, :512:4, :512:4], axis=-1).reshape(-1, 3)
    inside = (((grid / (slices, 512, 512) - 0.5) / 0.49) ** 2).sum(axis=1) < 1
    _, nearest = cKDTree(random.permutation(grid[inside])[:classes]).query(grid)
    coarse = np.where(inside, nearest + 1, 0).reshape(-1, 128, 128)
    labels = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)[:slices]
    return with_specks(labels.astype(np.uint8 if classes < 256 else np.uint16))


def with_specks(labels: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(1)
    where = random.integers(0, labels.size, 500)
    labels.ravel()[where] = random.integers(1, labels.max() + 1, 500)
    return labels


def load(volume: Path, repeat: int) -> None:
    np.load(volume)


def rules(volume: Path, repeat: int) -> None:
    labels = np.load(volume)
    union = (1, 2) if labels.max() == 2 else tuple(range(1, int(labels.max()) + 1))
    chosen: list[Rule] = [
        KeepLargest(labels=union, count=2, spared_ml=0.02, spared_mm=26), DropSmall(labels=(1,), below_ml=0.01),
        DropDetached(label=2, anchors=(1,)),
    ]
    for _ in range(repeat):
        apply_rules(labels, SPACING_MM, chosen)


def scipy_side(volume: Path, repeat: int) -> None:
    labels = np.load(volume)
    for _ in range(repeat):
        cleaned = labels.copy()
        for is_kept in (lambda values: values > 0, lambda values: values == 1, lambda values: values == 2):
            mask = is_kept(cleaned)
            components, _ = ndimage.label(mask, np.ones((3, 3, 3)))
            largest = 1 + np.argmax(np.bincount(components.ravel())[1:])
            cleaned[mask & (components != largest)] = 0


def unions(volume: Path, repeat: int) -> None:
    """The fingerprint of a dataset of this one case."""
    labels = np.load(volume)
    path, meaning = volume.with_suffix(".nii"), _meaning(labels)
    write_label(path, labels, Image(labels[None], Geometry(SPACING_MM)))
    case = Case(name=volume.stem, images=(path,), label=path)
    dataset = Dataset(name="D", folder=path.parent, layout="nnunet", channel_names=("CT",), labels=meaning, file_ending=".nii",
                      training=(case,))
    measured, components = measure_labels(labels, SPACING_MM, None)
    of_case = CaseFingerprint(
        spacing_mm=SPACING_MM, shape=labels.shape, shape_after_crop=labels.shape, share_kept=1, orientation="LPS",
        labels=measured, foreground_components=components)
    inspection = Inspection(case, [], measured=MeasuredVolume(of_case, np.zeros((1, 2), np.float32), in_foreground=True))
    fingerprint = with_unions(build_fingerprint(dataset, [inspection]), dataset, workers=1)
    write_json(volume.with_suffix(".json"), fingerprint)


def candidates(volume: Path, repeat: int) -> None:
    """Every candidate that `unions` led to, tried on the case."""
    path = volume.with_suffix(".nii")
    meaning = _meaning(read_label(path).array)
    found = candidate_rules(read_model(volume.with_suffix(".json"), Fingerprint), meaning)
    choose_rules([Pair("case", path, path)], meaning, found, workers=1)


def _meaning(labels: np.ndarray) -> Labels:
    return Labels(values={"background": 0, **{f"class {value}": value for value in range(1, int(labels.max()) + 1)}})


SIDES = {"load": load, "rules": rules, "scipy": scipy_side, "unions": unions, "candidates": candidates}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--nnunet-python", type=Path)
    parser.add_argument("--repeat", type=int, default=4)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--volume", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
