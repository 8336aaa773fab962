"""What a recipe may know of the cases that it trains on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoseg.dataset import Labels
from autoseg.tasks.segmentation.store import ANNOTATED


@dataclass(frozen=True)
class TrainingData:
    """labels: of the dataset. voxels: of all training cases on the configuration's grid, the ignore label's left out.

    class_voxels: those of each output channel: background first, then the classes by label value; or each region.
    """

    labels: Labels
    voxels: int
    class_voxels: tuple[int, ...]

    @classmethod
    def of(cls, labels: Labels, cases: Iterable[tuple[int, Mapping[int, int]]]) -> TrainingData:
        """From each stored case's number of voxels and its `foreground_counts` (see `StoredVolume`)."""
        cases = list(cases)
        voxels = sum(size if labels.ignore is None else counts.get(ANNOTATED, 0) for size, counts in cases)

        def total(key: int) -> int:
            return sum(counts.get(key, 0) for _, counts in cases)

        if labels.has_regions:
            return cls(labels, voxels, tuple(total(region) for region in range(labels.output_channels)))
        foreground = [total(value) for value in range(1, labels.output_channels)]
        return cls(labels, voxels, (voxels - sum(foreground), *foreground))
