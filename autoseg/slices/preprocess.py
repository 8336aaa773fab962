"""A dataset's cases, cut and stored."""

from __future__ import annotations

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
from autoseg.slices import store
from autoseg.slices.cutting import cut_image
from autoseg.slices.plan import SlicePlans
from autoseg.slices.truth import may_be_trained_on, slice_truths, truth_of_case

MEMORY_BESIDES_IMAGES = 100 * 2**20  # bytes: slabs, matrices, compression


def preprocess_slices(plans: SlicePlans, folder: Path, workers: int | None = None) -> Iterator[Outcome[Case]]:
    """Cut and store every training case of `plans.source` (see `autoseg.preprocessing.apart.make_cases`)."""
    without_cases = plans.source.model_copy(update={"training": (), "test": ()})
    alone = plans.model_copy(update={"source": without_cases})  # goes to the workers with each case
    return make_cases(
        plans.source.training, folder, partial(case_digest, plans=plans), partial(_cut_and_store, plans=alone, folder=folder),
        partial(_memory_bytes, plans=plans), workers)


def case_digest(case: Case, plans: SlicePlans) -> str:
    """SHA-256 of all that a stored case is made from: its files (name, size, time), what it is called, and the plans."""
    called = plans.source.case_labels.get(case.name)
    return digest_of({"plans": store.slices_digest(plans), "files": identities(case), "case_label": called})


def _cut_and_store(job: CaseToMake, plans: SlicePlans, folder: Path) -> None:
    image, label = read_case(job.case, plans.source)
    cut = cut_image(image, job.case.name, plans)
    known = None if label is None or not plans.source.labels.foreground else label.array[0]
    case_label = plans.source.case_labels.get(job.case.name)
    truths = slice_truths(
        known, case_label, cut.placement.array_axis, cut.placement.count, plans.normal_by, plans.source.labels.ignore)
    blank = cut.blank.tolist()
    description = store.StoredSlicesDescription(
        case=job.case.name, digest=job.digest, plans_digest=store.slices_digest(plans), channels=plans.channels,
        image_size=plans.image_size, case_truth=truth_of_case(truths, case_label), truths=tuple(truths), blank=tuple(blank),
        normal=tuple(may_be_trained_on(truths, blank, case_label)))
    store.write_slices(folder, description, cut.slices)


def _memory_bytes(case: Case, plans: SlicePlans) -> int:
    """What a case takes at its peak, from its header: image, a channel's copy for its percentiles, label, and the slices."""
    try:
        (channels, *shape), _, bytes_per_voxel = image_io.read_geometry(case.images[0])
    except AutosegError:
        return 0  # reading it will fail too, and say why
    voxels, channels = int(np.prod(shape)), max(channels, len(case.images))
    slices = 1 if plans.axis is None else max(shape)
    return (voxels * (2 * channels * bytes_per_voxel + bytes_per_voxel + 8)
            + 6 * slices * plans.channels * plans.image_size**2 + MEMORY_BESIDES_IMAGES)
