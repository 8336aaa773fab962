"""plan_slices: a dataset checked, and its images cut into slices for an anomaly detector."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from autoseg.api.common import PathLike
from autoseg.api.inspecting import inspected, made
from autoseg.api.planning import folder_for
from autoseg.dataset import find_dataset, load_dataset
from autoseg.files import remove_leftovers, write_json
from autoseg.planners import anomaly
from autoseg.planners.anomaly.planning import require_normal_slices
from autoseg.planners.anomaly.request import Request
from autoseg.preprocessing.store import forget_outdated, stored_cases
from autoseg.tasks.anomaly.options import PlanOptions
from autoseg.tasks.anomaly.plan import CONFIGURATION, SlicePlans
from autoseg.tasks.anomaly.store import StoredSlices, case_origin, open_slices, preprocess
from autoseg.tasks.flags import options_from
from autoseg.workspace import DatasetFolder, Workspace


@dataclass(frozen=True)
class SliceCounts:
    """Slices of the training cases. normal, abnormal, unknown: by what is known of them, blank ones not counted. blank: of one
    value everywhere. for_training: that a detector may be trained on."""

    normal: int
    abnormal: int
    unknown: int
    blank: int
    for_training: int


@dataclass(frozen=True)
class SlicePlanResult:
    """name, folder: of the dataset in the workspace. failed: cases that could not be cut, with the reason."""

    name: str
    folder: Path
    plans: SlicePlans
    slices: SliceCounts
    failed: dict[str, str] = field(default_factory=dict)


def plan_slices(
    dataset: PathLike, axis: str | None = None, image_size: int = 64, normal: str = "auto", workers: int | None = None,
    skip_bad_cases: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> SlicePlanResult:
    """Check a dataset, decide how its images become slices, and cut and store them.

    axis: "sagittal", "coronal" or "axial", which slices are perpendicular to; None for that along which they lie farthest apart;
    pictures are one slice each. image_size: edge of the square slices, 64, 128 or 256 pixels. normal: "auto", "case_labels",
    "foreground" or "all" (see `PlanOptions`).
    Plans for segmentation stay as they are, and so do cases that are already cut by the same plans.
    """
    options = options_from(PlanOptions, {"axis": axis, "image_size": image_size, "normal": normal})
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    request = anomaly.prepare(source, options)
    folder = folder_for(source, place)
    remove_leftovers(folder.root)
    plans = _plan(request, folder, workers, skip_bad_cases, quiet)
    cases, store = plans.source.training, folder.preprocessed(CONFIGURATION)
    about = "pictures" if plans.axis is None else f"{plans.axis} slices"
    doing = f"Cutting {about} of {image_size} × {image_size}"
    failed = made(doing, len(cases), preprocess(plans, store, workers), quiet)
    stored = stored_cases(store, cases, open_slices)
    require_normal_slices(plans, {case.name: sum(case.normal) for case in stored})
    return SlicePlanResult(source.name, folder.root, plans, _counts(stored), failed)


def _plan(request: Request, folder: DatasetFolder, workers: int | None, skip_bad_cases: bool, quiet: bool) -> SlicePlans:
    """Read every case, decide, and write it down."""
    usable, inspections, findings = inspected(anomaly, request, workers, skip_bad_cases, quiet)
    plans = anomaly.plan(request, usable, inspections).plans
    if not folder.plans_json.exists():  # else they are those of the planning for segmentation, which relies on them
        write_json(folder.findings_json, [finding.model_dump(mode="json") for finding in findings])
        write_json(folder.dataset_json, usable)
    forget_outdated(plans.source.training, folder.preprocessed(CONFIGURATION),
                    partial(case_origin, configuration=CONFIGURATION, plans=plans))
    write_json(folder.slices_json, plans)
    return plans


def _counts(stored: list[StoredSlices]) -> SliceCounts:
    truths = Counter(truth for case in stored for truth, blank in zip(case.truths, case.blank, strict=True) if not blank)
    return SliceCounts(
        normal=truths["normal"], abnormal=truths["abnormal"], unknown=truths[None], blank=sum(sum(case.blank) for case in stored),
        for_training=sum(sum(case.normal) for case in stored))
