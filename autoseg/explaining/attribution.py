"""Maps of what a network's evidence depends on, by captum; and networks of random weights to compare their maps with.

Evidence is a number for each image of a batch, such as a logit: images (B, C, *spatial) -> (B,).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from autoseg.errors import AutosegError

Network = TypeVar("Network", bound=nn.Module)
Evidence = Callable[[torch.Tensor], torch.Tensor]
VOXELS_AT_ONCE = 2**20  # of the occluded images that a network sees together
NO_PROOF = ("A map shows which voxels this network's answer depends on. It is no proof that the answer is right, nor that it "
            "is right for a good reason.")


def has_captum() -> bool:
    """Tell whether captum is installed."""
    return find_spec("captum") is not None


def require_captum() -> None:
    """Raise AutosegError that says how to install captum where it is missing."""
    if not has_captum():
        raise AutosegError("--explain needs the package captum, which is not installed here. Install it with: "
                           "pip install 'autoseg[explain]'")


def grad_cam(evidence: Evidence, layer: nn.Module, image: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return Grad-CAM (Selvaraju et al. 2017) of a layer (N, F, *coarse), linearly resized: (N, *size) float32.

    Its negative values, which speak against the evidence, are kept: Grad-CAM proper leaves them out, but a map of random
    weights can have no others. image: (1, C, *spatial); N is 1, or the number of slices that the layer sees apart. size: voxels
    of the last axes.
    """
    from captum.attr import LayerGradCam

    with _gradients():
        found = LayerGradCam(evidence, layer).attribute(_asking(image)).detach().float()
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    resized: torch.Tensor = functional.interpolate(found, size=tuple(size), mode=mode, align_corners=False)[:, 0]
    return resized


def occlusion(evidence: Evidence, image: torch.Tensor, baseline: torch.Tensor, window: Sequence[int]) -> torch.Tensor:
    """Return by how much the evidence falls where a window of the image is replaced (Zeiler and Fergus 2014): (1, *spatial).

    image, baseline: (1, C, *spatial), all channels are replaced together. window: voxels; windows lie half of it apart, and a
    voxel has the mean of those that cover it.
    """
    from captum.attr import Occlusion

    channels = image.shape[1]
    with torch.no_grad(), _quiet():
        found = Occlusion(evidence).attribute(
            image, sliding_window_shapes=(channels, *window), strides=(channels, *(max(1, edge // 2) for edge in window)),
            baselines=baseline, perturbations_per_eval=max(1, VOXELS_AT_ONCE // prod(image.shape[1:])))
    of_all: torch.Tensor = found[:, 0].float()
    return of_all


def saliency(evidence: Evidence, image: torch.Tensor) -> torch.Tensor:
    """Return the absolute gradient of the evidence (Simonyan et al. 2013), of each channel: (B, C, *spatial) float32."""
    from captum.attr import Saliency

    with _gradients():
        found: torch.Tensor = Saliency(evidence).attribute(_asking(image), abs=True).detach().float()
    return found


def foreground_median(image: torch.Tensor) -> torch.Tensor:
    """Return what occlusion puts in the place of an image (1, C, *spatial), at least 0: the median of each channel's voxels above
    0, and 0 where nothing is, so that no window paints something into the air."""
    filled = torch.zeros_like(image)
    for channel, into in zip(image[0], filled[0], strict=True):
        if (there := channel > 0).any():
            into[there] = channel[there].median()
    return filled


def randomized(network: Network, seed: int = 0) -> Network:
    """Return a copy of a network with random weights in all layers, the same for each seed (Adebayo et al. 2018)."""
    other = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in other.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    other.eval().requires_grad_(False)
    return other


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of two maps; None where one of them has the same value everywhere."""
    from scipy.stats import rankdata

    ranks = [rankdata(values.ravel()) for values in (one, other)]
    return None if any(of.std() == 0 for of in ranks) else float(np.corrcoef(*ranks)[0, 1])


def _asking(image: torch.Tensor) -> torch.Tensor:
    return image.detach().clone().requires_grad_(True)


@contextmanager
def _gradients() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad(), _quiet():
        yield


@contextmanager
def _quiet() -> Iterator[Any]:
    """Leave out what captum says of hooks and gradients, which no user can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
