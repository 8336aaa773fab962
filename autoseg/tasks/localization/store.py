"""Projected cases on disk: `<case>.b2nd` (float16) and `<case>.json`, and how they are made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from autoseg.bounds import Finite, PositiveMm
from autoseg.dataset import Case, Dataset, read_case
from autoseg.parallel import Outcome
from autoseg.plan import Frozen
from autoseg.preprocessing import store
from autoseg.preprocessing.store import CaseToMake, Part, StoredCase, StoredDescription
from autoseg.provenance import Origin
from autoseg.tasks.localization import INFO
from autoseg.tasks.localization.level import Level, known_level
from autoseg.tasks.localization.placement import ProjectionPlacement, axes_of
from autoseg.tasks.localization.plan import CONFIGURATION, ProjectionPlans
from autoseg.tasks.localization.projecting import project_image

FORMAT = 2  # of the stored arrays; a higher number makes every case be projected again
MEMORY_BESIDES_IMAGES = 100 * 2**20  # bytes: projections, matrices, compression


class StoredLevel(Frozen):
    """The level in a projection. row: its own, may lie between two. top, bottom: where what is found begins and ends, the edges
    of its outermost slices, top the smaller; of a point both are its row. column: its middle, None where that is not known."""

    row: Finite
    top: Finite
    bottom: Finite
    column: Finite | None = None


class ProjectionDescription(StoredDescription):
    """`<case>.json`.

    is_known: whether it is known if and where the level is. level: None where it is not there, or not known. first_slice: of
    row 0, slices_per_row: negative where rows run against the file's order. slice_mm: distance of neighbouring slices.
    """

    remedy: ClassVar[str] = f"Remove it: autoseg_plan_and_preprocess {{dataset}} {' '.join(INFO.planner_flags)} makes it again."

    is_known: bool
    level: StoredLevel | None
    first_slice: Finite
    slices_per_row: Finite
    slice_mm: PositiveMm


@dataclass(frozen=True)
class StoredProjection(StoredCase[ProjectionDescription]):
    """The projection of one case on disk."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (channels, rows, columns)."""
        channels, _, rows, columns = self.description.shapes[""]
        return channels, rows, columns

    @property
    def is_known(self) -> bool:
        """Tell whether it is known if and where the level is: else it is neither trained nor validated on."""
        return self.description.is_known

    @property
    def level(self) -> StoredLevel | None:
        """Return the level in the projection."""
        return self.description.level

    def slice_of(self, row: float) -> float:
        """Return the slice of a row, as `placement.Placement` counts them."""
        return self.description.first_slice + row * self.description.slices_per_row

    def read(self) -> np.ndarray:
        """Return (channels, rows, columns) float32 in [-1, 1]. Raises AutosegError where the file is missing or damaged."""
        return np.asarray(self.array()[:], np.float32)[:, 0]


def write_projection(folder: Path, description: ProjectionDescription, channels: np.ndarray) -> None:
    """Store a case; an older version of it is replaced. channels: (C, rows, columns) float32 in [-1, 1].

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    array = channels[:, None].astype(np.float16)
    store.write_case(folder, description, [Part("", array, array.shape[1:])])


def open_projection(folder: Path, case: str) -> StoredProjection:
    """Return a stored case. Raises AutosegError where it is not complete or its files do not fit each other."""
    return store.opened(StoredProjection(folder, store.read_description(folder, case, ProjectionDescription)))


def plans_digest(plans: ProjectionPlans) -> str:
    """Return the digest of what all cases share: how they are projected and scaled, and what is found; no file and no point."""
    chosen = plans.model_dump(mode="json", include={
        "axis", "project", "slab", "channel_names", "seen", "windows", "percentiles", "pixel_mm"})
    return Origin.of(format=FORMAT, labels=plans.source.labels, target=plans.target.labels, **chosen).digest


def case_origin(case: Case, configuration: str, dataset: Dataset, plans: ProjectionPlans) -> str:
    """Return the digest of all that a stored case is made from: its files, its point, and the plans."""
    return store.case_origin(case, plans_digest(plans), point=plans.target.points.get(case.name, "not known"))


def doing(plans: ProjectionPlans, configurations: Sequence[str]) -> str:
    """Return the title of the progress bar."""
    return f"Projecting along {plans.project}"


def preprocess(
    dataset: Dataset, plans: ProjectionPlans, folders: Mapping[str, Path], workers: int | None = None
) -> Iterator[Outcome[Case]]:
    """Project and store every training case of `dataset` (see `make_cases`). folders: of the cases, by configuration."""
    without_cases = dataset.model_copy(update={"training": (), "test": ()})
    alone = plans.model_copy(update={"source": without_cases})  # goes to the workers with each case
    return store.make_cases(
        dataset.training, folders, partial(case_origin, dataset=dataset, plans=plans),
        partial(_project_and_store, plans=alone, folder=folders[CONFIGURATION]), partial(_memory_bytes, plans=alone), workers)


def _project_and_store(job: CaseToMake, plans: ProjectionPlans, folder: Path) -> list[str]:
    image, label = read_case(job.case, plans.source)
    projection = project_image(image, job.case.name, plans)
    placement = projection.placement
    known = known_level(plans.target, plans.source.labels, job.case.name, None if label is None else label.array[0], placement)
    first, second = placement.slice_of(0), placement.slice_of(1)
    write_projection(folder, ProjectionDescription(
        case=job.case.name, shapes={}, origin=job.origins[CONFIGURATION], plans=plans_digest(plans), is_known=known.is_known,
        level=None if known.level is None else _in_projection(known.level, placement), first_slice=first,
        slices_per_row=second - first, slice_mm=placement.slice_mm), projection.channels)
    return list(job.origins)


def _in_projection(level: Level, placement: ProjectionPlacement) -> StoredLevel:
    edge = 0.5 if level.last > level.first else 0.0  # of a slice
    rows = sorted((placement.row_of(level.first - edge), placement.row_of(level.last + edge)))
    column = None if level.column is None else placement.column_of(level.column)
    return StoredLevel(row=placement.row_of(level.slice), top=rows[0], bottom=rows[1], column=column)


def _memory_bytes(job: CaseToMake, plans: ProjectionPlans) -> int:
    """Return what a case takes at its peak: image, a channel's copy for its percentiles, label, mask, projection."""
    header = store.read_header(job.case)
    if header is None:
        return 0
    axes = axes_of(header.geometry, plans.axis, plans.project)
    pixels = math.prod(
        header.shape[axis] * header.geometry.spacing_mm[axis] / plans.pixel_mm for axis in (axes.rows, axes.columns))
    return (header.voxels * ((header.channels + 2) * header.bytes_per_voxel + 12) + int(pixels) * plans.channels * 8
            + MEMORY_BESIDES_IMAGES)
