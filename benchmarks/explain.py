"""Maps of a planted truth: does the largest value of a classifier's maps lie in the sphere that was planted?

usage: python benchmarks/explain.py HIPPOCAMPUS FOLDER [--cases N] [--test N] [--epochs N] [--edge N] [--set KEY=VALUE ...]

Half of N volumes of the Decathlon's hippocampus get a bright sphere of 5 voxels' radius, all of them a block as bright in a
corner, without which the sphere would dim the rest of an image, as each is scaled by its own intensities; one fold of a
classifier is trained on them. Other volumes, all with a sphere, are predicted with --explain. Printed is, for each map, in
how many of them the middle of its largest values lies in the sphere, or at most 5 voxels outside it; beside a voxel of the
foreground at random, and the map of random weights; and how alike the maps of trained and random weights are (Spearman's rank
correlation).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from autoseg import plan_and_preprocess, predict_files, train
from autoseg.dataset import load_dataset, read_case
from autoseg.explaining.attribution import rank_correlation
from autoseg.files import write_json, write_text
from autoseg.image_io import read_image, read_label, write_image, write_label
from autoseg.tasks.classification.explaining import Explainer
from autoseg.tasks.classification.framing import frame_image
from autoseg.tasks.classification.model import load_classifier
from autoseg.tasks.classification.seer import Seer
from autoseg.workspace import ModelFolder

RADIUS, BLOCK = 5, 9  # voxels
NAME = "Dataset903_Explained"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path)
    parser.add_argument("--cases", type=int, default=80)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--edge", type=int, default=48)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    flags = parser.parse_args()
    source, home = flags.folders
    folder, workspace = home / NAME, home / "workspace"
    if not (folder / "dataset.json").exists():
        plant(source, folder, flags.cases, flags.test)
    if not (workspace / NAME / "plans_classification.json").exists():
        plan_and_preprocess(folder, planner="classification", workspace=workspace, quiet=True, edge=flags.edge)
    settings = dict(entry.split("=", 1) for entry in flags.settings)
    model = ModelFolder(workspace / NAME / "models" / "classes" / "classifier")
    if not model.fold("0").summary_json.exists():
        train(NAME, 0, recipe="classifier", settings=settings, epochs=flags.epochs, workspace=workspace, quiet=True)
    result = predict_files(folder / "imagesTs", home / "predicted", model=model.root, quiet=True, explain=True)
    print(f"{sum(row.predicted == 'yes' for row in result.rows)} of {len(result.rows)} volumes with a sphere are told as such")
    judge(folder, home / "predicted", model)


def plant(source: Path, folder: Path, cases: int, test: int) -> None:
    """Write volumes, every second with a sphere, and test volumes that all have one; `spheres/` holds where it lies."""
    random, dataset, rows = np.random.default_rng(0), load_dataset(source), ["case,sphere"]
    for number, case in enumerate(dataset.training[:cases + test]):
        image, _ = read_case(case, dataset)
        array, is_test = image.array.astype(np.float32), number >= cases
        inside, bright = np.zeros(array.shape[1:], bool), 2 * np.percentile(array, 99)
        array[0, :BLOCK, :BLOCK, :BLOCK] = bright
        if is_test or number % 2:
            middle = [random.integers(6, size - 6) for size in array.shape[1:]]
            z, y, x = np.ogrid[tuple(slice(0, size) for size in array.shape[1:])]
            inside = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 <= RADIUS**2
            array[0][inside] = bright
        name = f"case_{number:03d}"
        write_image(folder / ("imagesTs" if is_test else "imagesTr") / f"{name}_0000.nii.gz", array, image)
        if is_test:
            write_label(folder / "spheres" / f"{name}.nii.gz", inside.astype(np.uint8), image)
        else:
            rows.append(f"{name},{'yes' if number % 2 else 'no'}")
    write_text(folder / "targets.csv", "\n".join([*rows, ""]))
    write_json(folder / "dataset.json", {"channel_names": {"0": "MRI"}, "labels": {"background": 0}, "numTraining": cases,
                                         "file_ending": ".nii.gz"})


def judge(folder: Path, predicted: Path, model: ModelFolder) -> None:
    """Print the table: each map, and how often its maximum is in the sphere."""
    seer = Seer(load_classifier(model), torch.device("cpu"))
    explainer, hits, near, agreement = Explainer(seer), dict[str, int](), dict[str, int](), list[float]()
    chance, files = list[float](), sorted((folder / "spheres").glob("*.nii.gz"))
    for file in files:
        case = file.name.removesuffix(".nii.gz")
        image, sphere = read_image(folder / "imagesTs" / f"{case}_0000.nii.gz"), read_label(file).array[0] > 0
        chance.append(float(sphere[image.array[0] != 0].mean()))
        framed = frame_image(image, case, seer.description.plans)
        found = explainer.maps(framed.array, np.zeros(0, np.float32), case, occluded=False)
        maps = {name: read_image(predicted / "explain" / f"{case}_{name}.nii.gz").array[0] for name in ("gradcam", "occlusion")}
        maps["Grad-CAM of random weights"] = framed.frame.back(found.random)
        if (alike := rank_correlation(found.grad_cam, found.random)) is not None:
            agreement.append(abs(alike))
        for name, values in maps.items():
            middle = np.argwhere(values == values.max()).mean(0)
            distance = np.sqrt(((np.argwhere(sphere) - middle) ** 2).sum(1)).min()
            hits[name] = hits.get(name, 0) + int(distance <= 0.87)  # half of a voxel's diagonal
            near[name] = near.get(name, 0) + int(distance <= RADIUS)
    print("| map | maximum in the sphere | at most 5 voxels outside |\n|---|---|---|")
    for name in hits:
        print(f"| {name} | {hits[name]} of {len(files)} | {near[name]} of {len(files)} |")
    print(f"| a voxel at random | {np.mean(chance):.1%} | |")
    print(f"\nabsolute rank correlation of Grad-CAM and that of random weights: {np.mean(agreement):.2f} "
          f"(mean of {len(agreement)} cases)")


if __name__ == "__main__":
    main()
