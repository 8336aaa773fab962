"""Time and memory that preprocessing takes, against nnU-Net on the same volumes and the same two processes.

usage: python benchmarks/preprocess.py --masks FOLDER [--nnunet-python PATH] [--processes N] [--cases N] [--folder FOLDER]

--masks: a folder of kidney masks; CT-like volumes of 512×512×about 200 are built around them first.
--nnunet-python: the python of an environment with nnunetv2; without it only autoseg is measured.
--folder: where the volumes and results go (several GB); what is there from an earlier run is used again.
Only the preprocessing for 3d_fullres is measured: both sides have their plans before.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ct_like import make_ct_like_dataset
from measure import Measurement, measure, ratios

from autoseg.dataset import load_dataset
from autoseg.files import write_json
from autoseg.plan import Plans
from autoseg.planners.segmentation.fingerprint import build_fingerprint
from autoseg.planners.segmentation.fingerprint import measure as measure_case
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.tasks.segmentation.store import preprocess as preprocess_cases
from autoseg.verification.inspection import run_inspections
from autoseg.workspace import read_model

NAME = "Dataset901_CTLike"
CONFIGURATION = "3d_fullres"


def main() -> None:
    arguments = _parse_arguments()
    if arguments.preprocess:
        preprocess(arguments.preprocess, arguments.processes)
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(arguments, arguments.folder or Path(temporary))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Build the volumes, plan, and print one line for each side and the ratio."""
    make_ct_like_dataset(arguments.masks, folder / "raw" / NAME, arguments.cases)
    write_plans(folder)
    shutil.rmtree(folder / "autoseg" / CONFIGURATION, ignore_errors=True)
    ours = measure(
        [sys.executable, __file__, "--preprocess", folder, "--masks", arguments.masks,
         "--processes", str(arguments.processes)]
    )
    print(f"autoseg {ours}", flush=True)
    if arguments.nnunet_python:
        theirs = measure_nnunet(arguments.nnunet_python, folder, arguments.processes)
        print(f"nnU-Net {theirs}\nautoseg: {ratios(ours, theirs)}")


def write_plans(folder: Path) -> None:
    """Fingerprint and plan, where that is not done."""
    dataset = load_dataset(folder / "raw" / NAME)
    if not (folder / "plans.json").exists():
        fingerprint = build_fingerprint(dataset, list(run_inspections(dataset, measure_case)))
        write_json(folder / "plans.json", PLANNERS["default"](dataset, fingerprint))


def preprocess(folder: Path, processes: int) -> None:
    """Preprocess: this is measured."""
    plans = read_model(folder / "plans.json", Plans)
    dataset = load_dataset(folder / "raw" / NAME)
    for outcome in preprocess_cases(dataset, plans, {CONFIGURATION: folder / "autoseg" / CONFIGURATION}, processes):
        if outcome.error is not None:
            raise outcome.error


def measure_nnunet(python: Path, folder: Path, processes: int) -> Measurement:
    """nnU-Net's preprocessing; its fingerprint and plans are made before, unmeasured, where they are not there."""
    places = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "nnunet", "nnUNet_results": "nnunet_results"}
    environment = {**os.environ, **{variable: str(folder / name) for variable, name in places.items()}}
    number = NAME[7:10]
    if not (folder / "nnunet" / NAME / "nnUNetPlans.json").exists():
        measure([python.parent / "nnUNetv2_extract_fingerprint", "-d", number, "-np", "2"], environment)
        measure([python.parent / "nnUNetv2_plan_experiment", "-d", number], environment)
    command = [python.parent / "nnUNetv2_preprocess", "-d", number, "-c", CONFIGURATION, "-np", str(processes)]
    return measure(command, environment)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--nnunet-python", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--preprocess", type=Path, help=argparse.SUPPRESS)  # the measured process itself
    return parser.parse_args()


if __name__ == "__main__":
    main()
