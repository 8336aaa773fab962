"""plan_and_preprocess: a dataset checked, measured, planned and preprocessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.api.inspecting import inspected, made
from autoseg.commands import planning_command
from autoseg.dataset import Case, Dataset, find_dataset, load_dataset
from autoseg.errors import AutosegError, some
from autoseg.files import remove_leftovers, write_json
from autoseg.plan import Plans
from autoseg.planners import segmentation
from autoseg.planners.request import Request
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.planners.segmentation.planning import chosen_configurations, require_known
from autoseg.tasks.flags import options_from
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.store import preprocess_dataset
from autoseg.verification.findings import read_findings
from autoseg.workspace import DatasetFolder, Workspace, read_model


@dataclass(frozen=True)
class PlanResult:
    """name, folder: of the dataset in the workspace. failed: cases that could not be preprocessed, with the reason."""

    name: str
    folder: Path
    plans: Plans
    failed: dict[str, str] = field(default_factory=dict)


def plan_and_preprocess(
    dataset: PathLike, configurations: Sequence[str] | None = None, planner: str = "default", memory_gb: float | None = None,
    workers: int | None = None, skip_bad_cases: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> PlanResult:
    """Check a dataset, measure its fingerprint, plan it, and preprocess its cases for each configuration.

    configurations: "2d", "3d_fullres", "3d_lowres"; None for all that were planned. planner: of segmentation; `recipes` lists
    them. memory_gb: of the GPU; None for what the planner is made for.
    Cases that are already preprocessed by the same plans stay as they are.
    """
    options = options_from(PlanOptions, {"configurations": configurations, "planner": planner, "memory_gb": memory_gb})
    require_known(options)
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    request = segmentation.prepare(source, options)
    folder = folder_for(source, place)
    remove_leftovers(folder.root)
    usable, plans = _plan(request, folder, workers, skip_bad_cases, quiet)
    return PlanResult(source.name, folder.root, plans, _preprocess(usable, plans, configurations, folder, workers, quiet))


def folder_for(source: Dataset, place: Workspace) -> DatasetFolder:
    """Where what is made of a dataset goes. Raises AutosegError where that is the raw dataset's own folder."""
    folder = place.dataset(source.name)
    if folder.root.resolve() == source.folder.resolve():
        raise AutosegError(f"{source.folder} is the raw dataset itself, and all that is made of it would be written into it. "
                           "Choose another --workspace than the folder in which your datasets lie.")
    return folder


def plan_where_needed(
    source: Dataset, folder: DatasetFolder, configurations: Sequence[str] | None = None, workers: int | None = None,
    skip_bad_cases: bool = False, quiet: bool = False, planner: str | None = None, memory_gb: float | None = None,
) -> PlanResult:
    """As `plan_and_preprocess`, but plans that were made for these cases stay: only what is missing is preprocessed.

    planner, memory_gb: None for those that it was planned by and for, or "default" and its own. Raises AutosegError where it
    was planned by another planner, or for another memory.
    """
    require_known(PlanOptions(planner=planner or "default"))
    stored = stored_plans(source, folder)
    if stored:
        _require_planned_so(stored[1], folder, planner, memory_gb)
    elif (before := _plans_there(folder)) and planner in (None, before.planner):
        planner, memory_gb = before.planner, memory_gb or before.memory_gb
    if stored and not quiet and len(stored[0].training) < len(source.training):
        left_out = sorted({case.name for case in source.training} - {case.name for case in stored[0].training})
        console.show(f"Left out, as they had errors when the dataset was planned: {some(left_out)}.")
    if not stored:
        options = {"configurations": configurations, "planner": planner or "default", "memory_gb": memory_gb}
        request = segmentation.prepare(source, options_from(PlanOptions, options))
        stored = _plan(request, folder, workers, skip_bad_cases, quiet)
    usable, plans = stored
    return PlanResult(source.name, folder.root, plans, _preprocess(usable, plans, configurations, folder, workers, quiet))


def _require_planned_so(plans: Plans, folder: DatasetFolder, planner: str | None, memory_gb: float | None) -> None:
    """Raises AutosegError where these plans are of another planner, or for another memory, than the one asked for."""
    known = PLANNERS.get(plans.planner)
    its_memory_gb = plans.memory_gb or (known.memory_gb if known else 0)
    if planner in (None, plans.planner) and memory_gb in (None, its_memory_gb):
        return
    wanted = plans.model_copy(update={"planner": planner or plans.planner, "memory_gb": memory_gb})
    raise AutosegError(
        f"{folder.name} was planned by {plans.planner} for {its_memory_gb:g} GB. Leave out --planner and --memory-gb to go on "
        f"with these plans, or plan anew: {planning_command(folder, wanted)}")


def _plans_there(folder: DatasetFolder) -> Plans | None:
    """Those of an earlier planning, whether they fit the dataset of today or not."""
    try:
        return read_model(folder.plans_json, Plans) if folder.plans_json.exists() else None
    except AutosegError:
        return None  # of another version


def stored_plans(source: Dataset, folder: DatasetFolder) -> tuple[Dataset, Plans] | None:
    """The dataset as it was planned, and its plans, where both are of the cases, channels and labels that it has now.

    Cases that had errors count as gone, as long as their files have not changed since.
    """
    written = (folder.findings_json, folder.fingerprint_json, folder.plans_json, folder.dataset_json)
    if not all(path.exists() for path in written):
        return None
    try:
        usable, plans = read_model(folder.dataset_json, Dataset), read_model(folder.plans_json, Plans)
        findings = read_findings(folder.findings_json)
    except AutosegError:
        return None  # of another version
    bad = {finding.case for finding in findings if finding.severity == "error"}
    if any(_has_changed(case, folder.findings_json) for case in source.training if case.name in bad):
        return None  # mended, it may be
    expected = source.model_copy(update={"training": tuple(case for case in source.training if case.name not in bad)})
    return (usable, plans) if usable == expected else None


def _has_changed(case: Case, since: Path) -> bool:
    """Whether one of its files came or changed after `since` was written."""
    files = [path for path in (*case.images, case.label) if path is not None and path.exists()]
    return any(max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) > since.stat().st_mtime_ns for path in files)


def _plan(
    request: Request[PlanOptions], folder: DatasetFolder, workers: int | None, skip_bad_cases: bool, quiet: bool
) -> tuple[Dataset, Plans]:
    """Read every case, decide, and write it down; return the dataset without the cases that have errors, and the plans."""
    usable, inspections, findings = inspected(segmentation, request, workers, skip_bad_cases, quiet)
    with console.progress("Measuring components", quiet) as report:
        planned = segmentation.plan(request, usable, inspections, workers, console.counted(report, len(usable.training)))
    write_json(folder.findings_json, [finding.model_dump(mode="json") for finding in findings])
    if planned.fingerprint is not None:
        write_json(folder.fingerprint_json, planned.fingerprint)
    write_json(folder.plans_json, planned.plans)
    write_json(folder.dataset_json, usable)  # last: where it is that of today, so are the plans (see `stored_plans`)
    return usable, planned.plans


def _preprocess(
    usable: Dataset, plans: Plans, configurations: Sequence[str] | None, folder: DatasetFolder, workers: int | None, quiet: bool
) -> dict[str, str]:
    """Preprocess what is not there yet; return the cases that failed, with the reason."""
    chosen = chosen_configurations(configurations, plans)
    outcomes = preprocess_dataset(usable, plans, chosen, folder.preprocessed, workers)
    return made(f"Preprocessing for {', '.join(chosen)}", len(usable.training), outcomes, quiet)
