"""Do autoseg's planners decide what nnU-Net's do? Prints a table of both; exits 1 on any difference.

usage: python benchmarks/plan_parity.py --nnunet-python PATH [DATASET ...] [--planners default|resenc_m|resenc_l|resenc_xl ...]
           [--masks FOLDER] [--random N] [--differences]

DATASET: folders of either layout. Each side extracts its own fingerprint from the same files and plans from it.
--masks: a folder of kidney masks; CT-like volumes are built around them first.
--random: so many random datasets, of which both planners are given the same fingerprint. Only differences are shown.
--differences: of the other datasets, too.
Datasets are planned for the memory that the planner is made for, random ones for 0.25 to 5 times as much.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ct_like import make_ct_like_dataset
from random_fingerprints import random_dataset

from autoseg.dataset import Dataset, load_dataset
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Configuration, Plans
from autoseg.planners.segmentation.fingerprint import build_fingerprint
from autoseg.planners.segmentation.fingerprint import measure as measure_case
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.verification.inspection import run_inspections

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
NORMALIZATIONS = {"CTNormalization": "ct", "ZScoreNormalization": "zscore", "RescaleTo01Normalization": "rescale_0_1",
                  "RGBTo01Normalization": "rgb", "NoNormalization": "none"}
NETWORKS = {"PlainConvUNet": "unet", "ResidualEncoderUNet": "resunet"}
SEED = 20240


@dataclass(frozen=True)
class Job:
    """One dataset for both planners. memory_gb: None for the planner's own. shared: nnU-Net is given our fingerprint, instead
    of extracting its own."""

    dataset: Dataset
    fingerprint: Fingerprint
    planner: str
    memory_gb: float | None
    shared: bool


def ours(plans: Plans) -> dict[str, dict[str, Any]]:
    """Return what is compared, by configuration and quantity."""
    return {"all": {"configurations": sorted(plans.configurations), "transpose": list(plans.transpose)}} | {
        name: _our_configuration(configuration) for name, configuration in plans.configurations.items()}


def theirs(plans: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same from nnU-Net's plans."""
    every = plans["configurations"]
    found = {name: every.get(every[name].get("inherits_from"), {}) | every[name] for name in CONFIGURATIONS if name in every}
    return {"all": {"configurations": sorted(found), "transpose": plans["transpose_forward"]}} | {
        name: _their_configuration(configuration) for name, configuration in found.items()}


def run_nnunet(python: str, jobs: list[Job]) -> list[dict[str, Any]]:
    """nnU-Net's answers, in order."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        variables = {f"nnUNet_{name}": str(root / name) for name in ("raw", "preprocessed", "results")}
        for job in jobs:
            raw = root / "raw" / job.dataset.name
            raw.mkdir(parents=True, exist_ok=True)
            (raw / "dataset.json").write_text(json.dumps(_raw_description(job)))
        asked = [{"name": job.dataset.name, "planner": job.planner, "memory_gb": job.memory_gb,
                  "fingerprint": _nnunet_fingerprint(job.fingerprint) if job.shared else None} for job in jobs]
        (root / "jobs.json").write_text(json.dumps(asked))
        script = Path(__file__).with_name("nnunet_plans.py")
        subprocess.run([python, script, root / "jobs.json", root / "answers.json"], check=True,
                       env=os.environ | variables, stdout=sys.stderr)
        return list(json.loads((root / "answers.json").read_text()))


def compare(job: Job, answer: dict[str, Any]) -> list[tuple[str, str, str, str, bool]]:
    """Rows of (configuration, quantity, autoseg, nnU-Net, whether they are equal)."""
    mine = ours(PLANNERS[job.planner](job.dataset, job.fingerprint, job.memory_gb))
    if "error" in answer:
        return [("all", "plans", "made", answer["error"], False)]
    other = theirs(answer["plans"])
    rows = []
    for name in sorted({*mine, *other}, key=["all", *CONFIGURATIONS].index):
        for quantity in sorted({*mine.get(name, {}), *other.get(name, {})}):
            a, b = mine.get(name, {}).get(quantity), other.get(name, {}).get(quantity)
            rows.append((name, quantity, _text(a), _text(b), _equal(a, b)))
    return rows


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        folders = list(options.datasets)
        if options.masks:
            make_ct_like_dataset(options.masks, Path(folder) / "Dataset048_CTLike")
            folders.append(Path(folder) / "Dataset048_CTLike")
        datasets = [load_dataset(path) for path in folders]
        measured = [(dataset, build_fingerprint(dataset, list(run_inspections(dataset, measure_case)))) for dataset in datasets]
        jobs = [Job(*one, planner, None, shared=False) for planner in options.planners for one in measured]
        answers = run_nnunet(options.nnunet_python, jobs) if jobs else []
    different = sum(_print_table(job, answer, options.differences) for job, answer in zip(jobs, answers, strict=True))
    for planner in options.planners if options.random else []:
        random_jobs = _random_jobs(planner, options.random)
        different += _print_random(random_jobs, run_nnunet(options.nnunet_python, random_jobs))
    return 1 if different else 0


def _random_jobs(planner: str, number: int) -> list[Job]:
    random = np.random.default_rng(SEED)
    drawn = [random_dataset(random, index) for index in range(number)]
    per_gb = PLANNERS[planner].memory_gb / PLANNERS["default"].memory_gb
    return [Job(one.dataset, one.fingerprint, planner, one.memory_gb * per_gb, shared=True) for one in drawn]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", type=Path, metavar="DATASET")
    parser.add_argument("--nnunet-python", required=True, help="the Python that nnunetv2 is installed in")
    parser.add_argument("--planners", nargs="+", default=["default"], choices=[name for name in PLANNERS if name != "unet3plus"])
    parser.add_argument("--masks", type=Path, help="a folder of masks to build CT-like volumes around")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="compare N random datasets")
    parser.add_argument("--differences", action="store_true", help="show rows that differ alone")
    return parser.parse_args()


def _our_configuration(configuration: Configuration) -> dict[str, Any]:
    network = configuration.network
    return {
        "spacing_mm": list(configuration.spacing_mm), "median_shape": list(configuration.median_shape),
        "patch_size": list(configuration.patch_size), "batch_size": configuration.batch_size,
        "batch_dice": configuration.batch_dice, "previous_stage": configuration.previous_stage,
        "strides": _lists(network.strides), "kernel_sizes": _lists(network.kernel_sizes),
        "features": list(network.features), "convs_per_stage": list(network.convs_per_stage),
        "convs_per_decoder_stage": list(network.convs_up), "network": network.name,
        "normalization": list(configuration.normalization),
        "normalize_inside_mask": list(configuration.normalize_inside_mask),
    }


def _their_configuration(configuration: dict[str, Any]) -> dict[str, Any]:
    network = configuration["architecture"]["arch_kwargs"]
    return {
        "spacing_mm": configuration["spacing"],
        "median_shape": [round(n) for n in configuration["median_image_size_in_voxels"]],
        "patch_size": configuration["patch_size"], "batch_size": configuration["batch_size"],
        "batch_dice": configuration["batch_dice"], "previous_stage": configuration.get("previous_stage"),
        "strides": network["strides"], "kernel_sizes": network["kernel_sizes"],
        "features": network["features_per_stage"],
        "convs_per_stage": network.get("n_conv_per_stage", network.get("n_blocks_per_stage")),
        "convs_per_decoder_stage": network["n_conv_per_stage_decoder"],
        "network": NETWORKS[configuration["architecture"]["network_class_name"].split(".")[-1]],
        "normalization": [NORMALIZATIONS[name] for name in configuration["normalization_schemes"]],
        "normalize_inside_mask": configuration["use_mask_for_norm"],
    }


def _raw_description(job: Job) -> dict[str, Any]:
    """dataset.json as nnU-Net wants it, whichever layout the dataset has, with the files where they are.

    Its planner tries to read a file to choose a reader; a shared fingerprint comes without files, so one is named.
    """
    dataset = job.dataset
    reader = {"overwrite_image_reader_writer": "SimpleITKIO"} if job.shared else {}
    return reader | {
        "channel_names": {str(channel): name for channel, name in enumerate(dataset.channel_names)},
        "labels": dataset.labels.values, "numTraining": len(dataset.training), "file_ending": dataset.file_ending,
        "dataset": {case.name: {"images": [str(path.absolute()) for path in case.images],
                                "label": str(case.label and case.label.absolute())} for case in dataset.training},
    }


def _nnunet_fingerprint(fingerprint: Fingerprint) -> dict[str, Any]:
    cases = fingerprint.cases.values()
    return {
        "spacings": [list(case.spacing_mm) for case in cases],
        "shapes_after_crop": [list(case.shape_after_crop) for case in cases],
        "median_relative_size_after_cropping": float(np.median([case.share_kept for case in cases])),
        "foreground_intensity_properties_per_channel": {},
    }


def _print_table(job: Job, answer: dict[str, Any], differences: bool) -> int:
    rows = compare(job, answer)
    print(f"\n## {job.dataset.name} ({len(job.dataset.training)} cases), {job.planner}")
    shown = [row for row in rows if not (differences and row[-1])]
    if shown:
        print("\n| configuration | quantity | autoseg | nnU-Net | |\n|---|---|---|---|---|")
    for name, quantity, a, b, equal in shown:
        print(f"| {name} | {quantity} | {a} | {b} | {'equal' if equal else 'DIFFERS'} |")
    print(f"\n{sum(row[-1] for row in rows)} of {len(rows)} quantities equal.")
    apart = _intensities_apart(job.fingerprint, answer.get("fingerprint", {}))
    print(f"\nForeground intensities, which both sides sample: at most {apart:.3f} standard deviations apart.")
    return sum(not row[-1] for row in rows)


def _intensities_apart(fingerprint: Fingerprint, other: dict[str, Any]) -> float:
    """The largest difference of any statistic of any channel, in standard deviations; nan where there is none."""
    theirs_by_channel = other.get("foreground_intensity_properties_per_channel", {})
    return max((abs(value - their[name]) / their["std"]
                for channel, their in theirs_by_channel.items()
                for name, value in fingerprint.foreground_intensities[channel].model_dump().items()), default=math.nan)


def _print_random(jobs: list[Job], answers: list[dict[str, Any]]) -> int:
    different, failed, made = 0, 0, dict.fromkeys(CONFIGURATIONS, 0)
    for job, answer in zip(jobs, answers, strict=True):
        if "error" in answer:
            failed += 1
            print(f"{job.dataset.name}: nnU-Net plans nothing ({answer['error']})")
            continue
        wrong = [row for row in compare(job, answer) if not row[-1]]
        different += bool(wrong)
        for name in set(CONFIGURATIONS) & set(answer["plans"]["configurations"]):
            made[name] += 1
        for name, quantity, a, b, _ in wrong:
            print(f"{job.dataset.name}: {name} {quantity}: {a} against {b}")
    print(f"\n## {len(jobs)} random datasets (seed {SEED}), {jobs[0].planner}\n\n{len(jobs) - different - failed} equal, "
          f"{different} different, {failed} that nnU-Net cannot plan. Configurations compared: "
          f"{', '.join(f'{count} × {name}' for name, count in made.items())}.")
    return different


def _equal(a: Any, b: Any) -> bool:
    """Equal; floats to one part in a million (headers are read by different code)."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6)
    return bool(a == b)


def _lists(entries: tuple[tuple[int, ...], ...]) -> list[list[int]]:
    return [list(entry) for entry in entries]


def _text(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return " ".join("·".join(map(str, entry)) for entry in value)
    if isinstance(value, list):
        return " ".join(_text(entry) for entry in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
