"""Datasets as users have them: nnU-Net v2's and the Decathlon's layouts, read in place."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import model_validator

from autoseg.plan import Frozen


class Labels(Frozen):
    """What the label values mean.

    values: name to label value (a class), or to several (a region: the union of these values), background included.
    regions_class_order: in region datasets, the value that each region is painted with, in painting order.
    ignore: the value that is not to be learned from, or None. It has no output channel.
    """

    values: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None
    ignore: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Labels:
        if self.has_regions and len(self.regions_class_order or ()) != len(self.foreground):
            raise ValueError("regions_class_order must hold one value for each region other than background")
        return self

    @property
    def has_regions(self) -> bool:
        """Whether any entry is a union of several values: then each region has its own sigmoid output."""
        return any(isinstance(value, tuple) and len(value) > 1 for value in self.values.values())

    @property
    def foreground(self) -> dict[str, tuple[int, ...]]:
        """Name to the label values that belong to it, without background and ignore, in dataset.json's order."""
        tuples = {name: (v if isinstance(v, tuple) else (v,)) for name, v in self.values.items()}
        return {name: v for name, v in tuples.items() if v != (0,) and v != (self.ignore,)}

    @property
    def output_channels(self) -> int:
        """Channels of a network's logits: one per region, or background and one per class up to the highest value."""
        if self.has_regions:
            return len(self.foreground)
        return max((v for values in self.foreground.values() for v in values), default=0) + 1

    @property
    def known_values(self) -> tuple[int, ...]:
        """Every value that a label file may hold, ascending."""
        known = {0} | {v for values in self.foreground.values() for v in values}
        return tuple(sorted(known | ({self.ignore} if self.ignore is not None else set())))

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        """Label values (Z, Y, X), uint8 (uint16 above 255), from logits (output_channels, Z, Y, X).

        Classes: the highest logit. Regions: where a region's logit is positive (probability above one half) it is
        painted with its entry of regions_class_order, later regions over earlier ones.
        """
        dtype = np.uint8 if max(self.known_values) < 256 else np.uint16
        if not self.has_regions:
            return logits.argmax(0).astype(dtype)
        painted = np.zeros(logits.shape[1:], dtype)
        for channel, value in enumerate(self.regions_class_order or ()):
            painted[logits[channel] > 0] = value
        return painted


class Case(Frozen):
    """One image of one or more channels, and its label.

    images: one file per channel, or one file whose fourth dimension holds the channels. label: None for test cases.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None

    def __str__(self) -> str:
        return f"case {self.name}"


class Dataset(Frozen):
    """A dataset of either layout. Written to the workspace as dataset.json, with absolute paths.

    channel_names: by channel; a name may stand for a normalization (CT, ...). file_ending: of images and labels, with
    the dot. training and test: sorted by case name.
    """

    name: str
    folder: Path
    layout: Literal["nnunet", "decathlon"]
    channel_names: tuple[str, ...]
    labels: Labels
    file_ending: str
    training: tuple[Case, ...]
    test: tuple[Case, ...] = ()
