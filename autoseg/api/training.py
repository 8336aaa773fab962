"""train: one fold to its validation."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg import console
from autoseg.api.common import PathLike, default_configuration, planned
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import Summary
from autoseg.evaluation.tables import summary_table
from autoseg.workspace import ModelFolder, Workspace

if TYPE_CHECKING:
    from autoseg.trainers.settings import Settings


@dataclass(frozen=True)
class TrainResult:
    """folder: of the fold. summary: of its validation; None for fold "all". next_fold: the lowest unfinished one."""

    folder: Path
    summary: Summary | None
    next_fold: str | None


def train(
    dataset: PathLike, fold: int | str, configuration: str | None = None, recipe: str = "default", resume: bool = False,
    restart: bool = False, epochs: int | None = None, iterations: int | None = None, max_hours: float | None = None,
    device: str = "auto", settings: Sequence[str] = (), workspace: PathLike | None = None, quiet: bool = False,
) -> TrainResult:
    """Train one fold to its end and validate it; goes on where an earlier run stopped.

    fold: 0..4, or "all" (every case, no validation). configuration: None for 3d_fullres where it was planned, else 2d.
    resume: go on with an unfinished fold, whatever settings it was started with. restart: throw it away first.
    settings: "key=value" texts; see `autoseg.trainers.settings.Settings`.
    """
    from autoseg.trainers.fold import train_fold
    from autoseg.trainers.job import Job, load_fold_data
    from autoseg.trainers.settings import parse_settings

    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    folder = planned(str(dataset), Workspace.at(workspace))
    chosen: Settings | None = parse_settings(list(settings), epochs=epochs, iterations=iterations, max_hours=max_hours)
    if resume:
        chosen = None
    job = Job(folder, configuration or default_configuration(folder), recipe, str(fold), chosen, device)
    data = load_fold_data(job)
    if not quiet:
        for note in data.notes:
            console.show(note)
        if job.fold_folder.checkpoint_final.exists() and not restart:
            console.show(f"Fold {fold} of {job.configuration}, {recipe} is trained already (--restart begins anew).")
    if restart and job.fold_folder.root.exists():
        shutil.rmtree(job.fold_folder.root)
    with console.progress(f"Fold {fold}", quiet) as report:
        summary = train_fold(job, data, report)
    if summary is not None and not quiet:
        console.show(summary_table(summary))
    return TrainResult(job.fold_folder.root, summary, _next_fold(job.model, data.folds, str(fold)))


def _next_fold(model: ModelFolder, folds: int, fold: str) -> str | None:
    if fold == "all":
        return None
    finished = set(model.finished_folds())
    return next((str(number) for number in range(folds) if str(number) not in finished), None)
