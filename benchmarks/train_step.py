"""Seconds and memory of a training step, against nnU-Net with the same plan, device and threads in the same run.

usage: python benchmarks/train_step.py [--nnunet-python PATH] [--steps N] [--device cpu|cuda]
           [--patch 40 56 40] [--batch 9] [--stages 4] [--compiled]

The default plan is that of the Decathlon's hippocampus, 3d_fullres. Both sides train on random patches with deep
supervision, Dice + cross-entropy and SGD; the first two steps are not counted, the median of the others is. nnU-Net
runs as it does by itself (float32 on the CPU); autoseg runs as it does by itself, and besides in float32, and once
without keeping malloc's blocks, so that each gain stands alone. The machine's own rate of matrix products is printed,
since it bounds all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import Measurement, measure

SIDES = ("autoseg", "autoseg, float32", "autoseg, float32, malloc as it is")
COMPILED = "autoseg, compiled"
UNCOUNTED = 2

# what nnU-Net's trainer does on the CPU: no autocast, gradient norm clipped at 12
NNUNET_SCRIPT = """
import json, sys, time
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

job = json.loads(sys.argv[1])
device = torch.device(job["device"])
stages = job["stages"]
network = PlainConvUNet(
    1, stages, [min(320, 32 * 2**i) for i in range(stages)], torch.nn.Conv3d, 3, [1] + [2] * (stages - 1), 2, 3,
    [2] * (stages - 1), True, torch.nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, torch.nn.LeakyReLU,
    {"inplace": True}, deep_supervision=True).to(device)
weights = [0.5**i for i in range(stages - 1)]
weights[-1] = 0
loss = DeepSupervisionWrapper(DC_and_CE_loss(
    {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, weight_ce=1, weight_dice=1,
    dice_class=MemoryEfficientSoftDiceLoss), [w / sum(weights) for w in weights])
optimizer = torch.optim.SGD(network.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
scaler = torch.amp.GradScaler("cuda") if device.type == "cuda" else None
seconds = []
for step in range(job["steps"]):
    image = torch.randn(job["batch"], 1, *job["patch"], device=device)
    labels = [torch.randint(0, 3, (job["batch"], 1, *(p // 2**i for p in job["patch"])), device=device).float()
              for i in range(stages - 1)]
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device.type, enabled=device.type == "cuda"):
        value = loss(network(image), labels)
    (scaler.scale(value) if scaler else value).backward()
    if scaler:
        scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
    scaler.step(optimizer) if scaler else optimizer.step()
    scaler.update() if scaler else None
    value.item()
    seconds.append(time.perf_counter() - start)
json.dump(seconds, open(job["result"], "w"))
"""


def main() -> None:
    arguments = _parse_arguments()
    if arguments.side is not None:
        Path(arguments.result).write_text(json.dumps(step_seconds(arguments)), encoding="utf-8")
        return
    print(f"matrix product, 4096 x 4096: {matrix_rate('float32'):.2f} TFLOP/s in float32, "
          f"{matrix_rate('bfloat16'):.2f} in bfloat16", flush=True)
    steps = {}
    for side in (*SIDES, *([COMPILED] if arguments.compiled else [])):
        steps[side] = report(side, [sys.executable, __file__, "--side", side, *_flags(arguments)], arguments)
    if arguments.nnunet_python:
        job = {"device": arguments.device, "stages": arguments.stages, "batch": arguments.batch,
               "patch": arguments.patch, "steps": arguments.steps}
        theirs = report("nnU-Net", [arguments.nnunet_python, "-c", NNUNET_SCRIPT], arguments, job)
        print("  ".join(f"{side}: {theirs / seconds:.2f} times faster" for side, seconds in steps.items()))


def report(name: str, command: list[str | Path], arguments: argparse.Namespace, job: dict[str, object] | None = None) -> float:
    """Run one side, print its line, and return the median seconds of its counted steps."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds.json"
        if job is None:
            command = [*command, "--result", result]
        else:
            command = [*command, json.dumps({**job, "result": str(result)})]
        measured: Measurement = measure(command)
        seconds = json.loads(result.read_text(encoding="utf-8"))[UNCOUNTED:]
    median = statistics.median(seconds)
    print(f"{name:36s} {median:6.2f} s a step ({min(seconds):.2f} to {max(seconds):.2f}), "
          f"{measured.peak_bytes / 1e9:5.2f} GB", flush=True)
    return median


def step_seconds(arguments: argparse.Namespace) -> list[float]:
    """Seconds of each step of one of our sides."""
    import torch

    from autoseg.dataset import Labels
    from autoseg.device import keep_large_blocks
    from autoseg.plan import Configuration, Topology
    from autoseg.trainers.losses.targets import TrainingData
    from autoseg.trainers.segmentation import RECIPES, SegmentationSettings
    from autoseg.trainers.segmentation.batches import Batch

    if "malloc" not in arguments.side:
        keep_large_blocks()
    stages = arguments.stages
    topology = Topology(
        features=tuple(min(320, 32 * 2**i) for i in range(stages)), strides=((1, 1, 1),) + ((2, 2, 2),) * (stages - 1),
        kernel_sizes=((3, 3, 3),) * stages, convs_per_stage=(2,) * stages,
    )
    configuration = Configuration(
        spacing_mm=(1, 1, 1), median_shape=tuple(arguments.patch), patch_size=tuple(arguments.patch),
        batch_size=arguments.batch, normalization=("zscore",), normalize_inside_mask=(False,), network=topology,
    )
    labels = Labels(values={"background": 0, "one": 1, "two": 2})
    settings = SegmentationSettings(precision="float32" if "float32" in arguments.side else "auto",
                                    compile=arguments.side == COMPILED)
    data = TrainingData(labels, voxels=3, class_voxels=(1, 1, 1))
    learner = RECIPES["default"].build(configuration, data, settings, torch.device(arguments.device))
    seconds = []
    for _ in range(arguments.steps):
        image = torch.randn(arguments.batch, 1, *arguments.patch, device=arguments.device)
        label = torch.randint(0, 3, image.shape, device=arguments.device, dtype=torch.int16)
        start = time.perf_counter()
        learner.training_step(Batch(image, label))
        seconds.append(time.perf_counter() - start)
    return seconds


def matrix_rate(dtype: str) -> float:
    """TFLOP/s of a square matrix product on the CPU."""
    script = (f"import time, torch; a = torch.randn(4096, 4096, dtype=torch.{dtype}); a @ a; t = time.perf_counter();"
              "a @ a; a @ a; print(4 * 4096**3 / (time.perf_counter() - t) / 1e12)")
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def _flags(arguments: argparse.Namespace) -> list[str]:
    patch = [str(size) for size in arguments.patch]
    return ["--steps", str(arguments.steps), "--device", arguments.device, "--batch", str(arguments.batch),
            "--stages", str(arguments.stages), "--patch", *patch]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patch", type=int, nargs=3, default=[40, 56, 40])
    parser.add_argument("--batch", type=int, default=9)
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile (--set compile=true)")
    parser.add_argument("--side", choices=(*SIDES, COMPILED), help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
