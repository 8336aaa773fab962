"""OpenVINO beside torch: seconds of a tile for three kinds of networks; and predictions by a model, with the voxels that differ.

usage: python benchmarks/engines.py [--kinds unet resunet 2d] [--rounds N] [--model MODEL --images FOLDER [--flags ...]]

Networks are untrained, of 32 base features and up to 320 (512 in 2D), and run on noise in the precision that autoseg takes by
itself. Each side runs in a process of its own, in turn; the least of all tiles is printed, and the peak of the process. "First"
is the run that converts the network and compares it. --model: a trained model, whose segmentations of the images in a folder by
both engines are compared; --flags: further ones of autoseg_predict, such as --flags=--no-mirroring.
The converted networks go into a cache of this run's own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Measurement, measure
from safetensors.torch import load_file, save_file

from autoseg.device import autocast, keep_large_blocks, memory_format, resolve_precision, to_device
from autoseg.image_io import read_label
from autoseg.inference.engines import Runs, engine_in_words, open_in_openvino
from autoseg.networks import build_network
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of

CPU = torch.device("cpu")
KINDS = {"unet": ("unet", (64, 192, 160)), "resunet": ("resunet", (64, 192, 160)), "2d": ("unet", (512, 512))}
ENGINES = ("torch", "openvino")
PREDICT = "from autoseg.cli.predict import main; raise SystemExit(main())"
CLASSES, TILES = 3, 5


def main() -> None:
    arguments = _parse_arguments()
    if arguments.result:
        arguments.result.write_text(json.dumps(tile_seconds(arguments.kinds[0], arguments.engine, arguments.weights)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        print(f"{resolve_precision('auto', CPU)}, {torch.get_num_threads()} threads{engine_in_words('openvino')}\n\n"
              "| network, patch | torch | OpenVINO | | first |\n|---|---|---|---|---|", flush=True)
        for kind in arguments.kinds:
            print(compared(kind, folder, arguments.rounds, environment), flush=True)
        if arguments.model:
            print(predictions(arguments, folder, environment))


def compared(kind: str, folder: Path, rounds: int, environment: dict[str, str]) -> str:
    """Return the row of the table of a kind of network."""
    its = runs_of(kind)
    weights, result = folder / f"{kind}.safetensors", folder / "seconds.json"
    torch.manual_seed(0)
    save_file(build_network(its.topology, its.channels, its.classes).state_dict(), weights)

    def run(engine: str) -> tuple[list[float], Measurement]:
        measured = measure([sys.executable, __file__, "--kinds", kind, "--engine", engine, "--weights", weights, "--result",
                            result], environment)
        return json.loads(result.read_text(encoding="utf-8")), measured

    _, first = run("openvino")
    least, peak = dict.fromkeys(ENGINES, float("inf")), dict.fromkeys(ENGINES, 0)
    for _ in range(rounds):
        for engine in ENGINES:
            seconds, measured = run(engine)
            least[engine], peak[engine] = min(least[engine], *seconds), max(peak[engine], measured.peak_bytes)
    cells = [f"{least[engine]:.3f} s, {peak[engine] / 1e9:.2f} GB" for engine in ENGINES]
    ratio = least["torch"] / least["openvino"]
    return (f"| {kind}, {'×'.join(map(str, its.patch_size))} | {' | '.join(cells)} | {ratio:.2f} times as fast | "
            f"{first.seconds:.0f} s, {first.peak_bytes / 1e9:.2f} GB |")


def runs_of(kind: str) -> Runs:
    name, patch_size = KINDS[kind]
    pooling = pool((1.0,) * len(patch_size), patch_size)
    return Runs(topology_of(name, pooling, 32), 1, CLASSES, tuple(pooling.patch_size))


def tile_seconds(kind: str, engine: str, weights: Path) -> list[float]:
    """Return the seconds of each tile but the first."""
    keep_large_blocks()
    its, dtype = runs_of(kind), resolve_precision("auto", CPU)

    def make() -> Any:
        network = build_network(its.topology, its.channels, its.classes).eval()
        network.load_state_dict(load_file(weights))
        return to_device(network, CPU, len(its.patch_size))

    network = make() if engine == "torch" else open_in_openvino(weights, make, its, "auto")
    patches = torch.randn(1, its.channels, *its.patch_size).to(memory_format=memory_format(CPU, len(its.patch_size)))
    seconds = []
    for _ in range(TILES + 1):
        start = time.perf_counter()
        with torch.inference_mode(), autocast(CPU, dtype):
            network(patches)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def predictions(arguments: argparse.Namespace, folder: Path, environment: dict[str, str]) -> str:
    """Return what the segmentations of a folder of images took and how they differ, in words."""
    command = [sys.executable, "-c", PREDICT, "-m", arguments.model, "-i", arguments.images, *arguments.flags]
    first = measure([*command, "-o", folder / "first", "--engine", "openvino"], environment)
    took = {engine: measure([*command, "-o", folder / engine, "--engine", engine], environment) for engine in ENGINES}
    exact = measure([*command, "-o", folder / "float32", "--precision", "float32"], environment) if arguments.float32 else None
    lines = [f"\n{arguments.model}, {arguments.images}:", *(f"{engine:9} {its}" for engine, its in took.items()),
             f"first     {first}", *([f"float32   {exact}"] if exact else [])]
    pairs = [("torch", "openvino"), *([("float32", "torch"), ("float32", "openvino")] if exact else [])]
    for one, other in pairs:
        differing = voxels = foreground = 0
        for path in sorted((folder / one).glob("*.nii.gz")):
            labels, others = read_label(path).array, read_label(folder / other / path.name).array
            differing += int(np.count_nonzero(labels != others))
            voxels += labels.size
            foreground += int(np.count_nonzero(labels))
        lines.append(f"{one} and {other}: {differing} voxels differ of {voxels} ({foreground} of them not background)")
    return "\n".join(lines)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--float32", action="store_true", help="also predict in float32, by torch")
    parser.add_argument("--flags", nargs="*", default=[])
    for hidden in ("--engine", "--weights", "--result"):
        parser.add_argument(hidden, type=str if hidden == "--engine" else Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
