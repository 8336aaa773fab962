"""A trained locator at work: where in a volume, or a projection of it, the level is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from autoseg.device import autocast, keep_large_blocks, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.inference.cases import memory_errors_named
from autoseg.preprocessing.resample import area_matrix
from autoseg.tasks.localization.answer import Answer, answer_of
from autoseg.tasks.localization.model import LoadedLocator, LocatorDescription
from autoseg.tasks.localization.options import LocationSettings
from autoseg.tasks.localization.placement import ProjectionPlacement
from autoseg.tasks.localization.projecting import PADDING, Projection, position_of, project_image


@dataclass(frozen=True)
class Located:
    """A level in a projection. response: (rows,) float32, mean probability of each row. found: whether the confidence reaches
    the threshold."""

    answer: Answer
    response: np.ndarray
    found: bool


@dataclass(frozen=True)
class LocatedImage:
    """A level in a volume. slice: along the axis, as `Placement` counts them; of the strongest response, found or not."""

    located: Located
    projection: Projection
    slice: float

    @property
    def placement(self) -> ProjectionPlacement:
        return self.projection.placement


class Locator:
    """Means over the folds of a locator: of probabilities."""

    def __init__(self, locator: LoadedLocator, device: torch.device, settings: LocationSettings | None = None) -> None:
        """locator: its networks lie on `device`. settings: None for those that it was trained with."""
        self.locator, self.device = locator, device
        self.settings = settings or locator.description.location
        self._dtype = resolve_precision("auto", device)
        if device.type == "cpu":
            keep_large_blocks()

    @property
    def description(self) -> LocatorDescription:
        return self.locator.description

    def locate_image(self, image: Image, case: str) -> LocatedImage:
        """Find the level in a volume (C, Z, Y, X) as read, whichever way it is stored.

        Raises AutosegError where the image does not fit the locator (see `projecting.project_image`), or memory runs out.
        """
        projection = project_image(image, case, self.description.plans)
        located = self.locate(projection.channels, case)
        start, stop = -0.5, projection.placement.slices - 0.5
        return LocatedImage(located, projection, float(np.clip(projection.placement.slice_of(located.answer.row), start, stop)))

    def locate(self, channels: np.ndarray, case: str) -> Located:
        """Find the level in a projection, or some rows of one. channels: (C, rows, columns) float32 in [-1, 1]."""
        response = np.mean([self._response(channels, zoom, case) for zoom in self.settings.zooms], axis=0)
        answer = answer_of(response, self.description.band)
        return Located(answer, response, answer.confidence >= self.settings.threshold)

    def _response(self, channels: np.ndarray, zoom: float, case: str) -> np.ndarray:
        """Return (rows,) float32: mean probability of each row, of the projection at another size."""
        rows, columns = (max(1, round(size * zoom)) for size in channels.shape[1:])
        down, across = area_matrix(channels.shape[1], rows), area_matrix(channels.shape[2], columns)
        response = self._respond(down @ channels @ across.T, case).mean(1)
        places = (np.arange(channels.shape[1]) + 0.5) * rows / channels.shape[1] - 0.5
        return np.interp(places, np.arange(rows), response).astype(np.float32)

    def _respond(self, channels: np.ndarray, case: str) -> np.ndarray:
        """Return (rows, columns) float32: probability of the level. Raises AutosegError where weights give no numbers."""
        if self.description.position:
            ramp = np.broadcast_to(position_of(channels.shape[1])[:, None], channels.shape[1:])
            channels = np.concatenate([channels, ramp[None]])
        padded, (rows, columns) = fitted(channels, self.description)
        batch = torch.from_numpy(padded)[None].to(self.device).contiguous(memory_format=memory_format(self.device, 2))
        total = torch.zeros(batch.shape[2:], device=self.device)
        with memory_errors_named(case, [padded.shape], self.device), torch.inference_mode():
            for network in self.locator.networks:
                with autocast(self.device, self._dtype):
                    logits = network(batch)[0]
                total += torch.sigmoid(logits[0, 0].float())
        mean: np.ndarray = (total / len(self.locator.networks)).cpu().numpy()
        if not np.isfinite(mean).all():
            raise AutosegError("The locator's networks give no numbers (NaN): its training failed. Train it again.")
        return mean[rows, columns]


def fitted(channels: np.ndarray, description: LocatorDescription) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Put a projection into the middle of padding: at least as large as in training, and divisible by the network's strides.

    channels: (C, rows, columns). Returns (C, ...) float32, and where in it the projection lies.
    """
    padded, inside = [(0, 0)], []
    for axis, (size, trained) in enumerate(zip(channels.shape[1:], description.plans.size, strict=True)):
        divisor = math.prod(stride[axis] for stride in description.network.strides)
        missing = math.ceil(max(size, trained) / divisor) * divisor - size
        padded.append((missing // 2, missing - missing // 2))
        inside.append(slice(missing // 2, missing // 2 + size))
    return np.pad(channels.astype(np.float32), padded, constant_values=PADDING), (inside[0], inside[1])
