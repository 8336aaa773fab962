"""Cases as a classifier sees them on disk: `<case>.b2nd` (float16) and `<case>.json`, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from autoseg.bounds import Finite
from autoseg.dataset import Case, Dataset, read_case
from autoseg.parallel import Outcome
from autoseg.preprocessing import store
from autoseg.preprocessing.store import CaseToMake, Part, StoredCase, StoredDescription
from autoseg.provenance import Origin
from autoseg.tasks.classification import INFO
from autoseg.tasks.classification.framing import frame_image
from autoseg.tasks.classification.plan import CONFIGURATION, ClassPlans
from autoseg.tasks.classification.regions import OWN_LABELS, read_region, region_stamp
from autoseg.wording import times

FORMAT = 1  # of the stored arrays; a higher number makes every case be made again
MEMORY_BESIDES_IMAGES = 100 * 2**20  # bytes: what is seen, matrices, compression


class ClassDescription(StoredDescription):
    """`<case>.json`. mean: of the image's non-zero intensities, in its unit: a baseline."""

    remedy: ClassVar[str] = f"Remove it: autoseg_plan_and_preprocess {{dataset}} {' '.join(INFO.planner_flags)} makes it again."

    mean: Finite


@dataclass(frozen=True)
class StoredView(StoredCase[ClassDescription]):
    """A case on disk, as it is seen."""

    @property
    def mean(self) -> float:
        """Return the mean of the image's non-zero intensities."""
        return self.description.mean

    def read(self) -> np.ndarray:
        """Return (C, z, y, x) float32 in [0, 1]. Raises AutosegError where the file is missing or damaged."""
        return np.asarray(self.array()[:], np.float32)


def open_view(folder: Path, case: str) -> StoredView:
    """Return a stored case. Raises AutosegError where it is not complete or its files do not fit each other."""
    return store.opened(StoredView(folder, store.read_description(folder, case, ClassDescription)))


def plans_digest(plans: ClassPlans) -> str:
    """Return the digest of what all cases share: how they are seen; no file and no target."""
    chosen = plans.model_dump(mode="json", include={
        "view", "orientation", "channel_names", "windows", "percentiles", "spacing_mm", "size"})
    return Origin.of(format=FORMAT, roi=plans.roi is not None, **chosen).digest


def case_origin(case: Case, configuration: str, dataset: Dataset, plans: ClassPlans) -> str:
    """Return the digest of all that a stored case is made from: its files and the plans, with what is to be told of it."""
    words = plans.target.words(case.name) if case.name in plans.target.of_case else None
    return store.case_origin(case, plans_digest(plans), target=words, cells=plans.cells.get(case.name, ()),
                             region=region_stamp(plans.roi, case.name))


def doing(plans: ClassPlans, configurations: Sequence[str]) -> str:
    """Return the title of the progress bar."""
    return f"Framing cases as {times(plans.seen)} voxels"


def preprocess(
    dataset: Dataset, plans: ClassPlans, folders: Mapping[str, Path], workers: int | None = None
) -> Iterator[Outcome[Case]]:
    """Store every training case of `dataset` that has a target (see `make_cases`). folders: of the cases, by configuration."""
    alone = plans.model_copy(update={"source": dataset.model_copy(update={"training": (), "test": ()})})  # goes to the workers
    return store.make_cases(
        dataset.training, folders, partial(case_origin, dataset=dataset, plans=plans),
        partial(_frame_and_store, plans=alone, folder=folders[CONFIGURATION]), _memory_bytes, workers)


def _frame_and_store(job: CaseToMake, plans: ClassPlans, folder: Path) -> list[str]:
    image, label = read_case(job.case, plans.source)
    region = None if label is None else label.array[0]
    if plans.roi not in (None, OWN_LABELS):
        region = read_region(Path(str(plans.roi)), job.case.name, image)
    framed = frame_image(image, job.case.name, plans, None if plans.roi is None else region)
    description = ClassDescription(
        case=job.case.name, shapes={}, origin=job.origins[CONFIGURATION], plans=plans_digest(plans), mean=framed.mean)
    store.write_case(folder, description, [Part("", framed.array.astype(np.float16), framed.array.shape[1:])])
    return list(job.origins)


def _memory_bytes(job: CaseToMake) -> int:
    """Return what a case takes at its peak: image, a copy of it, a channel in float32 twice."""
    header = store.read_header(job.case)
    return 0 if header is None else header.voxels * (2 * header.channels * header.bytes_per_voxel + 12) + MEMORY_BESIDES_IMAGES
