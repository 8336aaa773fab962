"""train: one fold to its validation. cross_validation: all folds of a model together."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg import console
from autoseg.api.common import PathLike, default_configuration, planned
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import Missing, missing_folds, number_of_folds, pooled_folds, state_of
from autoseg.evaluation.summary import Summary
from autoseg.evaluation.tables import summary_table
from autoseg.workspace import Workspace

if TYPE_CHECKING:
    from autoseg.trainers.settings import Settings


@dataclass(frozen=True)
class TrainResult:
    """folder: of the fold. configuration: that was trained. summary: of its validation; None for fold "all"."""

    folder: Path
    configuration: str
    summary: Summary | None


@dataclass(frozen=True)
class CrossValidation:
    """summary: of all folds' validation cases together, and its file; None while folds are missing.

    missing: what it lacks, and what to type for it.
    """

    configuration: str
    recipe: str
    summary: Summary | None
    path: Path
    missing: tuple[Missing, ...] = ()


def train(
    dataset: PathLike, fold: int | str, configuration: str | None = None, recipe: str = "default", resume: bool = False,
    restart: bool = False, epochs: int | None = None, iterations: int | None = None, max_hours: float | None = None,
    device: str = "auto", settings: Sequence[str] = (), name: str | None = None, workspace: PathLike | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train one fold to its end and validate it; goes on where an earlier run stopped.

    fold: 0..4, or "all" (every case, no validation). configuration: None for 3d_fullres where it was planned, else 2d.
    resume: go on with an unfinished fold, whatever settings it was started with. restart: throw it away first.
    recipe: "default", "multiscale", "unet3plus", or your own as "module:function". settings: "key=value" texts that change
    the recipe's own; see `autoseg.trainers.settings.Settings`. name: of the model's folder, and for find_best and predict;
    None for that of the recipe.
    """
    from autoseg.trainers.cases import changed_cases
    from autoseg.trainers.fold import train_fold
    from autoseg.trainers.job import Job, check_job, load_fold_data
    from autoseg.trainers.recipes import find_recipe
    from autoseg.trainers.settings import parse_settings

    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    folder = planned(str(dataset), Workspace.at(workspace))
    defaults = find_recipe(recipe).settings
    chosen: Settings | None = parse_settings(
        list(settings), defaults, epochs=epochs, iterations=iterations, max_hours=max_hours)
    if resume:
        chosen = None
    job = Job(folder, configuration or default_configuration(folder), recipe, str(fold), chosen, device, name)
    data = load_fold_data(job)
    notes = check_job(job, data, begins=restart or state_of(job.fold_folder) == "missing")
    if job.fold_folder.checkpoint_final.exists() and not restart:
        notes.append(f"Fold {fold} of {job.configuration}, {name or recipe} is trained already (--restart begins anew).")
    if restart and job.fold_folder.root.exists():
        shutil.rmtree(job.fold_folder.root)
    notes += changed_cases(job.fold_folder, data.cases_of(job.fold))
    if not quiet:
        for note in data.notes:
            console.show_once(note)  # of all folds
        for note in notes:
            console.show(note)
    with console.progress(f"{job.configuration} {job.model.recipe} fold {fold}", quiet) as report:
        summary = train_fold(job, data, report)
    if summary is not None and not quiet:
        console.show(summary_table(summary))
    return TrainResult(job.fold_folder.root, job.configuration, summary)


def cross_validation(
    dataset: PathLike, configuration: str | None = None, recipe: str = "default", workspace: PathLike | None = None,
    quiet: bool = False,
) -> CrossValidation:
    """The validation cases of all folds of a model together; or which folds are missing, and the commands for them.

    recipe: or the name that the model was given.
    """
    folder = planned(str(dataset), Workspace.at(workspace))
    model = folder.model(configuration or default_configuration(folder), recipe)
    folds = number_of_folds(folder)
    missing = tuple(missing_folds(folder, model, folds))
    summary = None if missing or not folds else pooled_folds(model, folds)
    if summary is not None and not quiet:
        console.show(f"Cross-validation of {model.configuration}, {recipe}, all folds together:")
        console.show(summary_table(summary))
    return CrossValidation(model.configuration, model.recipe, summary, model.summary_json, missing)
