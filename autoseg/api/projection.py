"""plan_projection: a dataset checked, and its volumes projected for a locator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from autoseg.api.common import PathLike
from autoseg.api.inspecting import inspected, made
from autoseg.api.planning import folder_for
from autoseg.dataset import Dataset, find_dataset, load_dataset
from autoseg.files import remove_leftovers, write_json
from autoseg.planners import localization
from autoseg.planners.localization.request import Request
from autoseg.preprocessing.store import forget_outdated, stored_cases
from autoseg.tasks.flags import options_from
from autoseg.tasks.localization.options import PlanOptions
from autoseg.tasks.localization.plan import CONFIGURATION, ProjectionPlans
from autoseg.tasks.localization.store import StoredProjection, case_origin, open_projection, preprocess
from autoseg.workspace import DatasetFolder, Workspace


@dataclass(frozen=True)
class LevelCounts:
    """Training cases: with the level, known to be without it, and those of which it is not known."""

    there: int
    absent: int
    unknown: int


@dataclass(frozen=True)
class ProjectionPlanResult:
    """name, folder: of the dataset in the workspace. failed: cases that could not be projected, with the reason."""

    name: str
    folder: Path
    plans: ProjectionPlans
    levels: LevelCounts
    failed: dict[str, str] = field(default_factory=dict)


def plan_projection(
    dataset: PathLike, find: str | Sequence[str] = (), points: PathLike | None = None, axis: str = "z",
    project: str | None = None, slab: float | None = None, window: tuple[float, float] | None = None,
    pixel_mm: float | None = None, size: tuple[int, int] | None = None, depth: int | None = None,
    channels: Sequence[str] | None = None, workers: int | None = None,
    skip_bad_cases: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> ProjectionPlanResult:
    """Check a dataset, decide how its volumes become projections in which a level is found, and project and store them.

    find: a label, whose middle is to be found, or two, between whose middles. points: CSV file with the columns case and mm (of
    world coordinates along the axis, DICOM's frame) instead of labels; `find` then only names what is found. axis: of the
    patient, "x", "y" or "z", along which it is found. project: that is projected away; None for x (y where `axis` is x).
    slab: share of the extent along that, in its middle. window: percentiles of intensities. pixel_mm: edge of the square pixels.
    size: (rows, columns) pixels that training sees at a time. depth: stages of the network. None for what is measured.
    channels: of "both" (the mean of maximum and mean), "maximum", "mean", that each channel of an image becomes; None for all.
    Plans for other kinds of models stay as they are, and so do cases that are already projected by the same plans.
    """
    options = options_from(PlanOptions, {
        "find": (find,) if isinstance(find, str) else find, "points": points, "axis": axis, "project": project, "slab": slab,
        "channels": channels, "window": window, "spacing": pixel_mm, "size": size, "depth": depth})
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    request = localization.prepare(source, options)
    folder = folder_for(source, place)
    remove_leftovers(folder.root)
    plans = _plan(source, request, folder, workers, skip_bad_cases, quiet)
    cases, store = plans.source.training, folder.preprocessed(CONFIGURATION)
    failed = made(f"Projecting along {plans.project}", len(cases), preprocess(plans, store, workers), quiet)
    levels = _counts(stored_cases(store, cases, open_projection))
    return ProjectionPlanResult(source.name, folder.root, plans, levels, failed)


def _plan(
    source: Dataset, request: Request, folder: DatasetFolder, workers: int | None, skip_bad_cases: bool, quiet: bool
) -> ProjectionPlans:
    """Read every case, decide, and write it down."""
    usable, inspections, findings = inspected(localization, request, workers, skip_bad_cases, quiet)
    plans = localization.plan(request, usable, inspections).plans
    if not folder.plans_json.exists():  # else they are those of the planning for segmentation, which relies on them
        write_json(folder.findings_json, [finding.model_dump(mode="json") for finding in findings])
        used = {case.name for case in usable.training}
        write_json(folder.dataset_json, source.model_copy(update={
            "training": tuple(case for case in source.training if case.name in used)}))
    forget_outdated(plans.source.training, folder.preprocessed(CONFIGURATION),
                    partial(case_origin, configuration=CONFIGURATION, plans=plans))
    write_json(folder.projection_json, plans)
    return plans


def _counts(stored: Sequence[StoredProjection]) -> LevelCounts:
    there, known = (sum(bool(chosen) for chosen in each) for each in (
        [case.level for case in stored], [case.is_known for case in stored]))
    return LevelCounts(there, known - there, len(stored) - known)
