"""plan_and_preprocess: a dataset checked, measured, planned and preprocessed for a task. verify and repair: only checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, default_configuration, has_labels, read_plans, without_labels, without_labels_plan
from autoseg.api.prediction import label_cases
from autoseg.api.regions import REGIONS, digest_of, with_label_files
from autoseg.api.tasks import Task
from autoseg.dataset import Dataset, find_dataset, load_dataset
from autoseg.digests import content_stamps, remembered_digests
from autoseg.errors import AutosegError, many, some
from autoseg.files import remove_leftovers, write_json
from autoseg.inference.inputs import PredictionInput
from autoseg.lock import locked
from autoseg.options import options_from, planning_command, require_known
from autoseg.plan import Frozen
from autoseg.planners.request import Request, inspect
from autoseg.preprocessing.store import forget_outdated
from autoseg.provenance import Origin, read_origin
from autoseg.verification.findings import Finding, in_paragraphs
from autoseg.verification.inspection import Inspection, verify_dataset
from autoseg.verification.repair import find_mapping, repair_labels
from autoseg.verification.seen import Seen, see
from autoseg.workspace import DatasetFolder, Workspace, read_model


@dataclass(frozen=True)
class PlanResult:
    """The result of planning and preprocessing. name, folder: of the dataset in the workspace. configurations: those that were
    preprocessed. written: names of the files there. next_flags: the flags of autoseg_train that train on this. counts: what is
    worth saying of the preprocessed cases, with `in_words`; None where the task has nothing. failed: cases that could not be
    preprocessed, with the reason."""

    name: str
    folder: Path
    plans: Any
    configurations: list[str]
    written: tuple[str, ...]
    next_flags: tuple[str, ...]
    counts: Any = None
    failed: dict[str, str] = field(default_factory=dict)


def plan_and_preprocess(
    dataset: PathLike, configurations: Sequence[str] | None = None, planner: str = "default", workers: int | None = None,
    skip_bad_cases: bool = False, workspace: PathLike | None = None, quiet: bool = False, **options: Any,
) -> PlanResult:
    """Check a dataset, measure its cases, decide how they are preprocessed and trained on, and preprocess them.

    configurations: that are preprocessed; None for all that are planned. planner: that decides, and with it the task; `recipes`
    lists them. workers: at most so many processes. options: those of the task (`PlanOptions` in
    `autoseg.tasks.<task>.options`), such as memory_gb=24 of a segmentation.
    Plans for other tasks stay as they are, and so do cases that are already preprocessed by the same plans.
    Raises AutosegError where cases have errors and `skip_bad_cases` is not set, or an option does not fit.
    """
    task = tasks.task_of_planner(planner)
    chosen = plan_options(task, planner, {"configurations": configurations, **options})
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    folder = folder_for(source, place)
    if task.info.is_default and not has_labels(source):
        raise AutosegError(f"{source.name} has no labels but background, so there is nothing for {task.info.a_model} to learn. "
                           f"Name the labels in its dataset.json. {without_labels_plan(dataset, folder)}")
    request = task.planner.prepare(source, _with_label_files(chosen, source, folder, quiet))
    with locked(folder.lock_of("planning"), f"The planning of {folder.name}"), remembered_digests(folder.digests_json):
        remove_leftovers(folder.root)
        usable, plans = _plan(task, request, source, folder, workers, skip_bad_cases, quiet)
        return _preprocess(task, usable, plans, chosen, folder, workers, quiet)


def plan_options(task: Task, planner: str, given: Mapping[str, Any], remedy: str = "choose another --planner") -> Frozen:
    """Return the options of a planning. Raises AutosegError for options that are another task's, with the remedy, or have a wrong
    value."""
    its = {name: value for name, value in given.items() if value is not None}
    has_one = "configurations" not in task.plan_options.model_fields
    if has_one and {*its.get("configurations", ())} <= {*task.info.configurations}:
        its.pop("configurations", None)  # there is no other
    require_known({other.info: other.plan_options for other in tasks.TASKS}, task.info, its, remedy)
    return options_from(task.plan_options, its | ({"planner": planner} if "planner" in task.plan_options.model_fields else {}))


def folder_for(source: Dataset, place: Workspace) -> DatasetFolder:
    """Return where what is made of a dataset goes. Raises AutosegError where that is the raw dataset's own folder."""
    folder = place.dataset(source.name)
    if folder.root.resolve() == source.folder.resolve():
        raise AutosegError(f"{source.folder} is the raw dataset itself, and all that is made of it would be written into it. "
                           "Choose another --workspace than the folder in which your datasets lie.")
    return folder


def plan_where_needed(
    task: Task, source: Dataset, folder: DatasetFolder, options: Mapping[str, Any], planner: str | None = None,
    workers: int | None = None, skip_bad_cases: bool = False, quiet: bool = False,
) -> PlanResult:
    """Do what `plan_and_preprocess` does, but keep plans that were made for these cases, and preprocess only what is missing.

    planner, options: where one is not given, or None, the dataset keeps what it was planned with. Raises AutosegError where it
    was planned with others.
    """
    made_from = read_origin(_planned_from(task, folder))
    before = {} if made_from is None else {name: value for name, value in made_from.facts["options"].items() if value is not None}
    if planner is not None and before.get("planner", task.info.planner) != planner:
        before = {}
    given = {name: value for name, value in options.items() if value is not None}
    chosen = plan_options(task, planner or before.pop("planner", task.info.planner), {**before, **given})
    request = task.planner.prepare(source, _with_label_files(chosen, source, folder, quiet))
    left_out = [] if made_from is None else sorted(made_from.facts["left_out"])
    now, plans = _origin(request, source, left_out), _plans_there(task, folder)
    if made_from is None or plans is None or made_from.facts | {"options": None} != now.facts | {"options": None}:
        usable, plans = _plan(task, request, source, folder, workers, skip_bad_cases, quiet)
    elif made_from != now:
        raise AutosegError(
            f"{folder.name} was planned with other options: {', '.join(made_from.differences(now))}. Leave them out to go on "
            f"with these plans, or plan anew: {planning_command(folder, task.info, request.options)}")
    else:
        cases = tuple(case for case in request.dataset.training if case.name not in left_out)
        usable = request.dataset.model_copy(update={"training": cases})
        if left_out and not quiet:
            console.show(f"Left out, as they had errors when the dataset was planned: {some(left_out)}.")
    with remembered_digests(folder.digests_json):
        return _preprocess(task, usable, plans, chosen, folder, workers, quiet)


def _with_label_files(options: Frozen, source: Dataset, folder: DatasetFolder, quiet: bool) -> Frozen:
    """Return options with a folder of label files of the training cases in the place of a model, which has made them."""
    return with_label_files(options, lambda model: label_cases(
        model, [PredictionInput(case.name, case.images) for case in source.training],
        folder.root / REGIONS / digest_of(model), quiet=quiet))


def _planned_from(task: Task, folder: DatasetFolder) -> Path:
    return folder.root / f"planned_from{task.info.suffix}.json"


def _origin(request: Request[Any], source: Dataset, left_out: Iterable[str]) -> Origin:
    """Return what plans are made from: the dataset, the options, and the files of cases that are left out, which may be mended.
    Which of the configurations are preprocessed changes no plans."""
    files = {case.name: content_stamps((*case.images, case.label)) for case in source.training if case.name in left_out}
    return Origin.of(dataset=source, options=request.options.model_dump(mode="json", exclude={"configurations"}), left_out=files)


def _plans_there(task: Task, folder: DatasetFolder) -> Any:
    """Return the plans of an earlier planning; None where there are none, or of another version."""
    try:
        read_model(folder.dataset_json, Dataset)
        return read_plans(folder, task)
    except AutosegError:
        return None


def _plan(
    task: Task, request: Request[Any], source: Dataset, folder: DatasetFolder, workers: int | None, skip_bad_cases: bool,
    quiet: bool,
) -> tuple[Dataset, Any]:
    """Read every case, decide, and write it down; return the dataset without the cases that have errors, and the plans."""
    request.check()
    inspections, findings = _inspected(task, request, workers, quiet)
    usable = _without_bad_cases(request.dataset, findings, skip_bad_cases)
    with console.progress("Planning", quiet) as report:
        planned = task.planner.plan(request, usable, inspections, workers, console.counted(report, len(usable.training)))
    names = {case.name for case in usable.training}
    used = source.model_copy(update={"training": tuple(case for case in source.training if case.name in names)})
    planned_from = _planned_from(task, folder)
    planned_from.unlink(missing_ok=True)
    for configuration in task.planner.chosen(planned.plans, task.plan_options()):
        forget_outdated(usable.training, folder.preprocessed(task.info.stored_as(configuration)), partial(
            task.store.case_origin, configuration=configuration, dataset=usable, plans=planned.plans))
    if task.info.is_default or not folder.plans_of(tasks.default_task().info).exists():  # else those plans need the old files
        write_json(folder.findings_json, [finding.model_dump(mode="json") for finding in findings])
        write_json(folder.dataset_json, used)
    if planned.fingerprint is not None:
        write_json(folder.fingerprint_json, planned.fingerprint)
    write_json(folder.plans_of(task.info), planned.plans)
    _origin(request, source, [case.name for case in source.training if case.name not in names]).write(planned_from)
    return usable, planned.plans


def _inspected(
    task: Task, request: Request[Any], workers: int | None, quiet: bool
) -> tuple[list[Inspection[Any]], list[Finding]]:
    """Check and measure every case, with a progress bar, and show what is wrong."""
    dataset, inspections = request.dataset, []
    with console.progress(f"Checking and measuring {dataset.name}", quiet) as report:
        finish = console.counted(report, len(dataset.training) + len(dataset.test))
        for inspection in inspect(request, task.planner.measure, workers):
            inspections.append(inspection)
            finish(inspection.case)
    findings: list[Finding] = task.planner.findings(request, inspections)
    if findings and not quiet:
        console.show_all(in_paragraphs(findings))
    return inspections, findings


def _without_bad_cases(source: Dataset, findings: list[Finding], skip: bool) -> Dataset:
    errors = [finding for finding in findings if finding.severity == "error"]
    if of_all := [finding for finding in errors if not finding.case]:
        raise AutosegError(f"{source.name} cannot be planned as it is: {'; '.join(map(str, of_all))}")
    bad = {finding.case for finding in errors}
    if errors and not skip:
        raise AutosegError(
            f"{source.name} has {many(len(errors), 'error')} in {many(len(bad), 'case')}, listed above. Fix them "
            f"(this command lists what is left; autoseg verify {source.folder} does so for faults of the files)"
            + (", or leave these cases out with --skip-bad-cases." if {case.name for case in source.training} - bad else "."))
    usable = tuple(case for case in source.training if case.name not in bad)
    if not usable:
        raise AutosegError(f"{source.name}: no training case is without errors. Fix those that are listed above.")
    return source.model_copy(update={"training": usable})


def _preprocess(
    task: Task, usable: Dataset, plans: Any, options: Frozen, folder: DatasetFolder, workers: int | None, quiet: bool
) -> PlanResult:
    """Preprocess what is not there yet."""
    chosen: list[str] = task.planner.chosen(plans, options)
    failed = {}
    with console.progress(task.store.doing(plans, chosen), quiet) as report:
        finish = console.counted(report, len(usable.training))
        folders = {name: folder.preprocessed(name) for name in map(task.info.stored_as, chosen)}
        for outcome in task.store.preprocess(usable, plans, folders, workers):
            finish(outcome.item)
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
    usual = default_configuration(folder, task)
    starts_from = getattr(options, "pretrained", None)
    next_flags = [*(() if task.info.is_default else ("-tr", task.info.recipe)), *(() if usual in chosen else ("-c", chosen[0])),
                  *(() if starts_from is None else ("--from", starts_from))]
    fingerprint = [folder.fingerprint_json.name] if task.info.is_default else []
    return PlanResult(
        folder.name, folder.root, plans, chosen, (folder.dataset_json.name, *fingerprint, task.info.plans_file, "preprocessed/"),
        tuple(next_flags), task.planner.counts(plans, folder), failed)


def verify(
    dataset: PathLike, workers: int | None = None, workspace: PathLike | None = None, quiet: bool = False
) -> list[Finding]:
    """Read every file of a dataset and list what is wrong with it. workers: at most so many processes."""
    source = load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))
    with console.progress(f"Checking {source.name}", quiet) as report:
        findings = verify_dataset(source, workers, console.counted(report, len(source.training) + len(source.test)))
    if findings and not quiet:
        console.show_all(in_paragraphs(findings))
    return findings


def seen(dataset: PathLike, workspace: PathLike | None = None) -> Seen:
    """Return what a dataset holds, by its headers: cases, channels, shapes, spacings, axis orders, labels."""
    return see(load_dataset(find_dataset(str(dataset), Workspace.at(workspace))))


def planner_for(dataset: PathLike, workspace: PathLike | None = None) -> str:
    """Return the name of the planner that suits a dataset: "default", or where it has no labels, that of a task without."""
    labelled = has_labels(load_dataset(find_dataset(str(dataset), Workspace.at(workspace))))
    return (tasks.default_task() if labelled else without_labels()).info.planner


def repair(
    dataset: PathLike, target: PathLike, workers: int | None = None, workspace: PathLike | None = None, quiet: bool = False
) -> list[Finding]:
    """Write a copy of a dataset to `target` in which wrong label values (255 for 1, ...) are mended.

    The dataset itself stays as it is; images are not copied. Returns the cases that could not be mended and are left out.
    """
    source = load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))
    mapping = find_mapping(source, workers)
    findings = repair_labels(source, mapping, Path(target), workers)
    if not quiet:
        console.show(f"Label values: {', '.join(f'{value} became {meant}' for value, meant in mapping.items())}.")
        if findings:
            console.show_all(in_paragraphs(findings))
    return findings
