"""Cut cases on disk: `<case>.b2nd` (slices, float16) and `<case>.json`, which is written last: where it is, the case is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.evaluation.roc import Truth
from autoseg.preprocessing.apart import StoredApart, StoredDescription, read_description, write_case
from autoseg.preprocessing.pipeline import digest_of
from autoseg.slices.plan import CONFIGURATION, SlicePlans

FORMAT = 1  # of the stored arrays; a higher number makes every case be cut anew


class StoredSlicesDescription(StoredDescription):
    """`<case>.json`. The others as in `StoredSlices`."""

    channels: int
    image_size: int
    case_truth: Truth | None
    truths: tuple[Truth | None, ...]
    blank: tuple[bool, ...]
    normal: tuple[bool, ...]


@dataclass(frozen=True)
class StoredSlices(StoredApart[StoredSlicesDescription]):
    """The slices of one case on disk; slice i has index i along the axis that was cut, in the file's own order."""

    @property
    def truths(self) -> tuple[Truth | None, ...]:
        """Of each slice; None where it is not known."""
        return self.description.truths

    @property
    def case_truth(self) -> Truth | None:
        return self.description.case_truth

    @property
    def blank(self) -> tuple[bool, ...]:
        """Of each slice: whether it has one value everywhere; not scored."""
        return self.description.blank

    @property
    def normal(self) -> tuple[bool, ...]:
        """Of each slice: whether it may be trained on (see `autoseg.slices.truth.may_be_trained_on`)."""
        return self.description.normal

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, S, S)."""
        size = self.description.image_size
        return len(self.truths), self.description.channels, size, size

    def read(self) -> np.ndarray:
        """All slices, (N, C, S, S) float32 in [-1, 1]. Raises AutosegError where the file is missing or damaged."""
        return self.read_stored()


def write_slices(folder: Path, description: StoredSlicesDescription, slices: np.ndarray) -> None:
    """Store a case; an older version of it is replaced. slices: (N, C, S, S) float32 in [-1, 1].

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    write_case(folder, description, slices)


def open_slices(folder: Path, case: str) -> StoredSlices:
    """A stored case. Raises AutosegError where it is not whole or its files do not fit each other."""
    stored = StoredSlices(folder, read_description(folder, case, StoredSlicesDescription, CONFIGURATION))
    stored.opened()  # what cannot be read is better named now than in a training
    return stored


def slices_digest(plans: SlicePlans) -> str:
    """SHA-256 of what all cases share: how they are cut and scaled, and which slices count as normal; no file."""
    chosen = plans.model_dump(mode="json", include={"axis", "image_size", "channel_names", "windows", "normal_by"})
    return digest_of({"format": FORMAT, "labels": plans.source.labels.model_dump(mode="json"), **chosen})
