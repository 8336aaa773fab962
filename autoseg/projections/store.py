"""Projected cases on disk: `<case>.b2nd` (float16) and `<case>.json` (see `autoseg.preprocessing.apart`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError
from autoseg.plan import Frozen
from autoseg.preprocessing.apart import StoredDescription, array_path, forget
from autoseg.preprocessing.pipeline import digest_of
from autoseg.preprocessing.store import description_path, open_array, write_array
from autoseg.projections.plan import ProjectionPlans
from autoseg.workspace import read_model, write_json

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
class StoredProjection:
    """The projection of one case on disk."""

    folder: Path
    description: StoredProjectionDescription

    @property
    def name(self) -> str:
        return self.description.case

    @property
    def digest(self) -> str:
        """Of all that the projection was made from: files and plans."""
        return self.description.digest

    @property
    def plans_digest(self) -> str:
        """As `projection_digest` gives it for the plans that made it."""
        return self.description.plans_digest

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
        return np.asarray(self._open()[:, 0], np.float32)

    def _open(self) -> np.ndarray:
        channels, rows, columns = self.description.shape
        opened: np.ndarray = open_array(array_path(self.folder, self.name), (channels, 1, rows, columns))
        return opened


def write_projection(folder: Path, description: StoredProjectionDescription, channels: np.ndarray) -> None:
    """Store a case; an older version of it is replaced. channels: (C, rows, columns) float32 in [-1, 1].

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    forget(folder, description.case)
    stored = channels.astype(np.float16)[:, None]
    write_array(array_path(folder, description.case), stored, stored.shape[1:], {})
    write_json(description_path(folder, description.case), description)


def open_projection(folder: Path, case: str) -> StoredProjection:
    """A stored case. Raises AutosegError where it is not whole or its files do not fit each other."""
    path = description_path(folder, case)
    if not path.is_file():
        raise AutosegError(f"case {case}: {folder} holds no complete projection of it. "
                           "Run autoseg_plan_and_preprocess with --planner projection again; it goes on where it stopped.")
    stored = StoredProjection(folder, read_model(path, StoredProjectionDescription))
    stored._open()  # what cannot be read is better named now than in a training
    return stored


def projection_digest(plans: ProjectionPlans) -> str:
    """SHA-256 of what all cases share: how they are projected and scaled, and what is found; no file and no point."""
    chosen = plans.model_dump(mode="json", include={
        "axis", "project", "slab", "channel_names", "seen", "windows", "percentiles", "pixel_mm"})
    target = plans.target.model_dump(mode="json", include={"labels"})
    return digest_of({"format": FORMAT, "labels": plans.source.labels.model_dump(mode="json"), "target": target, **chosen})
