"""Cascades: the network of a second stage sees, behind the image's channels, what the first stage segmented.

That is one channel for each label value (regions: for each value that lies in one), 1 where it was segmented and 0 elsewhere. No
such channel of a whole image exists: they are made of the part that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from autoseg.dataset import Labels
from autoseg.image import Image
from autoseg.plan import Configuration
from autoseg.preprocessing.crop import Box, crop
from autoseg.preprocessing.resample import anisotropic_axis, resize_labels
from autoseg.preprocessing.store import CaseProperties

TileDone = Callable[[], None]


@dataclass(frozen=True)
class LabelsLater:
    """Labels that are made when they are needed. make: gives label values (Z, Y, X) integers; it calls what it is given, if
    anything, after each of `tiles` tiles."""

    make: Callable[[TileDone | None], np.ndarray]
    tiles: int = 0


class PreviousStage(Protocol):
    """A source of the first stage's segmentations."""

    def labels_later(self, image: Image, name: str) -> LabelsLater:
        """Return the labels, on the grid of an image (C, Z, Y, X), yet to be made. name: of its case."""

    def expected_tiles(self, image: Image) -> int:
        """Return how many tiles that takes at most."""

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the segmentations depend on, as plain values."""

    @property
    def in_words(self) -> str:
        """Return what segments, in words."""


def previous_values(labels: Labels) -> tuple[int, ...]:
    """Return the label values that get a channel, ascending: all but background and what is to be ignored."""
    return tuple(value for value in labels.known_values if value not in (0, labels.ignore))


def values_seen(configuration: Configuration, labels: Labels) -> tuple[int, ...]:
    """Return the label values of the previous stage that the network sees; () where it sees the image alone."""
    return () if configuration.previous_stage is None else previous_values(labels)


def input_channels(configuration: Configuration, labels: Labels) -> int:
    """Return the channels of the network's input."""
    return len(configuration.normalization) + len(values_seen(configuration, labels))


def previous_channels(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Return (len(values), *shape) bool: where each of these label values is. labels: of any shape, integers."""
    return np.stack([labels == value for value in values]) if values else np.zeros((0, *labels.shape), bool)


def on_grid(labels: np.ndarray, properties: CaseProperties) -> np.ndarray:
    """Return label values (Z', Y', X') on the preprocessed grid. labels: (Z, Y, X) integers on the image's own grid."""
    cropped = np.ascontiguousarray(crop(properties.order.of(labels), properties.crop_box))
    apart = anisotropic_axis(properties.spacing_transposed_mm, properties.spacing_resampled_mm)
    return resize_labels(cropped, properties.shape_resampled, apart)


class WithPrevious:
    """A preprocessed image with the channels of the previous stage behind its own; read like an array (C + K, Z, Y, X).

    tiles: of making them. tile_done: called after each of these.
    """

    def __init__(self, image: np.ndarray, labels_later: LabelsLater, values: tuple[int, ...]) -> None:
        """image: (C, Z, Y, X) float32. labels_later: of the same grid; they are made once, when voxels are first read."""
        self.image, self.values, self.tiles = image, values, labels_later.tiles
        self.tile_done: TileDone | None = None
        self._later: LabelsLater | None = labels_later

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (C + K, Z, Y, X)."""
        return (len(self.image) + len(self.values), *self.image.shape[1:])

    @cached_property
    def labels(self) -> np.ndarray:
        """Return the label values (Z, Y, X) of the previous stage, and forget what they are made from."""
        if self._later is None:
            raise ValueError("the labels could not be made when they were first needed")
        later, self._later = self._later, None
        return later.make(self.tile_done)

    def part(self, box: Box) -> WithPrevious:
        """Return the part of it inside a box; the labels are those of the whole, made once."""
        def make(tile_done: TileDone | None) -> np.ndarray:
            self.tile_done = tile_done
            return crop(self.labels, box)

        return WithPrevious(crop(self.image, box), LabelsLater(make, self.tiles), self.values)

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        """Return all channels (C + K, z, y, x) float32 of a box. where: all channels, then a slice along each axis."""
        every, *box = where
        channels = previous_channels(self.labels[tuple(box)], self.values)
        both: np.ndarray = np.concatenate((self.image[where], channels.astype(np.float32)))
        return both[every]
