"""A trained detector at work: scores of slices and cases, and where in an image the anomaly lies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from autoseg.bounds import Precision
from autoseg.device import keep_large_blocks
from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.inference.cases import memory_errors_named
from autoseg.inference.checkpoints import origin_of
from autoseg.networks.convolutions import Conv2d
from autoseg.provenance import Origin
from autoseg.tasks.anomaly.cutting import cut_image, place_back
from autoseg.tasks.anomaly.model import AnomalyDescription, GanNetworks, LoadedDetector, Network
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.anomaly.scores import CaseScore, SliceScore, Truth, case_score
from autoseg.tasks.anomaly.search import Found, Progress, search, share_of


def fused(networks: GanNetworks) -> GanNetworks:
    """Return copies that give the same but for rounding, faster; only of networks in eval mode, whose statistics stand still."""
    encoder = None if networks.encoder is None else _fused(networks.encoder)
    return GanNetworks(_fused(networks.generator), _fused(networks.discriminator), encoder)


def _fused(network: Network) -> Network:
    network = copy(network)
    network._modules = {name: _fused_child(child) for name, child in network.named_children()}
    return network.eval().requires_grad_(False)


def _fused_child(child: nn.Module) -> nn.Module:
    if not isinstance(child, nn.Sequential):
        return _plain(child)
    kept: list[nn.Module] = []
    for layer in child:
        if kept and isinstance(layer, nn.BatchNorm2d) and isinstance(kept[-1], (nn.Conv2d, nn.ConvTranspose2d)):
            kept[-1] = fuse_conv_bn_eval(kept[-1], layer, transpose=isinstance(kept[-1], nn.ConvTranspose2d))
        else:
            kept.append(_plain(layer))
    return nn.Sequential(*kept)


def _plain(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer; of a convolution whose weight is computed each time, one that has it."""
    if not (isinstance(layer, nn.Conv2d) and parametrize.is_parametrized(layer, "weight")):
        return deepcopy(layer)
    plain = Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]
    plain.weight, plain.bias = nn.Parameter(layer.weight.detach().clone()), deepcopy(layer.bias)
    return plain


@dataclass(frozen=True)
class ScoredCase:
    """One case. slices, case: its scores. Row i of the arrays is the slice with index `indices[i]` along the axis that was cut.

    real, generated: (N, C, S, S) float32, the slices as they were cut and the closest ones that were found. maps: (N, S, S)
    float32, mean over the channels of |x - G(z)|, 0 to 2. anomaly_map: (1, Z, Y, X) float32, the maps in the image's own grid;
    None where there is no image, or where not all of its slices were searched.
    """

    slices: list[SliceScore]
    case: CaseScore
    indices: np.ndarray
    real: np.ndarray
    generated: np.ndarray
    maps: np.ndarray
    anomaly_map: np.ndarray | None = None

    def highest(self, count: int) -> np.ndarray:
        """Return where in `indices` the slices of the highest scores stand, highest first; at most `count`."""
        scores = np.array([np.nan if entry.score is None else entry.score for entry in self.slices])
        return np.argsort(-scores)[: min(count, int(np.isfinite(scores).sum()))]  # NaN is sorted last


class AnomalyDetector:
    """Means over the folds of a detector: of scores, of generated slices, and of maps."""

    def __init__(
        self, detector: LoadedDetector, device: torch.device, search: SearchSettings | None = None,
        most_slices: int | None = None, precision: Precision = "auto",
    ) -> None:
        """detector: its networks lie on `device`. search: None for what it was trained with. most_slices: that are searched of a
        case, evenly spread; None for all. precision: of the search.
        """
        self.detector, self.device, self.precision = detector, device, precision
        self.search = search or detector.description.search
        self.most_slices = most_slices
        self._networks = [fused(networks) for networks in detector.networks]
        if device.type == "cpu":
            keep_large_blocks()

    @property
    def description(self) -> AnomalyDescription:
        return self.detector.description

    def origin(self, **more: object) -> Origin:
        """Return what scores depend on besides the image."""
        return origin_of([self.detector.facts()], search=self.search.model_dump(mode="json"), **more)

    def score_image(self, image: Image, case: str, progress: Progress | None = None) -> ScoredCase:
        """Score an image (C, Z, Y, X) as read, cut as the training images were. The same image and case give the same scores.

        Raises AutosegError where the image does not fit the detector (see `cutting.cut_image`), or memory runs out.
        """
        cut = cut_image(image, case, self.description.plans)
        scored = self.score_case(case, cut.slices, cut.blank, cut.placement.array_axis, progress=progress)
        if len(scored.indices) < len(cut.slices):
            return scored
        return replace(scored, anomaly_map=place_back(scored.maps, cut.placement))

    def score_case(
        self, case: str, slices: np.ndarray, blank: np.ndarray, array_axis: int | None = None,
        truths: Sequence[Truth | None] | None = None, truth: Truth | None = None, progress: Progress | None = None,
    ) -> ScoredCase:
        """Score slices that were cut before.

        slices: (N, C, S, S) float32, all of the case. blank: (N,) bool. array_axis: of the image, that they were cut along.
        truths: of the slices; truth: of the case. Raises AutosegError where all slices are blank, or memory runs out.
        """
        if np.all(blank):
            raise AutosegError(f"case {case}: each of its slices has one value everywhere, so that there is nothing to score. "
                               "Look at the image, or leave it out.")
        indices = spread(blank, self.most_slices)
        with memory_errors_named(case, [slices.shape], self.device):
            found = self.score_slices(slices[indices], blank[indices], self._seed(case), indices.tolist(), progress)
        rows = [
            SliceScore(case=case, slice=int(index), score=_number(found.score[row]), residual=_number(found.residual[row]),
                       discrimination=_number(found.discrimination[row]), steps=int(found.steps[row]), axis=array_axis,
                       truth=None if truths is None else truths[index])
            for row, index in enumerate(indices)]
        return ScoredCase(rows, case_score(rows, truth), indices, slices[indices], found.generated, found.maps)

    def score_slices(
        self, slices: np.ndarray, blank: np.ndarray, seed: int, positions: Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> Found:
        """Score slices (N, C, S, S) float32, one at least not blank. blank: (N,) bool; these are not searched: their scores
        are NaN, their maps 0. positions: of the slices in their case (see `search`). Raises AutosegError where weights give no
        numbers.
        """
        seen = np.flatnonzero(~blank)
        numbers = np.arange(len(slices)) if positions is None else np.asarray(positions)
        tensor = torch.from_numpy(np.ascontiguousarray(slices[seen], np.float32)).to(self.device)
        of_folds = [
            search(networks, tensor, self.search, seed, share_of(progress, fold / len(self._networks), 1 / len(self._networks)),
                   [int(number) for number in numbers[seen]], self.precision)
            for fold, networks in enumerate(self._networks)]
        mean = {field.name: np.mean([getattr(found, field.name) for found in of_folds], axis=0) for field in fields(Found)}
        if not np.isfinite(mean["score"]).all():
            raise AutosegError("The detector's networks give no numbers (NaN): its training failed. Train it again.")
        return _with_blank(mean, slices, seen)

    def _seed(self, case: str) -> int:
        """Return a seed of the case and the training's seed: the same each time, whatever the other settings are."""
        text = f"{self.description.settings.get('seed')}/{case}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def spread(blank: np.ndarray, most: int | None) -> np.ndarray:
    """Return the indices of all slices, or where that is fewer of `most` that are not blank, evenly spread. blank: (N,) bool."""
    seen = np.flatnonzero(~blank)
    if most is None or len(seen) <= most:
        return np.arange(len(blank))
    return seen[((np.arange(most) + 0.5) * len(seen) / most).astype(np.int64)]


def _with_blank(mean: dict[str, np.ndarray], slices: np.ndarray, seen: np.ndarray) -> Found:
    """Return the slices that were not searched among the others: generated as they are, so that nothing differs."""
    def filled(name: str, empty: np.ndarray) -> np.ndarray:
        empty[seen] = mean[name]
        return empty

    count, edge = len(slices), slices.shape[-1]
    nothing = [np.full(count, np.nan, np.float32) for _ in range(3)]
    return Found(
        score=filled("score", nothing[0]), residual=filled("residual", nothing[1]),
        discrimination=filled("discrimination", nothing[2]), generated=filled("generated", slices.astype(np.float32)),
        maps=filled("maps", np.zeros((count, edge, edge), np.float32)), steps=filled("steps", np.zeros(count, np.int64)))


def _number(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None
