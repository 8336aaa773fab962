"""nnU-Net's side of augmentation_parity.py, run by the Python that nnunetv2 is installed in: its trainer's own transforms.

usage: nnunet_augmentation.py DRAWS ANSWERS.npz TRANSFORM...
Written: "PATCH/TRANSFORM/EFFECT" (draws,) float64 for each of augmentation_effects.py, and "PATCH/TRANSFORM/probability" (1,).
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from augmentation_effects import MASKED_CHANNELS, PATCHES, canvas, effects, middle_of
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

CLASSES = {
    "noise": "GaussianNoiseTransform", "blur": "GaussianBlurTransform", "brightness": "MultiplicativeBrightnessTransform",
    "contrast": "ContrastTransform", "low_resolution": "SimulateLowResolutionTransform", "mirror": "MirrorTransform"}


def transforms_of(patch: tuple[int, ...]) -> tuple[list[Any], tuple[int, ...]]:
    """Return what its trainer makes of this patch size: the list of transforms, and the size that is read for them."""
    its = SimpleNamespace(
        configuration_manager=SimpleNamespace(patch_size=list(patch)), print_to_log_file=lambda *words: None)
    rotation, flat, initial, mirror_axes = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(its)
    masked = [channel in MASKED_CHANNELS for channel in range(2)]
    chain = nnUNetTrainer.get_training_transforms(patch, rotation, None, mirror_axes, flat, use_mask_for_norm=masked)
    return list(chain.transforms), tuple(int(edge) for edge in initial)


def alone(name: str, transforms: list[Any]) -> tuple[Any, float]:
    """Return one transform of the list that is always drawn, and the probability that it had."""
    if name == "all":
        return ComposeTransforms(transforms), 1.0
    if name == "spatial":
        moving = [one for one in transforms if type(one).__name__ in (
            "Convert3DTo2DTransform", "SpatialTransform", "Convert2DTo3DTransform")]
        spatial = next(one for one in moving if type(one).__name__ == "SpatialTransform")
        rotation, scaling = spatial.p_rotation, spatial.p_scaling
        spatial.p_rotation = spatial.p_scaling = 1
        return ComposeTransforms(moving), rotation if rotation == scaling else float("nan")
    for one in transforms:
        inner = getattr(one, "transform", one)
        if "gamma" in name:
            is_it = type(inner).__name__ == "GammaTransform" and bool(inner.p_invert_image) == (name == "inverted_gamma")
        else:
            is_it = type(inner).__name__ == CLASSES[name]
        if is_it:
            return inner, float(getattr(one, "apply_probability", 1.0))
    raise SystemExit(f"nnU-Net has no transform for {name}.")


def measure(name: str, patch: tuple[int, ...], draws: int) -> dict[str, np.ndarray]:
    """Return the effects of one transform on one patch by name, each (draws,), and its probability."""
    torch.manual_seed(0)
    np.random.seed(0)
    transforms, initial = transforms_of(patch)
    transform, probability = alone(name, transforms)
    image, label = canvas(name, patch)
    before = middle_of(image, patch)
    if name == "spatial":  # of the patch's parity, so that centres coincide
        size = tuple(n + (n - edge) % 2 for n, edge in zip(initial, patch, strict=True))
        image, label = middle_of(image, size), middle_of(label, size)
    if name == "all" and "Convert3DTo2DTransform" in [type(one).__name__ for one in transforms]:  # it never cuts slices
        image, label = (middle_of(array, (patch[0], *array.shape[2:])) for array in (image, label))
    measured = []
    for _ in range(draws):
        out = transform(image=torch.from_numpy(image.copy()), segmentation=torch.from_numpy(label.copy()))
        measured.append(effects(name, before, out["image"].numpy(), out["segmentation"].numpy()))
    return {effect: np.array([one[effect] for one in measured]) for effect in measured[0]} | {
        "probability": np.array([probability])}


def main() -> None:
    draws, answers = int(sys.argv[1]), {}
    for patch_name, patch in PATCHES.items():
        for name in sys.argv[3:]:
            for effect, values in measure(name, patch, draws).items():
                answers[f"{patch_name}/{name}/{effect}"] = values
    np.savez(sys.argv[2], **answers)


if __name__ == "__main__":
    main()
