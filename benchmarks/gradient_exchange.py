"""Bytes that processes exchange in each step of a training over several GPUs, for planned networks; computed, not measured.

    python benchmarks/gradient_exchange.py WORKSPACE/DATASET/plans.json ...

A ring all-reduce sends 2 (n - 1) / n of the gradients, 4 bytes a weight, from each of n GPUs. The time on paper is that divided
by the bandwidth of the link, in one direction, without the latency, and as if the backward pass hid nothing of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from autoseg.networks import build_network
from autoseg.plan import Plans, Topology
from autoseg.workspace import read_model

LINKS = {"NVLink 4, 450 GB/s": 450e9, "PCIe 4 x16, 25 GB/s": 25e9, "100 Gbit/s": 12.5e9, "10 Gbit/s": 1.25e9}
FULL_SIZE = Topology(  # nnU-Net's 3d_fullres of a patch of 128 × 128 × 128
    features=(32, 64, 128, 256, 320, 320), strides=((1, 1, 1), *[(2, 2, 2)] * 5), kernel_sizes=((3, 3, 3),) * 6,
    convs_per_stage=(2,) * 6)


def networks(files: list[Path]) -> Iterator[tuple[str, Topology, int, int]]:
    """Yield name, shape, channels and classes of each planned network, and of a full-size one."""
    for file in files:
        plans = read_model(file, Plans)
        for name, configuration in plans.configurations.items():
            yield f"{plans.dataset}, {name}", configuration.network, len(configuration.normalization), 3
    yield "nnU-Net's 3d_fullres of full size", FULL_SIZE, 1, 3


def main() -> None:
    """Print a line for each network and number of GPUs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="*", type=Path, metavar="plans.json")
    print(f"{'network':46} {'weights':>8}  GPUs  MB a step  {'  '.join(LINKS)}")
    for name, topology, channels, classes in networks(parser.parse_args().plans):
        with torch.device("meta"):
            weights = sum(values.numel() for values in build_network(topology, channels, classes).parameters())
        for gpus in (2, 4, 8):
            sent = 4 * weights * 2 * (gpus - 1) / gpus
            times = "  ".join(f"{1000 * sent / speed:>{len(link) - 3}.1f} ms" for link, speed in LINKS.items())
            print(f"{name:46} {weights / 1e6:>6.1f} M  {gpus:4}  {sent / 1e6:9.0f}  {times}")


if __name__ == "__main__":
    main()
