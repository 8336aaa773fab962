"""Projected cases on disk: `<case>.b2nd` (float16) and `<case>.json` (see `autoseg.preprocessing.apart`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.plan import Frozen
from autoseg.preprocessing.apart import StoredApart, StoredDescription, read_description, write_case
from autoseg.preprocessing.pipeline import digest_of
from autoseg.projections.plan import CONFIGURATION, ProjectionPlans

FORMAT = 1  # of the stored arrays; a higher number makes every case be projected anew


class StoredLevel(Frozen):
    """In a projection. row: the level itself, may lie between two. top, bottom: where what is found begins and ends, the edges
    of its outermost slices, top the smaller; of a point both are its row. column: its middle, None where that is not known."""

    row: float
    top: float
    bottom: float
    column: float | None = None


class StoredProjectionDescription(StoredDescription):
    """`<case>.json`.

    shape: (channels, rows, columns). is_known: whether it is known if and where the level is. level: None where it is not there,
    or not known. first_slice: of row 0, slices_per_row: negative where rows run against the file's order. slice_mm: distance of
    neighbouring slices.
    """

    shape: tuple[int, int, int]
    is_known: bool
    level: StoredLevel | None
    first_slice: float
    slices_per_row: float
    slice_mm: float


@dataclass(frozen=True)
class StoredProjection(StoredApart[StoredProjectionDescription]):
    """The projection of one case on disk."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(channels, 1, rows, columns)."""
        channels, rows, columns = self.description.shape
        return channels, 1, rows, columns

    @property
    def is_known(self) -> bool:
        """Whether it is known if and where the level is: else it is neither trained nor validated on."""
        return self.description.is_known

    @property
    def level(self) -> StoredLevel | None:
        return self.description.level

    def slice_of(self, row: float) -> float:
        """The slice of a row, as `autoseg.projections.placement.Placement` counts them."""
        return self.description.first_slice + row * self.description.slices_per_row

    def read(self) -> np.ndarray:
        """(channels, rows, columns) float32 in [-1, 1]. Raises AutosegError where the file is missing or damaged."""
        return self.read_stored()[:, 0]


def write_projection(folder: Path, description: StoredProjectionDescription, channels: np.ndarray) -> None:
    """Store a case; an older version of it is replaced. channels: (C, rows, columns) float32 in [-1, 1].

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    write_case(folder, description, channels[:, None])


def open_projection(folder: Path, case: str) -> StoredProjection:
    """A stored case. Raises AutosegError where it is not whole or its files do not fit each other."""
    stored = StoredProjection(folder, read_description(folder, case, StoredProjectionDescription, CONFIGURATION))
    stored.opened()  # what cannot be read is better named now than in a training
    return stored


def projection_digest(plans: ProjectionPlans) -> str:
    """SHA-256 of what all cases share: how they are projected and scaled, and what is found; no file and no point."""
    chosen = plans.model_dump(mode="json", include={
        "axis", "project", "slab", "channel_names", "seen", "windows", "percentiles", "pixel_mm"})
    target = plans.target.model_dump(mode="json", include={"labels"})
    return digest_of({"format": FORMAT, "labels": plans.source.labels.model_dump(mode="json"), "target": target, **chosen})
