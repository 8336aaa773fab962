"""nnU-Net's side of training_parity.py, run by the Python that nnunetv2 is installed in: its own networks, targets, losses,
optimizer and schedule.

usage: nnunet_training.py FOLDER
FOLDER/jobs.json: [{"name", "architecture": "PlainConvUNet" or "ResidualEncoderUNet", "arguments": of its constructor, "strides",
"labels" and "regions_class_order" as in dataset.json, "batch_dice", "deep_supervision", "channels", "epochs",
"factor_of_heads": that their weights are multiplied by before the first step}].
FOLDER/NAME.npz: "image" (steps, B, C, *patch) float32 and "label" (steps, B, 1, *patch) int16, one batch for each step.
Written: FOLDER/NAME_answer.npz: "loss" and "norm" (of the gradient, before it is clipped) of each step, and the weights,
"before/KEY" and "after/KEY", as the network's state_dict names them. Each step is of an epoch of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import LabelManager

CLASSES = ("conv_op", "norm_op", "dropout_op", "nonlin")


def trainer_of(job: dict[str, Any]) -> SimpleNamespace:
    """Return what methods of nnUNetTrainer ask of `self`, with the job's network, loss, optimizer and schedule."""
    torch.manual_seed(0)
    labels = LabelManager(job["labels"], job["regions_class_order"])
    its = SimpleNamespace(
        label_manager=labels, is_ddp=False, _do_i_compile=lambda: False, enable_deep_supervision=job["deep_supervision"],
        configuration_manager=SimpleNamespace(batch_dice=job["batch_dice"], pool_op_kernel_sizes=job["strides"]),
        device=torch.device("cpu"), grad_scaler=None, initial_lr=1e-2, weight_decay=3e-5, num_epochs=job["epochs"])
    its.network = get_network_from_plans(
        f"dynamic_network_architectures.architectures.unet.{job['architecture']}", job["arguments"], CLASSES, job["channels"],
        labels.num_segmentation_heads, deep_supervision=job["deep_supervision"])
    with torch.no_grad():
        for head in its.network.decoder.seg_layers:
            head.weight *= job["factor_of_heads"]
    its._get_deep_supervision_scales = lambda: nnUNetTrainer._get_deep_supervision_scales(its)
    its.loss = nnUNetTrainer._build_loss(its)
    its.optimizer, its.lr_scheduler = nnUNetTrainer.configure_optimizers(its)
    return its


def targets_of(its: SimpleNamespace, label: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
    """Return what its data loader makes of labels (B, 1, *patch) for the loss."""
    manager = its.label_manager
    transforms = nnUNetTrainer.get_validation_transforms(
        its._get_deep_supervision_scales(), foreground_labels=manager.foreground_labels,
        regions=manager.foreground_regions if manager.has_regions else None, ignore_label=manager.ignore_label)
    samples = [transforms(segmentation=one)["segmentation"] for one in label]
    if its.enable_deep_supervision:
        return [torch.stack(level) for level in zip(*samples, strict=True)]
    return torch.stack(samples)


def norm_of_gradient(its: SimpleNamespace, image: torch.Tensor, target: torch.Tensor | list[torch.Tensor]) -> float:
    """Return its norm before it is clipped, at the present weights, which stay."""
    its.network.zero_grad(set_to_none=True)
    its.loss(its.network(image), target).backward()
    return float(torch.nn.utils.get_total_norm([p.grad for p in its.network.parameters() if p.grad is not None]))


def weights_of(its: SimpleNamespace, when: str) -> dict[str, np.ndarray]:
    return {f"{when}/{name}": values.numpy().copy() for name, values in its.network.state_dict().items()}


def answer(job: dict[str, Any], batches: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return losses, norms and weights of one job."""
    its = trainer_of(job)
    before, losses, norms = weights_of(its, "before"), [], []
    for epoch, (image, label) in enumerate(zip(batches["image"], batches["label"], strict=True)):
        its.lr_scheduler.step(epoch)
        data, target = torch.from_numpy(image), targets_of(its, torch.from_numpy(label))
        norms.append(norm_of_gradient(its, data, target))
        losses.append(nnUNetTrainer.train_step(its, {"data": data, "target": target})["loss"])
    return {"loss": np.array(losses), "norm": np.array(norms), **before, **weights_of(its, "after")}


def main() -> None:
    folder = Path(sys.argv[1])
    for job in json.loads((folder / "jobs.json").read_text()):
        with np.load(folder / f"{job['name']}.npz") as batches:
            np.savez(folder / f"{job['name']}_answer.npz", **answer(job, batches))


if __name__ == "__main__":
    main()
