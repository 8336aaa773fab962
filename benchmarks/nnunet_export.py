"""nnU-Net runs models that autoseg trained and exported for it: voxels that differ from autoseg's predictions.

usage: python benchmarks/nnunet_export.py --dataset FOLDER --nnunet-python PATH [--cases N] [--iterations N] [--folder FOLDER]

--dataset: a dataset of images and labels; so many of its cases (20) are planned for, and three others predicted.
--nnunet-python: the python of an environment with nnunetv2.
--iterations: steps of training (25) of networks with 8 base features, whose background is then lowered until a tenth of an
  image is foreground: they compare answers, and are not good.
--folder: where all that is made goes; a model that is there is used again.
Both sides predict on the CPU with mirroring. nnU-Net computes in float32 and averages tiles in float16; autoseg does the same,
then averages in float32, as it does for its own models, and then computes in bfloat16, where that is its usual precision.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autoseg import plan_and_preprocess, train
from autoseg.api import export_models
from autoseg.dataset import Dataset, load_dataset
from autoseg.device import cpu_has_bfloat16
from autoseg.files import write_json
from autoseg.image_io import read_image, read_label, write_image, write_label
from autoseg.inference.checkpoints import read_weights, write_weights
from autoseg.inference.inputs import list_inputs, read_input
from autoseg.tasks.segmentation.model import load_model
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.workspace import ModelFolder, Workspace

NAME = "Dataset999_Exported"
MODELS = (("default", "2d"), ("default", "3d_fullres"), ("resenc_m", "3d_fullres"))  # planner, configuration
PREDICTED = 3  # cases
PRECISIONS = (("float32", "float16"), ("float32", "float32"), ("bfloat16", "float32"))  # of networks, and of the mean of tiles
THEIRS = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as main; main()"


def main() -> None:
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        cases = make_dataset(load_dataset(arguments.dataset), folder / "raw" / NAME, arguments.cases)
        print(f"{'planner':>9} {'configuration':>13} {'precision, sums':>18} {'voxels':>8} {'differ':>6} {'share':>8}   "
              "foreground")
        for planner, configuration in MODELS:
            model = make_model(folder, planner, configuration, arguments.iterations)
            export_models(folder / "exported" / planner, model=model.root, format="nnunet", overwrite=True, quiet=True)
            theirs = predict_by_nnunet(arguments.nnunet_python, folder / "exported" / planner, configuration, cases,
                                       folder / "theirs" / planner / configuration)
            for precision, sums in PRECISIONS if cpu_has_bfloat16() else PRECISIONS[:2]:
                ours = predict(model, cases, folder / "ours" / planner / configuration, precision, sums)
                tell(planner, configuration, f"{precision}, {sums}", ours, theirs)


def make_dataset(source: Dataset, folder: Path, count: int) -> Path:
    """Write a dataset of the first cases, and images of those after them; return the folder of these."""
    for index, case in enumerate(source.training[:count + PREDICTED]):
        images = folder / "imagesTr" if index < count else folder.with_name("images")
        if not (images / f"{case.name}_0000.nii.gz").exists():
            image, label = read_image(case.images[0]), read_label(case.label)
            write_image(images / f"{case.name}_0000.nii.gz", image.array, like=image)
            if index < count:
                write_label(folder / "labelsTr" / f"{case.name}.nii.gz", label.array[0], like=label)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": source.channel_names[0]}, "labels": dict(source.labels.values), "numTraining": count,
        "file_ending": ".nii.gz"})
    return folder.with_name("images")


def make_model(folder: Path, planner: str, configuration: str, iterations: int) -> ModelFolder:
    """Plan and train a narrow network for a few steps, unless it is there."""
    workspace = folder / "workspace" / planner
    model = Workspace(workspace).dataset(NAME).model(configuration, "default")
    if not model.finished_folds():
        plan_and_preprocess(folder / "raw" / NAME, configurations=[configuration], planner=planner, workspace=workspace,
                            quiet=True)
        train(folder / "raw" / NAME, "all", configuration=configuration, epochs=1, iterations=iterations, workspace=workspace,
              device="cpu", settings={"base_features": 8, "batch_size": 2}, quiet=True)
        shift_background(model, folder / "raw" / "images")
    return model


def shift_background(model: ModelFolder, images: Path) -> None:
    """Lower the bias of the background so that a tenth of the first image becomes foreground: there is something to compare."""
    predictor = Predictor([load_model(model)], torch.device("cpu"), "float32")
    (member,), first = predictor.members, list_inputs(images, predictor.description)[0]
    rows = member.rows(*member.preprocess(read_input(first), first.name))
    logits = np.stack([row for _, row in rows], axis=1)
    margin = logits[1:].max(0) - logits[0]
    file = model.fold("all").checkpoint_final
    weights = read_weights(file)
    weights["network.heads.0.bias"][0] += float(np.quantile(margin, 0.9))
    write_weights(file, weights, {})


def predict_by_nnunet(python: str, exported: Path, configuration: str, images: Path, output: Path) -> Path:
    """Let nnU-Net predict with the exported model."""
    shutil.rmtree(output, ignore_errors=True)
    model = exported / f"nnUNetTrainer__nnUNetPlans__{configuration}"
    environment = os.environ | {name: str(exported) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    subprocess.run([python, "-c", THEIRS, "-i", str(images), "-o", str(output), "-m", str(model), "-f", "all", "-device", "cpu",
                    "-npp", "1", "-nps", "1", "--disable_progress_bar"], check=True, env=environment, stdout=subprocess.DEVNULL)
    return output


def predict(model: ModelFolder, images: Path, output: Path, precision: str, sums: str) -> Path:
    """Predict with autoseg in a precision. sums: type of numbers that tiles are averaged in."""
    shutil.rmtree(output, ignore_errors=True)
    loaded = load_model(model)
    described = loaded.description.model_copy(update={"tile_sums": sums})
    predictor = Predictor([replace(loaded, description=described)], torch.device("cpu"), precision)
    for outcome in predictor.predict_files(list_inputs(images, predictor.description), output):
        if outcome.error is not None:
            raise outcome.error
    return output


def tell(planner: str, configuration: str, precision: str, ours: Path, theirs: Path) -> None:
    """Print a line: voxels of all cases, and those that differ."""
    pairs = [(read_label(path).array, read_label(theirs / path.name).array) for path in sorted(ours.glob("*.nii.gz"))]
    voxels, differ = sum(one.size for one, _ in pairs), sum(int((one != other).sum()) for one, other in pairs)
    foreground = sum(int(np.count_nonzero(one)) for one, _ in pairs) / voxels
    print(f"{planner:>9} {configuration:>13} {precision:>18} {voxels:>8} {differ:>6} {differ / voxels:8.4%}   {foreground:.1%}",
          flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--nnunet-python", required=True)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
