"""Changes to what a previous stage segmented, so that a cascade's second stage does not learn to trust every voxel of it.

Rules of nnU-Net v2: shapes are eroded, dilated, opened or closed by a ball, and components are dropped. Neither moves the image.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

MORPHOLOGY, DROPPING = 0.4, 0.2  # probability for a sample
OF_EACH_LABEL = 0.5  # probability where the sample is changed
RADIUS = (1.0, 8.0)  # voxels, of the ball
LARGEST_DROPPED = 0.15  # share of the patch: components that cover as much stay
OPERATORS = ("dilate", "erode", "close", "open")


def change_previous(channels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return the channels of the previous stage, one for each label, (K, *patch) bool, changed as drawn."""
    changes_shapes, drops = rng.random() < MORPHOLOGY, rng.random() < DROPPING
    if not (changes_shapes or drops):
        return channels
    masks = channels.cpu().numpy().copy()
    if changes_shapes:
        for label in _drawn(len(masks), rng):
            reshape_label(masks, label, OPERATORS[int(rng.integers(len(OPERATORS)))], rng.uniform(*RADIUS))
    if drops:
        for label in _drawn(len(masks), rng):
            drop_component(masks[label], rng)
    return torch.from_numpy(masks).to(channels.device)


def reshape_label(masks: np.ndarray, label: int, operator: str, radius: float) -> None:
    """Change the shape of one label in place; voxels that it gains are taken from the others. masks: (K, *patch) bool.

    radius: of the ball, voxels; a voxel belongs to it whose centre is not farther.
    """
    before = masks[label].copy()
    after = reshaped(before, operator, radius)
    masks[:, after & ~before] = False
    masks[label] = after


def reshaped(mask: np.ndarray, operator: str, radius: float) -> np.ndarray:
    """Return a mask, (*patch) bool, dilated, eroded, closed or opened by a ball. The patch's edges erode nothing."""
    found = np.nonzero(mask)
    if not len(found[0]):
        return mask
    margin = int(radius) + 1
    box = tuple(slice(max(0, axis.min() - margin), axis.max() + margin + 1) for axis in found)
    part = mask[box]
    for step in {"dilate": "+", "erode": "-", "close": "+-", "open": "-+"}[operator]:
        part = _dilated(part, radius) if step == "+" else ~_dilated(~part, radius)
    changed = mask.copy()
    changed[box] = part
    return changed


def drop_component(mask: np.ndarray, rng: np.random.Generator) -> None:
    """Remove one of the components of a mask, (*patch) bool, in place, of those that cover little of the patch.

    Voxels are connected through faces, edges and corners.
    """
    from acvl_utils.morphology.morphology_helper import cc3d_label_with_component_sizes

    components, sizes = cc3d_label_with_component_sizes(np.ascontiguousarray(mask), connectivity=26 if mask.ndim == 3 else 8)
    small = [component for component, size in sizes.items() if size < LARGEST_DROPPED * mask.size]
    if small:
        mask[components == small[int(rng.integers(len(small)))]] = False


def _dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return where a voxel of the mask is not farther than `radius`."""
    if not mask.any():
        return mask
    near: np.ndarray = ndimage.distance_transform_edt(~mask) <= radius
    return near


def _drawn(labels: int, rng: np.random.Generator) -> list[int]:
    """Return the labels that are changed, in a random order."""
    return [int(label) for label in rng.permutation(labels) if rng.random() < OF_EACH_LABEL]
