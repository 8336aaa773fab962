"""Time and memory that the evaluation of one large volume takes, beside SimpleITK's filters, in one run.

usage: python benchmarks/evaluate.py [--classes N] [--peer-classes N] [--noise SHARE] [--folder FOLDER]

A label volume of 200×512×512 voxels of 2.5×0.8×0.8 mm with N classes (default 60) that fill nearly half of it, and the same
shifted by 1, 2 and 1 voxels. --noise: share of the prediction's voxels with a random class, so that every class lies
all over the volume (default 0). --peer-classes: classes that SimpleITK measures (default 2; it takes seconds for each).
--folder: where the two files go.

SimpleITK's side, per class, is the usual one (its "Segmentation Evaluation" notebook): LabelOverlapMeasures, and
SignedMaurerDistanceMap of each mask's LabelContour, read at the other's. Both sides read the two files once. The last
lines compare seconds per class, and the largest difference of HD95 and ASSD between the two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from measure import measure
from scipy.spatial import cKDTree

from autoseg.evaluation.summary import Pair, evaluate_pairs
from autoseg.image import Geometry, Image
from autoseg.image_io import write_label

SHAPE, COARSER = (200, 512, 512), 4
SPACING_MM = (2.5, 0.8, 0.8)
RADIUS = 14  # of a class, in voxels of the coarser grid


def main() -> None:
    arguments = _parse_arguments()
    sides = {"autoseg": measure_autoseg, "simpleitk": measure_simpleitk}
    if arguments.side:
        values = sides[arguments.side](arguments.folder, arguments.peer_classes)
        (arguments.folder / f"{arguments.side}.json").write_text(json.dumps(values))
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(arguments, arguments.folder or Path(temporary))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Make the files, run both sides, and print one line for each and the ratios."""
    make_pair(folder, arguments.classes, arguments.noise)
    taken = {}
    for side, classes in (("autoseg", arguments.classes), ("simpleitk", arguments.peer_classes)):
        taken[side] = measure([sys.executable, __file__, "--side", side, "--folder", folder,
                               "--peer-classes", str(arguments.peer_classes)])
        print(f"{side:10} {classes:3} classes {taken[side]}", flush=True)
    per_class = taken["simpleitk"].seconds / arguments.peer_classes / (taken["autoseg"].seconds / arguments.classes)
    less_memory = taken["simpleitk"].peak_bytes / taken["autoseg"].peak_bytes
    print(f"autoseg: {per_class:.1f} times faster per class, {less_memory:.1f} times less memory")
    ours, theirs = (json.loads((folder / f"{side}.json").read_text()) for side in taken)
    apart = max(abs(ours[key][name] - theirs[key][name]) for key in theirs for name in theirs[key])
    print(f"largest difference of HD95 and ASSD: {apart:.2g} mm")


def make_pair(folder: Path, classes: int, noise: float) -> None:
    """Write reference.nii.gz and prediction.nii.gz: classes are the cells around random points."""
    rng = np.random.default_rng(0)
    coarse = tuple(size // COARSER for size in SHAPE)
    distances, nearest = cKDTree(rng.random((classes, 3)) * coarse).query(np.indices(coarse).reshape(3, -1).T)
    cells = ((nearest + 1) * (distances < RADIUS)).reshape(coarse).astype(np.uint8)
    inside = np.pad(np.ones([size - 2 for size in coarse], bool), 1)  # LabelContour sees no surface at the image's edge
    cells *= inside
    reference = np.kron(cells, np.ones((COARSER,) * 3, np.uint8))
    prediction = np.roll(reference, (1, 2, 1), (0, 1, 2))
    specks = (rng.random(SHAPE, np.float32) < noise) & np.pad(np.ones([size - 2 for size in SHAPE], bool), 1)
    prediction[specks] = rng.integers(1, classes + 1, np.count_nonzero(specks))
    for name, labels in (("reference", reference), ("prediction", prediction)):
        write_label(folder / f"{name}.nii.gz", labels, Image(labels[None], Geometry(SPACING_MM)))


def measure_autoseg(folder: Path, _: int) -> dict[str, dict[str, float]]:
    """Measure all metrics of all classes."""
    summary = evaluate_pairs([Pair("volume", folder / "reference.nii.gz", folder / "prediction.nii.gz")], None, workers=1)
    return {key: {name: metrics[name] for name in ("HD95", "ASSD")}
            for key, metrics in summary.metric_per_case[0].metrics.items()}


def measure_simpleitk(folder: Path, classes: int) -> dict[str, dict[str, float]]:
    """Measure the other side: overlap, HD95 and ASSD of the first classes."""
    reference, prediction = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("reference", "prediction"))
    return {str(value): _simpleitk_class(reference == value, prediction == value) for value in range(1, classes + 1)}


def _simpleitk_class(reference: sitk.Image, prediction: sitk.Image) -> dict[str, float]:
    sitk.LabelOverlapMeasuresImageFilter().Execute(reference, prediction)
    contours = [sitk.LabelContour(mask, fullyConnected=False) for mask in (reference, prediction)]
    directed = [_distances_mm(contours[0], contours[1]), _distances_mm(contours[1], contours[0])]
    return {"HD95": float(max(np.percentile(part, 95) for part in directed)), "ASSD": float(np.concatenate(directed).mean())}


def _distances_mm(contour: sitk.Image, other: sitk.Image) -> np.ndarray:
    """From each voxel of `contour` to the nearest of `other`; the map is negative only inside `other`'s own voxels."""
    distance_map = sitk.SignedMaurerDistanceMap(other, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    distances: np.ndarray = sitk.GetArrayViewFromImage(distance_map)[sitk.GetArrayViewFromImage(contour) == 1]
    return distances.clip(min=0)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=60)
    parser.add_argument("--peer-classes", type=int, default=2)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--side", choices=("autoseg", "simpleitk"), help=argparse.SUPPRESS)  # the measured process itself
    return parser.parse_args()


if __name__ == "__main__":
    main()
