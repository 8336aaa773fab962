"""A dataset's cases, projected and stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from autoseg import image_io
from autoseg.dataset import Case, read_case
from autoseg.errors import AutosegError
from autoseg.parallel import Outcome
from autoseg.preprocessing.apart import CaseToMake, identities, make_cases
from autoseg.preprocessing.pipeline import digest_of
from autoseg.projections import store
from autoseg.projections.level import Level, known_level
from autoseg.projections.placement import Placement, axes_of
from autoseg.projections.plan import ProjectionPlans
from autoseg.projections.projecting import project_image

MEMORY_BESIDES_IMAGES = 100 * 2**20  # bytes: projections, matrices, compression


def preprocess_projections(plans: ProjectionPlans, folder: Path, workers: int | None = None) -> Iterator[Outcome[Case]]:
    """Project and store every training case of `plans.source` (see `autoseg.preprocessing.apart.make_cases`)."""
    without_cases = plans.source.model_copy(update={"training": (), "test": ()})
    alone = plans.model_copy(update={"source": without_cases})  # goes to the workers with each case
    return make_cases(
        plans.source.training, folder, partial(case_digest, plans=plans),
        partial(_project_and_store, plans=alone, folder=folder), partial(_memory_bytes, plans=alone), workers)


def case_digest(case: Case, plans: ProjectionPlans) -> str:
    """SHA-256 of all that a stored case is made from: its files (name, size, time), its point, and the plans."""
    point = {case.name: plans.target.points.get(case.name, "not known")}
    return digest_of({"plans": store.projection_digest(plans), "files": identities(case), "point": point})


def _project_and_store(job: CaseToMake, plans: ProjectionPlans, folder: Path) -> None:
    image, label = read_case(job.case, plans.source)
    projection = project_image(image, job.case.name, plans)
    placement = projection.placement
    known = known_level(plans.target, plans.source.labels, job.case.name, None if label is None else label.array[0], placement)
    channels, rows, columns = projection.channels.shape
    first, second = placement.slice_of(0), placement.slice_of(1)
    store.write_projection(folder, store.StoredProjectionDescription(
        case=job.case.name, digest=job.digest, plans_digest=store.projection_digest(plans), shape=(channels, rows, columns),
        is_known=known.is_known, level=None if known.level is None else _in_projection(known.level, placement), first_slice=first,
        slices_per_row=second - first, slice_mm=placement.slice_mm), projection.channels)


def _in_projection(level: Level, placement: Placement) -> store.StoredLevel:
    edge = 0.5 if level.last > level.first else 0.0  # of a slice
    rows = sorted((placement.row_of(level.first - edge), placement.row_of(level.last + edge)))
    column = None if level.column is None else placement.column_of(level.column)
    return store.StoredLevel(row=placement.row_of(level.slice), top=rows[0], bottom=rows[1], column=column)


def _memory_bytes(case: Case, plans: ProjectionPlans) -> int:
    """What a case takes at its peak, from its header: image, a channel's copy for its percentiles, label, mask, projection."""
    try:
        (channels, *shape), geometry, bytes_per_voxel = image_io.read_geometry(case.images[0])
    except AutosegError:
        return 0  # reading it will fail too, and say why
    voxels, channels = int(np.prod(shape)), max(channels, len(case.images))
    axes = axes_of(geometry, plans.axis, plans.project)
    pixels = math.prod(shape[axis] * geometry.spacing_mm[axis] / plans.pixel_mm for axis in (axes.rows, axes.columns))
    return voxels * ((channels + 2) * bytes_per_voxel + 12) + int(pixels) * plans.channels * 8 + MEMORY_BESIDES_IMAGES
