"""Trained models of nnU-Net run by autoseg: voxels that differ from nnU-Net's answers, seconds and memory beside it.

usage: python benchmarks/nnunet_model.py MODELS [--nnunet-python PATH] [--folder FOLDER]

MODELS holds folders of models made by nnU-Net 2.8.1, each with images/ and its answers predicted_<configuration>/ beside the
models (float32, mirroring). A cascade's second stage gets nnU-Net's answer of the first.
--nnunet-python: the python of an environment with nnunetv2, whose own prediction of the same model is measured in the same run
(-npp 1 -nps 1); without it only autoseg's is. Both run on the CPU with all cores. Each number holds the start of a process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from measure import Measurement, measure, ratios

PREDICT = "from autoseg.cli.predict import main; raise SystemExit(main())"
NNUNET = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as p; p()"


def main() -> None:
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        for model in sorted({file.parents[1] for file in arguments.models.glob("*/*/fold_*/checkpoint_final.pth")}):
            compare(model, arguments.nnunet_python, (arguments.folder or Path(temporary)) / model.parent.name / model.name)


def compare(model: Path, nnunet_python: Path | None, outputs: Path) -> None:
    """Predict with one model, and print a line for each precision of autoseg and one for nnU-Net."""
    images, answers = model.parent / "images", model.parent / f"predicted_{model.name.rpartition('__')[2]}"
    if not answers.exists():
        return
    print(f"{model.parent.name}, {model.name}", flush=True)
    own = with_first_stage(model, outputs / "models") if "cascade" in model.name else model
    theirs = measure_nnunet(nnunet_python, model, images, outputs / "nnunet") if nnunet_python else None
    if theirs:
        print(f"  nnU-Net           {differing(outputs / 'nnunet', answers)}; {theirs}", flush=True)
    for precision in ("float32", "bfloat16"):
        ours = measure([sys.executable, "-c", PREDICT, "-i", images, "-o", outputs / precision, "-m", own,
                        "-f", *folds_of(model), "--precision", precision, "--device", "cpu", "--overwrite"])
        beside = f"; {ratios(ours, theirs)}" if theirs else ""
        print(f"  autoseg, {precision:8} {differing(outputs / precision, answers)}; {ours}{beside}", flush=True)


def with_first_stage(model: Path, folder: Path) -> Path:
    """A folder of links to a cascade's second stage and to those folds of the first whose answers it was given."""
    folder.mkdir(parents=True, exist_ok=True)
    first = model.with_name(model.name.replace("3d_cascade_fullres", "3d_lowres"))
    for source, names in ((model, [path.name for path in model.iterdir()]),
                          (first, ["plans.json", "dataset.json", *(f"fold_{fold}" for fold in folds_of(first))])):
        (folder / source.name).mkdir(exist_ok=True)
        for name in names:
            if not (folder / source.name / name).exists():
                (folder / source.name / name).symlink_to((source / name).resolve())
    return folder / model.name


def folds_of(model: Path) -> list[str]:
    """The folds whose answers are there: fold 0 of the first stage of a cascade, else all."""
    folds = sorted(path.name.removeprefix("fold_") for path in model.glob("fold_*"))
    return folds[:1] if model.name.endswith("lowres") else folds


def measure_nnunet(python: Path, model: Path, images: Path, output: Path) -> Measurement:
    """nnUNetv2_predict_from_modelfolder, from reading to writing."""
    previous = ["-prev_stage_predictions", model.parent / "predicted_3d_lowres"] if "cascade" in model.name else []
    return measure([python, "-c", NNUNET, "-i", images, "-o", output, "-m", model, "-f", *folds_of(model), "-device", "cpu",
                    "-npp", "1", "-nps", "1", *previous])


def differing(folder: Path, answers: Path) -> str:
    """How many voxels differ from the answers, in words."""
    pairs = [(np.asarray(nibabel.load(folder / file.name).dataobj), np.asarray(nibabel.load(file).dataobj))
             for file in sorted(answers.glob("*.nii.gz"))]
    wrong = sum(np.count_nonzero(ours != theirs) for ours, theirs in pairs)
    return f"{wrong} of {sum(ours.size for ours, _ in pairs)} voxels differ"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--nnunet-python", type=Path)
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
