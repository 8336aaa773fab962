"""Does autoseg train as nnU-Net does? Prints tables of both; exits 1 on any difference.

usage: python benchmarks/training_parity.py --nnunet-python PATH [--only losses|augmentation] [--draws N] [--transforms NAME ...]

Losses: small networks with nnU-Net's weights, the same batches, in float32 on the CPU: loss and norm of the gradient at the first
step, and weights after three steps of each side's own optimizer and schedule.
Augmentation: what each transform, drawn so many times (2000), does to a fixed patch; see augmentation_parity.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from augmentation_effects import TRANSFORMS
from augmentation_parity import print_augmentation

from autoseg.dataset import Labels
from autoseg.plan import Configuration, Topology
from autoseg.trainers.losses.targets import TrainingData
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.segmentation import RECIPES, SegmentationSettings
from autoseg.trainers.segmentation.batches import Batch
from autoseg.trainers.segmentation.configure import effective_configuration

ARCHITECTURES = {"unet": "PlainConvUNet", "resunet": "ResidualEncoderUNet"}
LABELS = {
    "classes": Labels(values={"background": 0, "a": 1, "b": 2}),
    "regions": Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2)),
    "classes, ignore": Labels(values={"background": 0, "a": 1, "b": 2, "ignore": 3}, ignore=3),
    "regions, ignore": Labels(
        values={"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}, regions_class_order=(1, 2), ignore=3),
}
PATCHES = {2: (32, 24), 3: (12, 32, 24)}
STRIDES = {2: ((1, 1), (2, 2), (2, 2), (2, 1)), 3: ((1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 2, 1))}
KERNELS = {2: ((3, 3),) * 4, 3: ((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))}
CHANNELS, BATCH, STEPS, EPOCHS, STEEP = 2, 3, 3, 4, 60
YES = {False: "no", True: "yes"}
OF_DICE = 1  # our loss of the Dice is 1 - Dice, nnU-Net's is -Dice
CPU = torch.device("cpu")
LARGEST = {"loss": 1e-5, "gradient": 1e-4, "weights": 1e-4}  # differences that count as equal: relative, relative, absolute


@dataclass(frozen=True)
class Job:
    """One training for both sides: a network, the labels' kind, and how the loss counts. steep: with weights of the heads so
    large that the gradient must be clipped."""

    network: str
    dimensions: int
    kind: str
    batch_dice: bool
    deep_supervision: bool
    steep: bool = False

    @property
    def name(self) -> str:
        return re.sub(r"\W+", "_", repr(self))

    @property
    def labels(self) -> Labels:
        return LABELS[self.kind]

    @property
    def settings(self) -> SegmentationSettings:
        """Return nnU-Net's, each given by itself, for a training of four epochs of one step."""
        return SegmentationSettings(
            precision="float32", epochs=EPOCHS, iterations=1, optimizer="sgd", learning_rate=0.01, momentum=0.99,
            weight_decay=3e-5, gradient_clip=12, schedule="poly", warmup=0, deep_supervision=self.deep_supervision)

    @property
    def configuration(self) -> Configuration:
        patch, stages = PATCHES[self.dimensions], len(STRIDES[self.dimensions])
        topology = Topology(
            name=self.network, features=(6, 8, 12, 16), strides=STRIDES[self.dimensions], kernel_sizes=KERNELS[self.dimensions],
            convs_per_stage=(2,) * stages if self.network == "unet" else (1, 2, 2, 1), decoder_convs_per_stage=(2, 2, 1))
        planned = Configuration(
            spacing_mm=(1.0,) * self.dimensions, median_shape=patch, patch_size=patch, batch_size=BATCH,
            normalization=("zscore",) * CHANNELS, normalize_inside_mask=(False,) * CHANNELS, network=topology,
            batch_dice=self.batch_dice)
        return effective_configuration(planned, self.settings, self.labels.output_channels)


def every_job() -> list[Job]:
    """Return all combinations, and each network once with a steep loss."""
    every = [Job(*one) for one in itertools.product(ARCHITECTURES, PATCHES, LABELS, (False, True), (True, False))]
    return every + [Job(*one, "classes", False, True, True) for one in itertools.product(ARCHITECTURES, PATCHES)]


def asked(job: Job) -> dict[str, Any]:
    """Return the job as nnunet_training.py wants it."""
    network, labels, d = job.configuration.network, job.labels, job.dimensions
    blocks = "n_conv_per_stage" if job.network == "unet" else "n_blocks_per_stage"
    arguments = {
        "n_stages": network.stages, "features_per_stage": network.features, "conv_op": f"torch.nn.modules.conv.Conv{d}d",
        "kernel_sizes": network.kernel_sizes, "strides": network.strides, blocks: network.convs_per_stage,
        "n_conv_per_stage_decoder": network.convs_up[::-1], "conv_bias": True, "dropout_op": None, "dropout_op_kwargs": None,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{d}d", "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True}}
    return {
        "name": job.name, "architecture": ARCHITECTURES[job.network], "arguments": arguments, "strides": network.strides,
        "labels": labels.values, "regions_class_order": labels.regions_class_order, "batch_dice": job.batch_dice,
        "deep_supervision": job.deep_supervision, "channels": CHANNELS, "epochs": EPOCHS,
        "factor_of_heads": STEEP if job.steep else 1}


def batches_of(job: Job) -> dict[str, np.ndarray]:
    """Draw one batch for each step. Class 2 is in the first sample only, and the last holds background alone."""
    random, patch = np.random.default_rng(0), PATCHES[job.dimensions]
    image = random.standard_normal((STEPS, BATCH, CHANNELS, *patch)).astype(np.float32)
    label = (image[:, :, :1] > 0.5).astype(np.int16)
    label[:, 0] += (image[:, 0, :1] > 1.5).astype(np.int16)
    label[:, -1] = 0
    if job.labels.ignore is not None:
        label[random.random(label.shape) < 0.3] = job.labels.ignore
    return {"image": image, "label": label}


RENAMED = (
    (r"encoder\.stem\.convs\.0", "encoder.0.0"), (r"encoder\.stages\.0\.blocks", "encoder.0.1"),
    (r"encoder\.stages\.(\d+)\.blocks", r"encoder.\1"), (r"encoder\.stages\.(\d+)\.0\.convs", r"encoder.\1"),
    (r"decoder\.stages\.(\d+)\.convs", r"decoder.\1"), (r"decoder\.transpconvs", "up"), (r"decoder\.seg_layers", "heads"),
    (r"\.conv1\.", ".first."), (r"\.conv2\.", ".second."), (r"\.conv\.", ".0."), (r"\.norm\.", ".1."))


def our_name(name: str, stages: int) -> str | None:
    """Return the name that a weight of nnU-Net's network has in ours; None for a name that repeats another one's."""
    if name.startswith("decoder.encoder.") or ".all_modules." in name:
        return None
    for theirs, ours in RENAMED:
        name = re.sub(theirs, ours, name)
    part, number, *rest = name.split(".")
    if part in ("decoder", "up", "heads"):  # theirs are counted from the coarsest level
        number = str(stages - 2 - int(number))
    return ".".join([part, number, *rest])


def weights_of(job: Job, answer: Mapping[str, np.ndarray], when: str) -> dict[str, torch.Tensor]:
    """Return nnU-Net's weights by our names. when: "before" or "after" the steps."""
    found = {our_name(name.removeprefix(f"{when}/"), job.configuration.network.stages): torch.from_numpy(answer[name])
             for name in answer if name.startswith(f"{when}/")}
    kept = {name: values for name, values in found.items() if name is not None}
    if job.deep_supervision:
        return kept
    return {name: values for name, values in kept.items() if not re.match(r"heads\.[1-9]", name)}  # built, but not in use


def differences(job: Job, batches: Mapping[str, np.ndarray], answer: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return how far we are from nnU-Net, by the names of `LARGEST`."""
    data = TrainingData(job.labels, voxels=1, class_voxels=(1,) * job.labels.output_channels)
    learner = RECIPES["default"].build(job.configuration, data, job.settings, CPU)
    network = learner.modules["network"]
    network.load_state_dict(weights_of(job, answer, "before"))
    first = Batch(*(torch.from_numpy(batches[key][0]) for key in ("image", "label")))
    learner.loss(network(first.image), first.label).backward()
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]))
    schedule, losses = Schedule(job.settings), []
    for epoch, (image, label) in enumerate(zip(batches["image"], batches["label"], strict=True)):
        learner.set_progress(schedule.progress(epoch, 0))
        losses.append(learner.training_step(Batch(torch.from_numpy(image), torch.from_numpy(label)))["loss"])
    after = weights_of(job, answer, "after")
    apart = max(float((values - after[name]).abs().max()) for name, values in network.state_dict().items())
    loss = losses[0] - OF_DICE
    return {"loss": abs(loss / float(answer["loss"][0]) - 1), "gradient": abs(norm / float(answer["norm"][0]) - 1),
            "weights": apart}


def print_losses(nnunet_python: str) -> int:
    """Print a row for each job; return how many differ."""
    jobs, different = every_job(), 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "jobs.json").write_text(json.dumps([asked(job) for job in jobs]))
        for job in jobs:
            np.savez(Path(folder) / f"{job.name}.npz", **batches_of(job))
        script = Path(__file__).with_name("nnunet_training.py")
        subprocess.run([nnunet_python, script, folder], check=True, stdout=sys.stderr)
        print("\n## Losses, gradients, steps\n\n| network | labels | batch Dice | deep supervision | loss | norm of gradient | "
              "weights move by | loss differs by | norm by | weights by | |\n|---|---|---|---|---|---|---|---|---|---|---|")
        for job in jobs:
            with np.load(Path(folder) / f"{job.name}_answer.npz") as answer:
                apart = differences(job, batches_of(job), answer)
                loss, norm = float(answer["loss"][0]), float(answer["norm"][0])
                before, after = (weights_of(job, answer, when) for when in ("before", "after"))
                moved = max(float((after[name] - values).abs().max()) for name, values in before.items())
            equal = all(apart[key] <= largest for key, largest in LARGEST.items())
            different += not equal
            kind, batch_dice, deep = job.kind + ", steep" * job.steep, YES[job.batch_dice], YES[job.deep_supervision]
            print(f"| {job.network}, {job.dimensions}D | {kind} | {batch_dice} | {deep} | {loss:.5f} | {norm:.5f} | "
                  f"{moved:.3f} | {apart['loss']:.0e} | {apart['gradient']:.0e} | {apart['weights']:.0e} | "
                  f"{'equal' if equal else 'DIFFERS'} |")
    print(f"\n{len(jobs) - different} of {len(jobs)} trainings equal.")
    return different


def main() -> int:
    options = _options()
    different = 0 if options.only == "augmentation" else print_losses(options.nnunet_python)
    if options.only != "losses":
        different += print_augmentation(options.nnunet_python, options.draws, options.transforms)
    return 1 if different else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", required=True, help="the Python that nnunetv2 is installed in")
    parser.add_argument("--only", choices=("losses", "augmentation"))
    parser.add_argument("--draws", type=int, default=2000, metavar="N", help="of each transform")
    parser.add_argument("--transforms", nargs="+", default=list(TRANSFORMS), choices=TRANSFORMS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
