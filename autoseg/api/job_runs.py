"""Jobs of a run: which there are, where they run (this machine's GPUs, SLURM, printed scripts), and jobs: the state of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, in_workspace
from autoseg.api.run_request import Fold, Wanted
from autoseg.api.selection import is_current
from autoseg.api.tasks import Task
from autoseg.bounds import whole_number
from autoseg.commands import as_flag, command_line, model_flags
from autoseg.console import ShowProgress
from autoseg.errors import AutosegError, many
from autoseg.files import make_folder, write_json
from autoseg.jobs.graph import End, Graph, Job, listed, renewed
from autoseg.jobs.here import Lane, lanes_on, run_here
from autoseg.jobs.scripts import write_scripts
from autoseg.jobs.slurm import Options, read_options
from autoseg.jobs.states import JobState, job_states, last_lines, queued_jobs, read_graph, tail
from autoseg.jobs.submission import require_submitit, submit
from autoseg.lock import is_held
from autoseg.slurm_queue import cancel
from autoseg.steps import FIND_BEST, PLAN, REPORT, Ran, RunRecord, read_record
from autoseg.wording import rough_duration
from autoseg.workspace import DatasetFolder, JobsFolder, Workspace


@dataclass(frozen=True)
class Place:
    """A place where the jobs of a run are worked on. lanes: on this machine, side by side; none for SLURM. options: of sbatch.
    only_print: write scripts, and submit nothing."""

    lanes: Sequence[Lane] = ()
    options: Options = field(default_factory=dict)
    only_print: bool = False


def place_of(gpus: int | None, on: str | None, slurm: Sequence[str], only_print: bool, device: str) -> Place | None:
    """Return the place for the jobs of a run; None for one after the other in this process. Raises AutosegError for what does
    not fit together, or cannot be done here."""
    if on not in (None, "slurm"):
        raise AutosegError(f'--on {on}: there is only "--on slurm". Jobs on this machine: --gpus N.')
    if on is None:
        if only_print or slurm:
            raise AutosegError(f"{'--print' if only_print else '--slurm'} is of --on slurm, which is not given.")
        if gpus is None:
            return None
        if whole_number(str(gpus)) is None or gpus < 1:
            raise AutosegError(f"--gpus is {gpus}, but must be a whole number of 1 or more.")
        return Place(lanes_on(_kind(device, gpus), gpus))
    if gpus is not None:
        raise AutosegError("--gpus is of this machine. On SLURM, as many jobs run side by side as the cluster lets. --slurm says "
                           "what each of them gets, such as --slurm gres=gpu:1.")
    if not only_print:
        require_submitit()
    return Place(options=read_options(slurm), only_print=only_print)


def _kind(device: str, gpus: int) -> str:
    """Return "cuda" or "cpu". Raises AutosegError where --gpus does not fit the device."""
    from autoseg.device import resolve_device

    if device.startswith("cuda:"):
        raise AutosegError(f"--gpus gives each job a GPU of its own, so --device {device} does not fit. Leave one out; "
                           "CUDA_VISIBLE_DEVICES says which GPUs may be used.")
    kind = resolve_device(device).type
    if kind != "cuda" and device != "cpu":
        raise AutosegError(f"--gpus {gpus} was asked for, but no CUDA device is here. With --device cpu, --gpus {gpus} runs "
                           "so many jobs side by side on the cores.")
    return kind


def graph_of(folder: DatasetFolder, task: Task, folds: Sequence[Fold], wanted: Wanted, hours: float | None) -> Graph:
    """Return all jobs of a run: folds, those of a second stage after all of the first; find-best after them; then the report.

    hours: of each fold that was not begun.
    """
    jobs = [_fold_job(folder, fold, folds, wanted, hours) for fold in folds]
    models = list(dict.fromkeys(fold.model for fold in folds))
    are_done = all(job.is_done for job in jobs)
    if task.info.averages:
        which = ["-c", *dict.fromkeys(model.configuration for model in models)]
        which += ["-tr", *dict.fromkeys(model.recipe for model in models)]
        is_done = are_done and is_current(folder, task, models, wanted.cheaper_ways, wanted.asked.not_worse)
        jobs.append(Job(name=FIND_BEST, needs=tuple(job.name for job in jobs), is_done=is_done,
                        words=_words(folder, "find-best", *which, *wanted.find_best_flags, *wanted.device_flags)))
    is_done = all(job.is_done for job in jobs) and folder.report_html.exists()
    jobs.append(Job(name=REPORT, after=tuple(job.name for job in jobs), is_done=is_done, words=_words(folder, "report")))
    return Graph(jobs=tuple(jobs), at=datetime.now().astimezone().isoformat(timespec="seconds"))


def _fold_job(folder: DatasetFolder, fold: Fold, folds: Sequence[Fold], wanted: Wanted, hours: float | None) -> Job:
    asked = wanted.asked
    flags = ["--continue"]
    if not fold.is_begun:
        given = {"--epochs": asked.epochs, "--iterations": asked.iterations, "--max-hours": hours and round(hours, 5)}
        flags = [word for flag, value in given.items() if value is not None for word in (flag, as_flag(value))]
        flags += [word for key, value in asked.settings.items() for word in ("--set", f"{key}={value}")]
    name = ["--name", asked.name] if asked.name else []
    return Job(name=fold.step, is_done=fold.is_complete,
               needs=tuple(other.step for other in folds if other.model == fold.stage_before),
               words=_words(folder, "train", fold.fold, *model_flags(fold.model.configuration, wanted.recipe_of(fold)), *name,
                            *flags, *wanted.device_flags))


def _words(folder: DatasetFolder, verb: str, *arguments: str) -> tuple[str, ...]:
    """Return the words of a command line after "autoseg". The workspace is named: a job may run in another environment."""
    return (verb, folder.name, *arguments, "--workspace", str(folder.root.resolve().parent))


def hours_of_a_fold(hours: float, folds: Sequence[Fold], lanes: int) -> float:
    """Return how many hours a fold may take, where `hours` are left for those that are not complete, so many side by side, and
    folds of a second stage after those of the first."""
    waiting = [fold for fold in folds if not fold.is_complete]
    second = sum(fold.stage_before is not None for fold in waiting)
    rounds = math.ceil((len(waiting) - second) / lanes) + math.ceil(second / lanes)
    return hours / max(rounds, 1)


def run_side_by_side(
    folder: DatasetFolder, task: Task, graph: Graph, place: Place, report: ShowProgress, quiet: bool
) -> list[str] | None:
    """Run the jobs that are not done on this machine, or submit them; return what to tell of those that were submitted or
    printed, None where all have run.

    Raises AutosegError that names the jobs that failed, and those that need them.
    """
    files = folder.jobs_of(task.info)
    states, jobs, names = job_states(files), graph.to_do(), {job.name for job in graph.jobs}
    queue = queued_jobs(states)
    make_folder(files.root)
    others = tuple(state.job for state in states if state.job.name in queue and state.job.name not in names)
    write_json(files.graph_json, graph.model_copy(update={"jobs": (*others, *graph.jobs)}))
    if not place.lanes:
        return _on_slurm(folder, jobs, files, place, queue)
    if jobs and not quiet:
        console.show(f"{folder.name}: {many(len(jobs), 'job')}, at most {len(place.lanes)} side by side ("
                     f"{listed(lane.name for lane in place.lanes)}). Into {folder.root}. In another terminal: "
                     f"{command_line(folder, 'autoseg jobs')}")
    for job in jobs:
        files.id_file(job.name).unlink(missing_ok=True)
    try:
        ended = run_here(jobs, files, place.lanes, report, not quiet)
    finally:
        gather(folder.run_of(task.info), files)
    if "failed" in ended.values():
        raise AutosegError(_failure(ended, files, folder))
    return None


def _failure(ended: Mapping[str, End], files: JobsFolder, folder: DatasetFolder) -> str:
    failed = [name for name, how in ended.items() if how == "failed"]
    rest = [name for name, how in ended.items() if how == "not run"]
    said = "\n".join(f"  {name}: {last_lines(files.log(name))}" for name in failed)
    skipped = f"\nNot run, as they need them: {listed(rest)}." if rest else ""
    return (f"{len(failed)} of {many(len(ended), 'job')} failed:\n{said}{skipped}\nThe others are done. The same command tries "
            f"again what is missing: {command_line(folder, 'autoseg run')}")


def _on_slurm(folder: DatasetFolder, jobs: Sequence[Job], files: JobsFolder, place: Place, queue: Mapping[str, str]) -> list[str]:
    """Submit or print what is neither done nor queued."""
    fresh = renewed(jobs, queue.__contains__)
    names = {job.name for job in fresh}
    kept = {name: number for name, number in queue.items() if name not in names and name in {job.name for job in jobs}}
    old = [number for name, number in queue.items() if name in names]
    there = [f"{many(len(kept), 'job')} wait or run already: {listed(kept)}."] if kept else []
    if not fresh:
        return [*there, "Nothing is to be submitted.", f"Next: {command_line(folder, 'autoseg jobs')}"]
    if place.only_print:
        script = write_scripts(fresh, files, place.options, kept, old)
        return [*there, f"Wrote {many(len(fresh), 'sbatch script')} into {files.root.resolve()}, and one that submits them with "
                        "their dependencies.", f"Next: bash {script.resolve()}", f"      {command_line(folder, 'autoseg jobs')}"]
    cancel(old)
    ids = submit(fresh, files, place.options, kept)
    submitted = listed(f"{name} ({number})" for name, number in ids.items())
    return [*there, f"Submitted {many(len(ids), 'job')} to SLURM: {submitted}.",
            f"Next: {command_line(folder, 'autoseg jobs')}"]


def require_no_queue(folder: DatasetFolder, task: Task) -> None:
    """Raise AutosegError where jobs of an earlier run wait or run on a cluster: they would do the same work."""
    if queue := queued_jobs(job_states(folder.jobs_of(task.info))):
        raise AutosegError(
            f"{many(len(queue), 'job')} of {folder.name} wait or run on SLURM: {listed(queue)}. "
            f"{command_line(folder, 'autoseg jobs')} shows them. Wait until they end, or cancel them: "
            f"scancel {' '.join(queue.values())}")


def gather(run_json: Path, files: JobsFolder) -> None:
    """Take over into run.json what the jobs' records say: how long each took, and on what it ran."""
    states = [state for state in job_states(files) if state.record is not None]
    if not states:
        return
    there = read_record(run_json)
    seconds = {state.job.name: state.record.seconds for state in states if state.record}
    ran = {state.job.name: Ran(host=its.host, machine=its.machine, gpu=its.gpu, slurm=its.slurm) for state in states
           if (its := state.record)}
    whole = {state.job.name for state in states if state.state == "done"}
    now = RunRecord.model_validate(there.model_dump() | {
        "steps": there.steps | seconds, "ran": {**there.ran, **ran}, "whole": tuple(sorted({*there.whole, *whole}))})
    if now != there:
        write_json(run_json, now)


def forget(files: JobsFolder) -> None:
    """Remove the records of jobs, which run.json has taken over, so that they hide nothing that is done here; logs stay."""
    for job in read_graph(files).jobs:
        files.record_json(job.name).unlink(missing_ok=True)
        files.id_file(job.name).unlink(missing_ok=True)
    files.graph_json.unlink(missing_ok=True)


@dataclass(frozen=True)
class JobInWords:
    """A job, as `autoseg jobs` shows it. where: it runs, or ran. log: None where there is none. last: lines of it."""

    name: str
    state: str
    why: str
    where: str
    time: str
    log: Path | None
    last: tuple[str, ...] = ()


def jobs(dataset: PathLike, workspace: PathLike | None = None) -> list[JobInWords]:
    """Return the jobs of the latest run of a dataset, or the steps of one without jobs. Raises AutosegError where there was
    none."""
    folder = in_workspace(str(dataset), Workspace.at(workspace))
    found: list[JobInWords] = []
    for info in tasks.task_infos():
        files, record = folder.jobs_of(info), read_record(folder.run_of(info))
        held = is_held(folder.lock_of(f"run{info.suffix}"))
        names = {job.name for job in read_graph(files).jobs}
        found += [_step(name, record) for name in record.steps if name not in names]
        found += [_in_words(state, files, record) for state in job_states(files, held)]
    if not found:
        raise AutosegError(f"{folder.name} has no run: there is no run.json in {folder.root}. "
                           f"Run: {command_line(folder, 'autoseg run')}")
    return sorted(found, key=lambda job: job.name != PLAN)


def _step(name: str, record: RunRecord) -> JobInWords:
    return JobInWords(name, "done" if name in record.whole else "stopped", "", _where(record.ran.get(name)),
                      rough_duration(record.steps[name]), None)


def _in_words(state: JobState, files: JobsFolder, run: RunRecord) -> JobInWords:
    its, log = state.record, files.log(state.job.name)
    ran = Ran(host=its.host, machine=its.machine, gpu=its.gpu, slurm=its.slurm) if its else run.ran.get(state.job.name)
    seconds = its.seconds if its else run.steps.get(state.job.name)
    why = [state.why, f"{its.attempts} attempts" if its and its.attempts > 1 else ""]
    lines = tail(log, 1 if state.state == "running" else 8) if state.state in ("running", "failed", "stopped") else []
    where = _where(ran) or (f"SLURM {state.slurm}" if state.slurm else "")
    return JobInWords(state.job.name, state.state, ", ".join(filter(None, why)), where,
                      rough_duration(seconds) if seconds else "", log if log.exists() else None, tuple(lines))


def _where(ran: Ran | None) -> str:
    if ran is None:
        return ""
    slurm, gpu = f"SLURM {ran.slurm}" if ran.slurm else "", f"GPU {ran.gpu}" if ran.gpu else ""
    return ", ".join(filter(None, [ran.host, slurm, gpu, ran.machine]))
