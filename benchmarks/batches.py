"""Seconds of a batch: made by threads of the training, or by processes; beside those of a step of the network.

usage: python benchmarks/batches.py DATASET [--workspace DIR] [-c 2d 3d_fullres] [--device cpu|cuda] [--batches N]
           [--threads 1 2] [--processes 1 2] [--set KEY=VALUE ...] [--without-step]

DATASET is planned and preprocessed. Threads read, and augment on the device, one batch after the other; processes do both on the
CPU. Each line is the mean over N batches that are asked for at once (the loader alone), after as many that are not counted.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator


def main() -> None:
    arguments = _parse_arguments()
    from autoseg.threads import let_threads_sleep

    let_threads_sleep()
    import torch

    from autoseg.api.common import planned_for
    from autoseg.api.tasks import find_recipe
    from autoseg.api.training import job_for
    from autoseg.settings import read_assignments
    from autoseg.trainers.segmentation.batches import kept_in_memory
    from autoseg.trainers.segmentation.configure import augmentation_for, batch_stream
    from autoseg.trainers.segmentation.data import load_data
    from autoseg.workspace import Workspace

    device = torch.device(arguments.device)
    task, recipe = find_recipe("default")
    folder = planned_for(arguments.dataset, Workspace.at(arguments.workspace), task)
    for name in arguments.configurations:
        job = job_for(folder, task, recipe, name, "default", "0", read_assignments(arguments.assignments))
        data = load_data(job)
        configuration = data.effective(job.settings)
        cases = kept_in_memory([data.stored[case] for case in data.training], len(configuration.normalization))
        augmentation = augmentation_for(configuration, job.settings, data.dataset.labels, data.plans.sides)
        print(f"{name}: {configuration.batch_size} patches of {configuration.patch_size}")
        for threads, processes in [*((n, 0) for n in arguments.threads), *((0, n) for n in arguments.processes)]:
            stream = batch_stream(cases, configuration, job.settings, augmentation, device, threads, 0, processes)
            seconds = mean_seconds(stream.batches(0, 2 * arguments.batches), arguments.batches)
            stream.close()
            print(f"  {threads or processes} {'threads' if threads else 'processes'}: {seconds:8.3f} s a batch", flush=True)
        if not arguments.without_step:
            print(f"  the network: {step_seconds(job, data, configuration, device, arguments.batches):8.3f} s a step")


def mean_seconds(batches: Iterator, count: int) -> float:
    """Return the mean seconds of the last `count` of twice as many."""
    for _ in range(count):
        next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - start) / count


def step_seconds(job, data, configuration, device, count: int) -> float:
    """Return the mean seconds of a training step on a batch that is there already."""
    import torch

    from autoseg.device import keep_large_blocks
    from autoseg.trainers.segmentation.batches import Batch

    keep_large_blocks()
    torch.backends.cudnn.benchmark = job.settings.cudnn_benchmark
    learner = job.built_by.build(configuration, data.of_training, job.settings, device)
    image = torch.randn(configuration.batch_size, len(configuration.normalization), *configuration.patch_size, device=device)
    batch = Batch(image, torch.zeros(image.shape, dtype=torch.int16, device=device)[:, :1])
    return mean_seconds((learner.training_step(batch) for _ in range(2 * count)), count)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--workspace")
    parser.add_argument("-c", dest="configurations", nargs="+", default=["2d", "3d_fullres"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    parser.add_argument("--set", dest="assignments", nargs="*", default=[])
    parser.add_argument("--without-step", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
