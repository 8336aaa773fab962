"""Cut cases on disk: `<case>.b2nd` (slices, float16) and `<case>.json`, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import model_validator

from autoseg.dataset import Case, Dataset, read_case
from autoseg.parallel import Outcome
from autoseg.preprocessing import store
from autoseg.preprocessing.store import CaseToMake, Part, StoredCase, StoredDescription
from autoseg.provenance import Origin
from autoseg.tasks.anomaly import INFO
from autoseg.tasks.anomaly.cutting import cut_image
from autoseg.tasks.anomaly.plan import CONFIGURATION, SlicePlans
from autoseg.tasks.anomaly.scores import Truth
from autoseg.tasks.anomaly.truth import may_be_trained_on, slice_truths, truth_of_case, truths_of

FORMAT = 2  # of the stored arrays; a higher number makes every case be cut again
MEMORY_BESIDES_IMAGES = 100 * 2**20  # bytes: slabs, matrices, compression


class SlicesDescription(StoredDescription):
    """`<case>.json`. The others as in `StoredSlices`."""

    remedy: ClassVar[str] = f"Remove it: autoseg_plan_and_preprocess {{dataset}} {' '.join(INFO.planner_flags)} makes it again."

    case_truth: Truth | None
    truths: tuple[Truth | None, ...]
    blank: tuple[bool, ...]
    normal: tuple[bool, ...]

    @model_validator(mode="after")
    def _one_entry_per_slice(self) -> SlicesDescription:
        slices = [shape[0] for shape in self.shapes.values()]
        if {len(self.truths), len(self.blank), len(self.normal)} != {*slices, len(self.truths)}:
            raise ValueError("truths, blank and normal must have one entry per slice each")
        return self


@dataclass(frozen=True)
class StoredSlices(StoredCase[SlicesDescription]):
    """The slices of one case on disk; slice i has index i along the axis that was cut, in the file's own order."""

    @property
    def truths(self) -> tuple[Truth | None, ...]:
        """Return the truth of each slice; None where it is not known."""
        return self.description.truths

    @property
    def case_truth(self) -> Truth | None:
        return self.description.case_truth

    @property
    def blank(self) -> tuple[bool, ...]:
        """Tell of each slice whether it has one value everywhere; it is not scored."""
        return self.description.blank

    @property
    def normal(self) -> tuple[bool, ...]:
        """Tell of each slice whether it may be trained on (see `truth.may_be_trained_on`)."""
        return self.description.normal

    def read(self) -> np.ndarray:
        """Return all slices, (N, C, S, S) float32 in [-1, 1]. Raises AutosegError where the file is missing or damaged."""
        return np.asarray(self.array()[:], np.float32)


def write_slices(folder: Path, description: SlicesDescription, slices: np.ndarray) -> None:
    """Store a case; an older version of it is replaced. slices: (N, C, S, S) float32 in [-1, 1].

    Raises AutosegError where the disk is full or the folder cannot be written.
    """
    store.write_case(folder, description, [Part("", slices.astype(np.float16), slices.shape[1:])])


def open_slices(folder: Path, case: str) -> StoredSlices:
    """Return a stored case. Raises AutosegError where it is not complete or its files do not fit each other."""
    return store.opened(StoredSlices(folder, store.read_description(folder, case, SlicesDescription)))


def plans_digest(plans: SlicePlans) -> str:
    """Return the digest of what all cases share: how they are cut and scaled, and which slices count as normal; no file."""
    chosen = plans.model_dump(mode="json", include={"axis", "image_size", "channel_names", "windows", "normal_by"})
    return Origin.of(format=FORMAT, labels=plans.source.labels, **chosen).digest


def case_origin(case: Case, configuration: str, dataset: Dataset, plans: SlicePlans) -> str:
    """Return the digest of all that a stored case is made from: its files, what it is called, and the plans."""
    return store.case_origin(case, plans_digest(plans), case_label=plans.source.case_labels.get(case.name))


def doing(plans: SlicePlans, configurations: Sequence[str]) -> str:
    """Return the title of the progress bar."""
    about = "pictures" if plans.axis is None else f"{plans.axis} slices"
    return f"Cutting {about} of {plans.image_size} × {plans.image_size}"


def preprocess(
    dataset: Dataset, plans: SlicePlans, folders: Mapping[str, Path], workers: int | None = None
) -> Iterator[Outcome[Case]]:
    """Cut and store every training case of `dataset` (see `make_cases`). folders: of the cases, by configuration."""
    without_cases = dataset.model_copy(update={"training": (), "test": ()})
    alone = plans.model_copy(update={"source": without_cases})  # goes to the workers with each case
    return store.make_cases(
        dataset.training, folders, partial(case_origin, dataset=dataset, plans=plans),
        partial(_cut_and_store, plans=alone, folder=folders[CONFIGURATION]), partial(_memory_bytes, plans=plans), workers)


def _cut_and_store(job: CaseToMake, plans: SlicePlans, folder: Path) -> list[str]:
    image, label = read_case(job.case, plans.source)
    cut = cut_image(image, job.case.name, plans)
    known = None if label is None or not plans.source.labels.foreground else label.array[0]
    case_label = truths_of(plans.source).get(job.case.name)
    truths = slice_truths(
        known, case_label, cut.placement.array_axis, cut.placement.count, plans.normal_by, plans.source.labels.ignore)
    blank = cut.blank.tolist()
    description = SlicesDescription(
        case=job.case.name, shapes={}, origin=job.origins[CONFIGURATION], plans=plans_digest(plans),
        case_truth=truth_of_case(truths, case_label), truths=tuple(truths), blank=tuple(blank),
        normal=tuple(may_be_trained_on(truths, blank, case_label)))
    write_slices(folder, description, cut.slices)
    return list(job.origins)


def _memory_bytes(job: CaseToMake, plans: SlicePlans) -> int:
    """Return what a case takes at its peak: image, a channel's copy for its percentiles, label, and the slices."""
    header = store.read_header(job.case)
    if header is None:
        return 0
    slices = 1 if plans.axis is None else max(header.shape)
    return (header.voxels * (2 * header.channels * header.bytes_per_voxel + header.bytes_per_voxel + 8)
            + 6 * slices * plans.channels * plans.image_size**2 + MEMORY_BESIDES_IMAGES)
