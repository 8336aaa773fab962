"""The cascade on CT-like volumes: both stages trained, killed in each and gone on with, and compared.

usage: python benchmarks/cascade.py MASKS FOLDER

MASKS: a folder of kidney masks, `*.nii.gz` with 0 background, 1 kidney, 2 tumour. FOLDER: gets Dataset049_SmallCT, CT-like
volumes around the masks at 40 × 96 × 96 voxels, and a workspace. Cases that the cross-validation does not hold are
predicted and evaluated at the end. Every command is printed; one in each stage is killed (SIGKILL) and typed again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
from ct_like import LABELS, ct_like

from autoseg.preprocessing.resample import resize_labels

NAME, SLICES, EDGE, FOLDS, TESTS = "Dataset049_SmallCT", 40, 96, 3, 3
TRAINING = ["--epochs", "4", "--iterations", "30", "--set", "base_features=8", "--set", "mirror=none", "--device", "cpu"]
PROGRAM = [sys.executable, "-c", "import sys; from autoseg.cli.main import main; sys.exit(main())"]


def make_small_ct(masks: Path, target: Path) -> None:
    """Write the dataset in nnU-Net's layout, with its folds; the last `TESTS` cases are test images with labels in labelsTs."""
    paths = sorted(masks.glob("*.nii.gz"))
    for seed, path in enumerate(paths):
        stored = nibabel.load(path)
        mask = np.asarray(stored.dataobj).astype(np.uint8)
        small = resize_labels(mask, (SLICES, EDGE, EDGE))
        spacing = [float(mm) * old / new for mm, old, new in zip(stored.header.get_zooms(), mask.shape, small.shape, strict=True)]
        kind, case = "Tr" if seed < len(paths) - TESTS else "Ts", path.name.removesuffix(".nii.gz")
        for part, array in ((f"images{kind}/{case}_0000", ct_like(small, seed)), (f"labels{kind}/{case}", small)):
            file = target / f"{part}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), np.diag([*spacing[::-1], 1.0])), file)
    names = [path.name.removesuffix(".nii.gz") for path in paths[:-TESTS]]
    (target / "splits_final.json").write_text(json.dumps([
        {"train": sorted({*names} - {*names[fold::FOLDS]}), "val": names[fold::FOLDS]} for fold in range(FOLDS)]))
    (target / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": len(paths) - TESTS, "file_ending": ".nii.gz"}))


def typed(*arguments: str) -> None:
    """Run `autoseg ARGUMENTS` to its end."""
    print(f"$ autoseg {' '.join(arguments)}", flush=True)
    started = time.monotonic()
    subprocess.run([*PROGRAM, *arguments], check=True, stdout=subprocess.DEVNULL)
    print(f"  {time.monotonic() - started:.0f} s", flush=True)


def killed(there: Callable[[], bool], when: str, *arguments: str) -> None:
    """Run `autoseg ARGUMENTS` until `there` says so, and kill it."""
    print(f"$ autoseg {' '.join(arguments)}", flush=True)
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, start_new_session=True)
    while not there():
        if process.poll() is not None:
            raise SystemExit("it ended before it could be killed")
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(f"  killed {when}", flush=True)


def main() -> None:
    masks, folder = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    source, workspace = folder / NAME, folder / "workspace"
    make_small_ct(masks, source)
    here, models = ["--workspace", str(workspace)], workspace / NAME / "models"
    stages = ["3d_lowres", "3d_cascade_fullres"]
    lowres, cascade = (models / stage / "default" for stage in stages)
    typed("plan_and_preprocess", str(source), "-c", *stages, "--memory-gb", "0.1", *here)
    first, second = (["train", NAME, *map(str, range(FOLDS)), "-c", stage, *TRAINING, *here] for stage in stages)
    killed(lambda: any(lowres.glob("fold_1/log.jsonl")), "while fold 1 of 3d_lowres was trained", *first)
    typed(*first)
    killed(lambda: len(list(lowres.glob("fold_*/next_stage/*/*.json"))) == 3, "while its predictions were stored", *second)
    killed(lambda: any(cascade.glob("fold_0/log.jsonl")), "while fold 0 of 3d_cascade_fullres was trained", *second)
    typed(*second)
    predict = ["predict", "-i", str(source / "imagesTs"), "-d", NAME, *here]
    for stage in stages:
        out = ["-o", str(folder / stage), "-c", stage]
        if stage == stages[1]:
            killed(lambda: any((folder / stages[1]).glob("case*.nii.gz")), "after the first image", *predict, *out)
        typed(*predict, *out)
        typed("evaluate", str(source / "labelsTs"), str(folder / stage), "--labels", str(source), *here)
    typed("find-best", NAME, *here)
    typed("report", NAME, *here)
    print("\n| Dice | kidney | tumour |\n|---|---|---|")
    for stage, model in zip(stages, (lowres, cascade), strict=True):
        for what, file in (("cross-validation", model / "summary.json"), ("test images", folder / stage / "summary.json")):
            mean = json.loads(file.read_text())["mean"]
            print(f"| {stage}, {what} | {mean['1']['Dice']:.3f} | {mean['2']['Dice']:.3f} |")


if __name__ == "__main__":
    main()
