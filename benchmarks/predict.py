"""Time and memory that the prediction of one CT-like volume takes, against nnU-Net with the same plans.

usage: python benchmarks/predict.py --masks FOLDER [--nnunet-python PATH] [--slices N] [--planned-spacing]
                                    [--mirroring] [--ways WAY ...] [--folder FOLDER]

--masks: a folder of kidney masks; CT-like volumes of 512×512×about 200 are built around them and planned for first.
--nnunet-python: the python of an environment with nnunetv2; without it only autoseg is measured.
--slices: only so many slices from the middle of the volume, for a quicker comparison; 0 for all.
--planned-spacing: the volume's header says the plans' spacing, so that its grid stays as it is (180 tiles for 252).
--mirroring: with mirrored tiles (8 times the work); without by default.
--ways: the precisions and engines that autoseg is measured with, of auto, float32, openvino (auto and float32 by default).
--folder: where volumes, models and results go; what is there from an earlier run is used again.
The model is an untrained network of the 3d_fullres plans, made by nnU-Net where that is there: then both sides run the same
folder, and the voxels that differ are counted. Both run on the CPU with all cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import torch
from ct_like import make_ct_like_dataset
from measure import Measurement, measure, ratios
from preprocess import CONFIGURATION, NAME, write_plans
from safetensors.torch import save_file

from autoseg.dataset import load_dataset
from autoseg.files import write_json
from autoseg.plan import Plans
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.versions import versions
from autoseg.workspace import ModelFolder, read_model

PREDICT = "from autoseg.cli.predict import main; raise SystemExit(main())"
CASES = 4  # to plan for
WAYS = {"auto": [], "float32": ["--precision", "float32"], "openvino": ["--engine", "openvino"]}


def main() -> None:
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        compare(arguments, arguments.folder or Path(temporary))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Build volume and models, predict, and print one line for each side and the ratio."""
    make_ct_like_dataset(arguments.masks, folder / "raw" / NAME, CASES)
    write_plans(folder)
    image = make_input(folder, arguments.slices, arguments.planned_spacing)
    print(f"one volume of {' × '.join(map(str, nibabel.load(image).shape[::-1]))} voxels", flush=True)
    if not arguments.nnunet_python:
        print(f"autoseg {measure_autoseg(make_model(folder).root, folder, image.parent, arguments.mirroring)}")
        return
    theirs = measure_nnunet(arguments.nnunet_python, folder, image.parent, arguments.mirroring)
    print(f"nnU-Net            {theirs}", flush=True)
    for way in arguments.ways:
        ours = measure_autoseg(folder / "nnunet_model", folder, image.parent, arguments.mirroring, way)
        print(f"autoseg, {way:9} {ours}\n  {ratios(ours, theirs)}; {differing(folder, image)}", flush=True)


def make_input(folder: Path, slices: int, planned_spacing: bool) -> Path:
    """The first volume, or some slices from its middle, in a folder of its own."""
    source = min((folder / "raw" / NAME / "imagesTr").glob("*_0000.nii.gz"))
    target = folder / f"input_{slices or 'all'}{'_planned' * planned_spacing}" / source.name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        volume = nibabel.load(source)
        first = (volume.shape[2] - slices) // 2 if slices else 0
        part = volume.slicer[:, :, first : first + slices if slices else None]
        if planned_spacing:
            spacing_mm = read_model(folder / "plans.json", Plans).configurations[CONFIGURATION].spacing_mm
            part = nibabel.Nifti1Image(part.get_fdata().astype(part.get_data_dtype()), np.diag([*spacing_mm[::-1], 1.0]))
        nibabel.save(part, target)
    return target


def measure_autoseg(model: Path, folder: Path, images: Path, mirroring: bool, way: str = "auto") -> Measurement:
    """autoseg_predict, from reading to writing."""
    command = [sys.executable, "-c", PREDICT, "-i", images, "-o", folder / "autoseg_out", "-m", model, *WAYS[way],
               "--overwrite", "--device", "cpu", *([] if mirroring else ["--no-mirroring"])]
    return measure(command)


def differing(folder: Path, image: Path) -> str:
    """How many voxels of the two segmentations differ, in words."""
    ours, theirs = (np.asarray(nibabel.load(folder / f"{side}_out" / image.name.replace("_0000", "")).dataobj)
                    for side in ("autoseg", "nnunet"))
    return f"{np.count_nonzero(ours != theirs)} of {ours.size} voxels differ ({np.count_nonzero(theirs)} are foreground)"


def make_model(folder: Path) -> ModelFolder:
    """An untrained network in the form of a trained model."""
    dataset, plans = load_dataset(folder / "raw" / NAME), read_model(folder / "plans.json", Plans)
    plans = plans.model_copy(update={"configurations": {CONFIGURATION: plans.configurations[CONFIGURATION]}})
    model = ModelFolder(folder / "autoseg_model" / CONFIGURATION / "default")
    description = ModelDescription(
        dataset=NAME, channel_names=dataset.channel_names, labels=dataset.labels, file_ending=dataset.file_ending,
        configuration_name=CONFIGURATION, plans=plans, recipe="default", settings={}, mirror_axes=(0, 1, 2),
        versions=versions())
    write_json(model.model_json, description)
    torch.manual_seed(0)
    weights = {f"network.{name}": values for name, values in description.build().state_dict().items()}
    model.fold(0).root.mkdir(parents=True, exist_ok=True)
    save_file(weights, model.fold(0).checkpoint_final)
    return model


def measure_nnunet(python: Path, folder: Path, images: Path, mirroring: bool) -> Measurement:
    """nnUNetv2_predict_from_modelfolder; fingerprint, plans and model are made before, unmeasured."""
    places = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "nnunet", "nnUNet_results": "nnunet_results"}
    environment = {**os.environ, **{variable: str(folder / name) for variable, name in places.items()}}
    plans, model = folder / "nnunet" / NAME / "nnUNetPlans.json", folder / "nnunet_model"
    if not plans.exists():
        measure([python.parent / "nnUNetv2_extract_fingerprint", "-d", NAME[7:10], "-np", "2"], environment)
        measure([python.parent / "nnUNetv2_plan_experiment", "-d", NAME[7:10]], environment)
    dataset_json = folder / "raw" / NAME / "dataset.json"
    script = Path(__file__).parent / "nnunet_untrained.py"
    measure([python, script, plans, dataset_json, CONFIGURATION, model], environment)
    shutil.rmtree(folder / "nnunet_out", ignore_errors=True)
    command = [python.parent / "nnUNetv2_predict_from_modelfolder", "-i", images, "-o", folder / "nnunet_out",
               "-m", model, "-f", "0", "-device", "cpu", *([] if mirroring else ["--disable_tta"])]
    return measure(command, environment)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--nnunet-python", type=Path)
    parser.add_argument("--slices", type=int, default=0)
    parser.add_argument("--planned-spacing", action="store_true")
    parser.add_argument("--mirroring", action="store_true")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["auto", "float32"])
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
