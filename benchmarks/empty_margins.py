"""Tiles of whole images, and of the part that may hold objects: how many a dataset's plans need, and what lies outside of it.

usage: python benchmarks/empty_margins.py DATASET [--cases N] [--memory-gb GB] [--patch Z Y X]

The dataset is planned, and its first N cases are preprocessed; nothing is written. --patch: another patch of 3d_fullres, for
what a smaller one gives. Labelled voxels that lie outside of the part would be lost.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from autoseg.dataset import load_dataset, read_case
from autoseg.inference.empty import levels_of, part_with_objects
from autoseg.inference.sliding_window import count_patches
from autoseg.planners.request import inspect
from autoseg.planners.segmentation.fingerprint import measure
from autoseg.planners.segmentation.planning import plan, prepare
from autoseg.preprocessing.crop import labelled_outside
from autoseg.preprocessing.pipeline import preprocess_case
from autoseg.tasks.segmentation.options import PlanOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--memory-gb", type=float)
    parser.add_argument("--patch", type=int, nargs=3)
    arguments = parser.parse_args()
    whole = load_dataset(arguments.dataset)
    dataset = whole.model_copy(update={"training": whole.training[:arguments.cases], "test": ()})
    request = prepare(dataset, PlanOptions(memory_gb=arguments.memory_gb))
    plans = plan(request, dataset, list(inspect(request, measure, 1)), 1).plans
    print(f"{dataset.name}, {len(dataset.training)} cases. {plans.empty.reason}")
    for name, configuration in plans.configurations.items():
        patch = tuple(arguments.patch or configuration.patch_size)
        levels = levels_of(plans, configuration)
        if configuration.previous_stage or (arguments.patch and name != "3d_fullres") or not levels:
            continue
        full = part = outside = 0
        seconds = 0.0
        for case in dataset.training:
            data, seg, properties = preprocess_case(*read_case(case, dataset), case.name, plans, configuration)
            start = time.perf_counter()
            box = part_with_objects(data, levels, properties.spacing_resampled_mm, plans.empty.near_mm, patch)
            seconds += time.perf_counter() - start
            full += count_patches(data.shape, patch)
            part += count_patches([stop - start for start, stop in box], patch)
            outside += labelled_outside(seg[0].clip(0), box, None)
        print(f"  {name}, patch {patch}: {full} tiles, {part} of the part ({full / part:.2f} times fewer); {outside} labelled "
              f"voxels outside; {seconds / len(dataset.training):.2f} s per case to find it")


if __name__ == "__main__":
    main()
