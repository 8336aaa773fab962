"""Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003; SSIM: Wang et al. 2004) of 2D and 3D maps.

Means, variances and covariances inside a Gaussian window, and the next coarser scale, are linear and separable: one small
matrix per axis each. What happens along an axis follows from its length alone:

    window   the largest odd number of voxels that is neither above `window` nor above the axis; 1 is no window at all
    scales   while an axis, halved (rounded up), still holds its window, it is halved for the next scale; a shorter one stays
             as it is. The scales end where no axis can be halved, and at `scales`.

    5 × 64 × 64, window 11:   windows 5, 11, 11   scales 5×64×64, 5×32×32, 5×16×16
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import torch

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first (Wang et al. 2003)
SIGMA_SHARE = 1.5 / 11  # share of the window's edge (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # for values in 0..1
FLOOR = 1e-5  # lower bound of a scale's mean similarity, which can be negative, before it is raised to its weight


def ms_ssim(image: torch.Tensor, reference: torch.Tensor, window: int = 11, scales: int = 5) -> torch.Tensor:
    """Return the similarity of every map to its reference, (B, K) in 0..1; 1 where they are equal.

    image, reference: (B, K, *spatial) float32, 2 or 3 axes of any length, values in 0..1. window: edge of the Gaussian
    window at most, in voxels, standard deviation 1.5 at 11 and in proportion below; only where it lies wholly inside is
    compared. scales: at most.

    The product over scales of the mean contrast-structure term, at the coarsest the mean SSIM (luminance in it), each
    raised to its weight. Means below 1e-5, negative ones among them, count as 1e-5 and then have no gradient.
    """
    windows = [odd_window(size, window) for size in image.shape[2:]]
    shapes = scale_shapes(tuple(image.shape[2:]), windows, scales)
    weights = scale_weights(len(shapes))
    similarity = torch.ones(image.shape[:2], device=image.device)
    for scale, (shape, weight) in enumerate(zip(shapes, weights, strict=True)):
        if scale > 0:
            halve = _on(image.device, map(halving_matrix, image.shape[2:], shape))
            image, reference = along_axes(image, halve), along_axes(reference, halve)
        mean = _mean_similarity(image, reference, windows, with_luminance=scale == len(shapes) - 1)
        similarity = similarity * mean.clamp_min(FLOOR).pow(weight)
    return similarity


def odd_window(size: int, most: int) -> int:
    """Return the largest odd number that is neither above `most` nor above `size`."""
    edge = min(size, most)
    return edge if edge % 2 else edge - 1


def scale_shapes(shape: tuple[int, ...], windows: Sequence[int], scales: int) -> list[tuple[int, ...]]:
    """Return the shape of every scale, finest first; see the module's rule."""
    shapes = [shape]
    while len(shapes) < scales:
        coarser = tuple(
            (size + 1) // 2 if window > 1 and (size + 1) // 2 >= window else size
            for size, window in zip(shapes[-1], windows, strict=True))
        if coarser == shapes[-1]:
            break
        shapes.append(coarser)
    return shapes


def scale_weights(scales: int) -> list[float]:
    """Return the published weights of the finest scales, finest first; where these are not all five, scaled to the sum 1."""
    weights = SCALE_WEIGHTS[:scales]
    return [weight / (sum(weights) if scales < len(SCALE_WEIGHTS) else 1) for weight in weights]


def _mean_similarity(
    image: torch.Tensor, reference: torch.Tensor, windows: Sequence[int], with_luminance: bool
) -> torch.Tensor:
    """Return (B, K): the mean over all windows of (2·covariance + C2) / (sum of variances + C2), times the luminance term."""
    smooth = _on(image.device, map(window_matrix, image.shape[2:], windows))
    mean_image, mean_reference = along_axes(image, smooth), along_axes(reference, smooth)
    product = mean_image * mean_reference
    squares = mean_image.square() + mean_reference.square()
    covariance = along_axes(image * reference, smooth) - product
    variances = along_axes(image.square() + reference.square(), smooth) - squares
    similarity = (2 * covariance + C2) / (variances + C2)
    if with_luminance:
        similarity = similarity * (2 * product + C1) / (squares + C1)
    return similarity.flatten(2).mean(2)


def along_axes(maps: torch.Tensor, matrices: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Return maps (B, K, *spatial) with each spatial axis multiplied by its matrix (new, old); None leaves an axis as it is."""
    for axis, matrix in enumerate(matrices, start=2):
        if matrix is not None:
            before, after = maps.shape[:axis], maps.shape[axis + 1:]
            columns = maps.reshape(before.numel(), maps.shape[axis], after.numel())
            product = columns[..., 0] @ matrix.T if axis == maps.ndim - 1 else matrix @ columns
            maps = product.reshape(*before, len(matrix), *after)
    return maps


def _on(device: torch.device, matrices: Iterable[np.ndarray | None]) -> list[torch.Tensor | None]:
    return [None if matrix is None else torch.tensor(matrix, device=device) for matrix in matrices]


@lru_cache(maxsize=64)
def window_matrix(size: int, window: int) -> np.ndarray | None:
    """Return (size - window + 1, size) float32: weighted means along an axis, wherever the window lies inside."""
    if window == 1:
        return None
    distances = np.arange(window) - window // 2
    weights = np.exp(-0.5 * (distances / (SIGMA_SHARE * window)) ** 2)
    matrix = np.zeros((size - window + 1, size), np.float32)
    for place, row in enumerate(matrix):
        row[place:place + window] = weights / weights.sum()
    return matrix


@lru_cache(maxsize=64)
def halving_matrix(size: int, half: int) -> np.ndarray | None:
    """Return (half, size) float32: means of two neighbours; the last voxel of an odd axis is kept. None if half is size."""
    if half == size:
        return None
    matrix = np.zeros((half, size), np.float32)
    for place, row in enumerate(matrix):
        pair = row[2 * place:2 * place + 2]
        pair[:] = 1 / len(pair)
    return matrix
