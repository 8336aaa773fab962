"""The cost of each network beside the plain U-Net of the same base width: parameters, seconds and memory of a training step.

usage: python benchmarks/networks.py [--patch 40 56 40] [--spacing 1 1 1] [--batch 2] [--base-features 32] [--steps N]

A step is a forward and a backward pass on random patches with deep supervision, in the precision and memory format that autoseg
uses on this CPU. Each network runs in a process of its own, of which the peak is measured; the first step is not counted, the
median of the others is. "Values" is what the planner counts (autoseg.topology.values). Prints a table; ratios are to the U-Net.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import measure

from autoseg.device import autocast, keep_large_blocks, memory_format, resolve_precision, to_device
from autoseg.networks import build_network
from autoseg.topology.pooling import Pooling, pool
from autoseg.topology.shapes import SHAPES, topology_of
from autoseg.topology.values import values_put_out

CLASSES = 3
CPU = torch.device("cpu")
COLUMNS = (("parameters", 1e6, " M"), ("values", 1e6, " M"), ("seconds", 1, ""), ("bytes", 1e9, " GB"))


def main() -> None:
    arguments = _parse_arguments()
    pooling = pool(arguments.spacing or (1.0,) * len(arguments.patch), arguments.patch)
    if arguments.network:
        steps = step_seconds(arguments.network, pooling, arguments)
        Path(arguments.result).write_text(json.dumps(steps), encoding="utf-8")
        return
    print(f"patch {' × '.join(map(str, pooling.patch_size))}, batch {arguments.batch}, {pooling.stages} stages, "
          f"{arguments.base_features} base features, {resolve_precision('auto', CPU)}, {torch.get_num_threads()} threads\n\n"
          "| network | parameters | values | seconds a step | peak of the process |\n|---|---|---|---|---|", flush=True)
    base: dict[str, float] = {}
    for name in SHAPES:
        row = {**counted(name, pooling, arguments), **measured(name, arguments)}
        base = base or row
        cells = (_cell(row, base, *column) for column in COLUMNS)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _cell(row: dict[str, float], base: dict[str, float], quantity: str, unit: float, word: str) -> str:
    return f"{row[quantity] / unit:.3g}{word} ({row[quantity] / base[quantity]:.2f})"


def counted(name: str, pooling: Pooling, arguments: argparse.Namespace) -> dict[str, float]:
    """Return what needs no run."""
    topology = topology_of(name, pooling, arguments.base_features)
    with torch.device("meta"):
        network = build_network(topology, 1, CLASSES)
    values = arguments.batch * values_put_out(pooling.patch_size, topology, CLASSES)
    return {"parameters": sum(parameter.numel() for parameter in network.parameters()), "values": values}


def measured(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of a step and the peak bytes of a process that trains this network alone."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds.json"
        run = measure([sys.executable, __file__, *sys.argv[1:], "--network", name, "--result", result])
        seconds = json.loads(result.read_text(encoding="utf-8"))
    return {"seconds": statistics.median(seconds[1:]), "bytes": run.peak_bytes}


def step_seconds(name: str, pooling: Pooling, arguments: argparse.Namespace) -> list[float]:
    """Return the seconds of each step."""
    keep_large_blocks()
    dimensions = len(pooling.patch_size)
    network: Any = to_device(build_network(topology_of(name, pooling, arguments.base_features), 1, CLASSES), CPU, dimensions)
    layout, dtype = memory_format(CPU, dimensions), resolve_precision("auto", CPU)
    seconds = []
    for _ in range(arguments.steps):
        image = torch.randn(arguments.batch, 1, *pooling.patch_size).to(memory_format=layout)
        start = time.perf_counter()
        network.zero_grad(set_to_none=True)
        with autocast(CPU, dtype):
            logits = network(image)
        torch.stack([level.float().square().mean() for level in logits]).sum().backward()
        seconds.append(time.perf_counter() - start)
    return seconds


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, nargs="+", default=[40, 56, 40])
    parser.add_argument("--spacing", type=float, nargs="+", help="mm; the same along all axes by default")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--base-features", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--network", choices=SHAPES, help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
