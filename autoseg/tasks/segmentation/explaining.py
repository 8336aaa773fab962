"""Maps of the voxels that a class's volume depends on: the gradient of its summed probability, tile by tile."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.explaining.attribution import Evidence, require_captum, saliency
from autoseg.image import Image
from autoseg.inference.cases import memory_errors_named
from autoseg.inference.export import resized_rows
from autoseg.inference.sliding_window import stream_logits
from autoseg.preprocessing.pipeline import to_original_grid
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.options import PredictOptions
from autoseg.tasks.segmentation.predictor import Predictor


def require_gradients(options: PredictOptions) -> None:
    """Raise AutosegError where captum is missing, or another engine than torch runs the networks."""
    require_captum()
    if options.engine != "torch":
        raise AutosegError(f"--explain needs gradients, which --engine {options.engine} does not give. Leave out one of them.")


def channels_of(labels: Labels) -> dict[str, int]:
    """Return the output channel of each class or region by its name, as a file may be called."""
    named = {re.sub(r"[^\w.-]+", "_", name): values for name, values in labels.foreground.items()}
    return {name: number if labels.has_regions else values[0] for number, (name, values) in enumerate(named.items())}


def summed_probability(network: nn.Module, channel: int, has_regions: bool) -> Evidence:
    """Return what gives the sum over the voxels of a class's probability, of each tile (B, C, *patch): its volume in voxels."""

    def of(tiles: torch.Tensor) -> torch.Tensor:
        logits = network(tiles)[0].float()
        found = torch.sigmoid(logits) if has_regions else torch.softmax(logits, 1)
        return found[:, channel].flatten(1).sum(1)

    return of


def explain_image(predictor: Predictor, image: Image, case: str) -> dict[str, np.ndarray]:
    """Return the map of each class or region, (Z, Y, X) float32 on the image's own grid: by how many voxels its expected volume
    changes where a voxel's normalised intensity does by 1 (absolute gradient, summed over the channels).

    Tiles are weighted as in prediction, without mirroring; the mean is taken over folds and models. Raises AutosegError where
    memory runs out.
    """
    names, maps = channels_of(predictor.description.labels), list[np.ndarray]()
    for member in predictor.members:
        data, properties = member.preprocess(image, case)
        seen = member.with_previous(data, properties, image, case)
        patch_size = member.model.description.configuration.patch_size
        with memory_errors_named(case, [data.shape], predictor.device):
            slabs = stream_logits(partial(_explain_tile, member, list(names.values()), len(data)), seen, patch_size, len(names),
                                  member.step)
            volumes = np.zeros((len(names), *properties.shape_cropped), np.float32)
            for row, values in resized_rows(slabs, properties):
                volumes[:, row] = values
            maps.append(np.stack([to_original_grid(volume, properties) for volume in volumes]))
    return dict(zip(names, np.mean(maps, axis=0), strict=True))


def _explain_tile(member: EnsembleMember, channels: list[int], image_channels: int, tile: torch.Tensor) -> torch.Tensor:
    """Return the maps (B, classes, *patch) float32 of a tile (B, C, *patch); its first channels are the image's."""
    has_regions, at_once = member.model.description.labels.has_regions, member.tiles_at_once(len(tile))
    tile, networks = tile.to(member.device), member.model.networks
    maps = []
    for channel in channels:
        total = torch.zeros(len(tile), *tile.shape[2:], device=member.device)
        for network in networks:
            evidence = summed_probability(network, channel, has_regions)
            total += torch.cat([saliency(evidence, part)[:, :image_channels].sum(1) for part in tile.split(at_once)])
        maps.append(total / len(networks))
    return torch.stack(maps, 1)
