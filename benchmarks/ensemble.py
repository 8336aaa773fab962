"""Peak memory of an ensemble of two models on one CT-sized volume, beside one full array of its probabilities.

usage: python benchmarks/ensemble.py [--classes K ...] [--members NAME NAME] [--slices N] [--alone]

--classes: with so many classes each; 3 and 60 by default.
--members: two of 2d, 3d and 3d_coarse; 2d and 3d by default. 2d sees slices of 512×512 as they are, 3d tiles of 64×160×160 at
    twice the volume's spacing, 3d_coarse the same at three times.
--slices: of the volume, 512×512 each; 200 by default.
--alone: also each member without the other.
The networks are untrained and small (8 features on the finest stage); what the memory depends on, the number of classes
and the sizes of patch and volume, is that of real ones. Prediction runs on the CPU without mirroring.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from ct_like import ct_like
from measure import measure
from safetensors.torch import save_file

from autoseg.dataset import Labels
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.plan import Configuration, Plans, Topology
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.versions import versions
from autoseg.workspace import ModelFolder

PREDICT = "from autoseg.cli.predict import main; raise SystemExit(main())"
NAME = "Dataset903_Organs"
SIZE = 512  # of a slice
SPACING_MM = (2.0, 0.8, 0.8)
SPACINGS_MM = {"2d": SPACING_MM[1:], "3d": (4.0, 1.6, 1.6), "3d_coarse": (6.0, 2.4, 2.4)}
PATCH_2D, PATCH_3D = (SIZE, SIZE), (64, 160, 160)
FEATURES = (8, 16, 32)


def main() -> None:
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        images = make_input(Path(temporary), arguments.slices)
        print(f"one volume of {arguments.slices} × {SIZE} × {SIZE} voxels", flush=True)
        for classes in arguments.classes:
            compare(Path(temporary), images, arguments.members, classes, arguments)


def compare(folder: Path, images: Path, members: list[str], classes: int, arguments: argparse.Namespace) -> None:
    """Predict with the ensemble, and print one line beside what the array that it never makes would take."""
    models = [make_model(folder / f"{classes}", member, classes) for member in members]
    runs = [models, *([model] for model in models if arguments.alone)]
    array_bytes = classes * arguments.slices * SIZE * SIZE * 4
    print(f"{classes} classes: one array of probabilities (float32) takes {array_bytes / 1e9:.2f} GB", flush=True)
    for run in runs:
        command = [sys.executable, "-c", PREDICT, "-i", images, "-o", folder / "out", "--overwrite", "--device", "cpu",
                   "--no-mirroring", "-m", *(model.root for model in run)]
        taken = measure(command)
        print(f"  {' + '.join(model.configuration for model in run):14} {taken}, "
              f"{taken.peak_bytes / array_bytes:.2f} of that array", flush=True)


def make_input(folder: Path, slices: int) -> Path:
    """A folder with the volume."""
    volume = ct_like(np.zeros((slices, SIZE, SIZE), np.uint8), seed=0)[None]
    write_image(folder / "in" / "case.nii.gz", volume, Image(volume, Geometry(SPACING_MM)))
    return folder / "in"


def make_model(folder: Path, configuration_name: str, classes: int) -> ModelFolder:
    """An untrained network in the form of a trained model."""
    patch_size = PATCH_2D if configuration_name == "2d" else PATCH_3D
    dimensions, spacing_mm = len(patch_size), SPACINGS_MM[configuration_name]
    topology = Topology(
        features=FEATURES, strides=((1,) * dimensions, *((2,) * dimensions,) * 2), kernel_sizes=((3,) * dimensions,) * 3,
        convs_per_stage=(1, 1, 1))
    configuration = Configuration(
        spacing_mm=spacing_mm, median_shape=patch_size, patch_size=patch_size, batch_size=2, normalization=("zscore",),
        normalize_inside_mask=(False,), network=topology)
    plans = Plans(dataset=NAME, planner="default", transpose=(0, 1, 2), versions=versions(), foreground_intensities={},
                  configurations={configuration_name: configuration})
    description = ModelDescription(
        dataset=NAME, channel_names=("CT",), labels=Labels(values={"background": 0, **{f"o{k}": k for k in range(1, classes)}}),
        file_ending=".nii.gz", configuration_name=configuration_name, plans=plans, recipe="default", settings={},
        mirror_axes=(), versions=versions())
    model = ModelFolder(folder / configuration_name / "default")
    write_json(model.model_json, description)
    torch.manual_seed(0)
    model.fold(0).root.mkdir(parents=True, exist_ok=True)
    save_file({f"network.{name}": values for name, values in description.build().state_dict().items()},
              model.fold(0).checkpoint_final)
    return model


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 60])
    parser.add_argument("--members", nargs=2, choices=list(SPACINGS_MM), default=["2d", "3d"])
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--alone", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
