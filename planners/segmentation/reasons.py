"""Reasons of a plan, in words: one function for each decision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autoseg.plan import Topology
from autoseg.planners.segmentation import memory, spacing
from autoseg.topology import pooling, shapes

AXES = ("z", "y", "x")
NORMALIZATIONS = {
    "ct": "clipped to the 0.5 and 99.5 percentiles of the dataset's foreground, then its mean and deviation, "
          "because intensities are Hounsfield units",
    "zscore": "z-score of each case, because the intensity scale differs from image to image",
    "rescale_0_1": "each case scaled to 0..1, as the channel's name asks",
    "rgb": "divided by 255, as the channel's name asks",
    "none": "left as it is, as the channel's name asks",
}
PREVIOUS_STAGE = ("A patch at full resolution shows little of the image at once: besides the image, the network sees what "
                  "3d_lowres, whose patch shows more of it, segmented. All else is as in "
                  "3d_fullres, and so are the preprocessed images.")
COSTS = {"unet": "puts out", "resunet": "puts out", "unet3plus": "puts out or holds besides"}


def fullres_spacing(target: spacing.TargetSpacing, transpose: Sequence[int]) -> str:
    """Say why the target has this spacing and the axes this order."""
    text = f"The median over the training cases, {_times(target.median_mm, '.4g')} mm along the images' z, y, x."
    if target.coarse_axis is not None:
        text += (f" Axis {AXES[target.coarse_axis]} is more than {spacing.ANISOTROPY_RATIO} times coarser than the "
                 f"others and has less than 1/{spacing.ANISOTROPY_RATIO} of their voxels, so it takes its "
                 f"{spacing.COARSE_AXIS_PERCENTILE}th percentile (not below the others), "
                 f"{target.spacing_mm[target.coarse_axis]:.4g} mm.")
    order = ", ".join(AXES[axis] for axis in transpose)
    return text + f" Axes are kept in the order {order}: the slice axis (the coarsest) first."


def lowres_spacing(fullres_mm: np.ndarray, steps: int) -> str:
    """Say why 3d_lowres has this spacing."""
    return (f"That of 3d_fullres, {_times(fullres_mm.tolist(), '.4g')} mm, grown {steps} times by "
            f"{spacing.LOWRES_GROWTH - 1:.0%} (axes finer than half the coarsest alone, then all) until the patch "
            "covers enough of the median shape.")


def patch_size(fit: memory.Fit, spacing_mm: Sequence[float], median_shape: Sequence[float], budget: memory.Budget) -> str:
    """Say why the patch has this size."""
    dimensions = len(spacing_mm)
    wanted = memory.first_patch_size(spacing_mm, (math.inf,) * dimensions)
    text = (f"Equal extent along all axes with the voxels of {memory.FIRST_PATCH_EDGE[dimensions]}^{dimensions} is "
            f"{_times(wanted)}; within the median shape {_times(median_shape, 'g')} and grown to a multiple of the "
            f"strides it is {_times(fit.first)}.")
    if fit.shrunk:
        text += (f" Shrunk in {fit.shrunk} steps, each along the axis that covered most of the median shape, until a "
                 f"batch of {budget.patches[dimensions]} fits into {budget.memory_gb:g} GB.")
    return text


def network(fit: memory.Fit) -> str:
    """Say why the network has this depth and these kernels."""
    dimensions = len(fit.first)
    pools = [int(math.log2(divisor)) for divisor in fit.pooling.divisors]
    smallest = [n // d for n, d in zip(fit.pooling.patch_size, fit.pooling.divisors, strict=True)]
    first = ", slice axis first," if dimensions == 3 else ""
    text = (f"{fit.pooling.stages} stages: the axes{first} are halved {', '.join(map(str, pools))} times, each while "
            f"{2 * pooling.SMALLEST_EDGE} voxels ({3 * pooling.SMALLEST_EDGE} for a last single axis) are left "
            f"and its spacing is below twice the finest; {_times(smallest)} voxels remain at the bottom.")
    if any(1 in kernel for kernel in fit.pooling.kernel_sizes):
        text += " Kernels are 1 along an axis while its spacing is twice the finest or more."
    text += (f" Features start at {shapes.BASE_FEATURES}, double with each stage and stop at "
             f"{shapes.MOST_FEATURES[dimensions]}.")
    return text + _convolutions(fit.topology)


def _convolutions(topology: Topology) -> str:
    """Say what differs from a plain U-Net of two convolutions a stage."""
    if topology.name == "resunet":
        blocks = ", ".join(map(str, topology.convs_per_stage))
        return f" The encoder's stages have {blocks} residual blocks, the decoder's one convolution each (Isensee et al. 2024)."
    if topology.name == "unet3plus":
        return (f" Each decoder level takes {topology.features[0]} channels from each of the {topology.stages} stages "
                "(Huang et al. 2020).")
    return ""


def batch_size(fit: memory.Fit, budget: memory.Budget, voxels_of_dataset: float) -> str:
    """Say why the batch has this size."""
    dimensions = len(fit.first)
    by_memory = memory.batch_that_fits(fit, budget)
    by_dataset = memory.batch_of_dataset_share(fit, budget, voxels_of_dataset)
    held = memory.memory_values(dimensions, budget)
    share = "all" if budget.share_of_dataset == 1 else f"{budget.share_of_dataset:.0%}"
    on_each = f" on each of {budget.gpus} GPUs, together" if budget.gpus > 1 else ":"
    text = (f"The network {COSTS[fit.topology.name]} {fit.values:.3g} values for one patch and {budget.memory_gb:g} GB are "
            f"taken to hold {held:.3g}{on_each} {by_memory} patches fit; {by_dataset} hold {share} of the dataset's voxels.")
    if min(by_memory, by_dataset) < (least := memory.smallest_batch(budget)):
        return f"{text} At least {least} are taken."
    return f"{text} The smaller number is taken{', the same for each GPU' * (budget.gpus > 1)}."


def normalization(
    channel_names: Sequence[str], schemes: Sequence[str], inside_mask: Sequence[bool], share_kept: float
) -> str:
    """Say why each channel is normalized in this way."""
    texts = []
    for scheme in dict.fromkeys(schemes):
        names = [name for name, its in zip(channel_names, schemes, strict=True) if its == scheme]
        texts.append(f"{', '.join(names)}: {NORMALIZATIONS[scheme]}")
    if "zscore" in schemes:
        where = "inside the non-zero mask" if any(inside_mask) else "over the whole cropped image"
        texts.append(f"z-scores are taken {where}, because the crop to the non-zero box keeps {share_kept:.0%} of the "
                     "median image (the mask is used below 75%)")
    return "; ".join(texts) + "."


def covers(share: float, threshold: float) -> str:
    """Say how much of the median shape the patch of 3d_fullres sees."""
    return f"The patch of 3d_fullres covers {share:.0%} of the median shape ({threshold:.0%} are wanted)"


def _times(values: Sequence[float], form: str = "d") -> str:
    return " × ".join(format(int(v) if form == "d" else v, form) for v in values)

