"""Seconds of a training step alone, and of several trainings on the same cores at once; on Linux, where torch has GNU's OpenMP.

usage: python benchmarks/side_by_side.py [--trainings N] [--rounds N] [--seconds S]
           [--patch 40 56 40] [--batch 1] [--stages 4]

A side with OpenMP's own habits, and ours (`autoseg.threads`): threads that wait spin for a short time only, and each has a core
of its own. A training makes steps on random patches, in a process of its own, for so many seconds after all of them are warm.
Rounds go through both sides alternately. Processor seconds tell what is wasted, whatever else the machine has to do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

SIDES = ("OpenMP's own", "autoseg")


def main() -> None:
    arguments = _parse_arguments()
    if arguments.side:
        train_for(arguments)
        return
    print(f"{'a step takes':>14} {'alone':>32} {f'{arguments.trainings} at once':>32}")
    for side in SIDES * arguments.rounds:
        alone, processor_alone = step_seconds(1, side)
        together, processor = step_seconds(arguments.trainings, side)
        print(f"{side:>14} {alone:8.3f} s, {processor_alone:8.3f} processor s {together:8.3f} s, {processor:8.3f} processor s: "
              f"{together / alone:.1f} times slower", flush=True)


def step_seconds(trainings: int, side: str) -> tuple[float, float]:
    """Return the median seconds and processor seconds of a step of so many trainings at once."""
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    processes = [subprocess.Popen([sys.executable, __file__, "--side", side, *sys.argv[1:]], env=environment, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(trainings)]
    for process in processes:
        process.stdout.readline()  # warm
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    steps = [list(map(float, step.split())) for process in processes for step in process.communicate()[0].splitlines()]
    seconds, processor_seconds = zip(*steps, strict=True)
    return statistics.median(seconds), statistics.median(processor_seconds)


def train_for(arguments: argparse.Namespace) -> None:
    """Be one training: print a line when it is warm, and after the answer the seconds and processor seconds of each step."""
    from autoseg.threads import let_threads_sleep, spread_threads

    is_ours = arguments.side == "autoseg"
    if is_ours:
        let_threads_sleep()
    learner, batch = build(arguments)
    for _ in range(3):
        learner.training_step(batch)
    if is_ours and not spread_threads():
        sys.exit("The threads cannot be spread here.")
    print("warm", flush=True)
    sys.stdin.readline()
    until = time.perf_counter() + arguments.seconds
    while (start := time.perf_counter()) < until:
        processor = time.process_time()
        learner.training_step(batch)
        print(time.perf_counter() - start, time.process_time() - processor)


def build(arguments: argparse.Namespace) -> tuple:
    """Return a learner of the recipe `default` and a batch for it."""
    import torch

    from autoseg.dataset import Labels
    from autoseg.device import keep_large_blocks
    from autoseg.plan import Configuration, Topology
    from autoseg.trainers.losses.targets import TrainingData
    from autoseg.trainers.segmentation import RECIPES, SegmentationSettings
    from autoseg.trainers.segmentation.batches import Batch

    keep_large_blocks()
    stages = arguments.stages
    topology = Topology(
        features=tuple(min(320, 32 * 2**i) for i in range(stages)), strides=((1, 1, 1),) + ((2, 2, 2),) * (stages - 1),
        kernel_sizes=((3, 3, 3),) * stages, convs_per_stage=(2,) * stages)
    configuration = Configuration(
        spacing_mm=(1, 1, 1), median_shape=tuple(arguments.patch), patch_size=tuple(arguments.patch),
        batch_size=arguments.batch, normalization=("zscore",), normalize_inside_mask=(False,), network=topology)
    data = TrainingData(Labels(values={"background": 0, "one": 1, "two": 2}), voxels=3, class_voxels=(1, 1, 1))
    learner = RECIPES["default"].build(configuration, data, SegmentationSettings(), torch.device("cpu"))
    image = torch.randn(arguments.batch, 1, *arguments.patch)
    return learner, Batch(image, torch.randint(0, 3, image.shape, dtype=torch.int16))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--patch", type=int, nargs=3, default=[40, 56, 40])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
