"""Peak memory and seconds of turning a patch, by the number of labels in it: memory should not grow with them.

usage: python benchmarks/warp_labels.py [--size 190] [--labels 2 20 60]

Each number of labels is warped in a process of its own; the peak is above that of the same process before the warp. Ratios are to
the first. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from autoseg.trainers.augmentation import warp


def main() -> None:
    flags = _flags()
    if flags.alone:
        print(json.dumps(_warp(flags.size, flags.alone)))
        return
    rows = {}
    for count in flags.labels:
        command = [sys.executable, __file__, "--size", str(flags.size), "--alone", str(count)]
        rows[count] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    first_mb, first_s = rows[flags.labels[0]]
    print(f"{'labels':>8}{'MB':>10}{'ratio':>8}{'s':>8}{'ratio':>8}")
    for count, (mb, seconds) in rows.items():
        print(f"{count:8}{mb:10.0f}{mb / first_mb:8.2f}{seconds:8.2f}{seconds / first_s:8.2f}")


def _warp(size: int, labels: int) -> tuple[float, float]:
    """Return the megabytes that a warp takes at its peak, and its seconds."""
    label = torch.from_numpy(np.arange(size**3, dtype=np.int64).reshape(1, size, size, size) // 7 % labels).to(torch.int16)
    image, matrix = torch.zeros(label.shape), np.eye(3) * 1.2
    before, started = _peak_mb(), time.perf_counter()
    warp(image, label, matrix, (size, size, size))
    return _peak_mb() - before, time.perf_counter() - started


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=190)
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 20, 60])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
