"""export_models: trained models as one file for another machine, or in the form that other programs take."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import OneOrSeveral, PathLike, failings_of, several
from autoseg.api.exchange import name_of
from autoseg.api.prediction import choose_models
from autoseg.api.tasks import Task
from autoseg.archives import pack
from autoseg.errors import AutosegError, did_you_mean
from autoseg.files import readable_json
from autoseg.inference.card import Card, CardModel
from autoseg.provenance import require_replaceable
from autoseg.workspace import ModelFolder, Workspace, described, previous_stage, read_model

if TYPE_CHECKING:
    from autoseg.inference.choice import Chosen

ZIP = "zip"  # the format that every task has
CARD = "README.md"


@dataclass(frozen=True)
class ExportResult:
    """path: the file or folder that was written. models: the names of what is in it. notes: what the user should know.
    is_archive: whether autoseg itself predicts with it."""

    path: Path
    models: tuple[str, ...]
    notes: tuple[str, ...]
    is_archive: bool


def export_models(
    output: PathLike, model: OneOrSeveral = None, dataset: PathLike | None = None, configuration: OneOrSeveral = None,
    recipe: OneOrSeveral = None, folds: Sequence[int | str] | None = None, format: str = ZIP, best_weights: bool = False,
    license: str | None = None, overwrite: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> ExportResult:
    """Write trained models for another machine: a zip archive of model.json, weights, post-processing and a model card; or, with
    another format, what another program takes.

    The models are chosen as in `predict_files`. folds: of each model; None for all finished ones. format: "zip", or one of the
    task's own. best_weights: put the best weights of the online validation beside the last ones. license: for the card, as the
    model hub calls it. overwrite: replace an archive that autoseg wrote. Raises AutosegError where models cannot be chosen,
    weights are damaged, or the output cannot be written or holds something else.
    """
    target, place = Path(output), Workspace.at(workspace)
    chosen = choose_models(place, dataset, model, configuration, recipe)
    task = tasks.task_of(chosen.task)
    wanted = None if folds is None else several(list(map(str, folds)))
    if format == ZIP:
        _require_place(target, [Path(path) for path in several(model)], overwrite)
        return _export_zip(task, chosen, target, wanted, best_weights, license, quiet)
    formats = _formats(task)
    if format not in formats:
        raise AutosegError(f'{task.info.a_model_first} cannot be exported as "{format}".{did_you_mean(format, (ZIP, *formats))} '
                           f"There is: {', '.join((ZIP, *formats))}.")
    if best_weights or license is not None:
        raise AutosegError(f"--best-weights and --license are of --format {ZIP}. Leave them out.")
    notes = formats[format](chosen, target, wanted, overwrite, console.progress, quiet)
    return ExportResult(target, tuple(map(_in_words, chosen.members)), tuple(notes), False)


def _formats(task: Task) -> dict[str, Any]:
    return {} if task.exports is None else dict(task.exports.FORMATS)


def _require_place(target: Path, sources: Sequence[Path], overwrite: bool) -> None:
    """Raise AutosegError where an archive cannot be written to `target`, or takes the place of something else."""
    if target.suffix.lower() != ".zip" or target.is_dir():
        raise AutosegError(f"{target} is to become a zip archive. Give a file that ends with .zip with -o.")
    if target.resolve() in [source.resolve() for source in sources]:
        raise AutosegError(f"{target} is what is to be exported. Name another file with -o.")
    require_replaceable(target, _is_ours)
    if target.exists() and not overwrite:
        raise AutosegError(f"{target} is there already. Name another file with -o, or replace it with --overwrite.")


def _is_ours(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return CARD in archive.namelist() and any(name.endswith("/model.json") for name in archive.namelist())
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError):
        return False


def _export_zip(
    task: Task, chosen: Chosen, target: Path, folds: Sequence[str] | None, best_weights: bool, license: str | None, quiet: bool
) -> ExportResult:
    files: dict[str, Path | bytes] = {}
    models = _with_previous_stages(chosen.members)
    with console.progress(f"Exporting to {target.name}", quiet) as report:
        for count, model in enumerate(models):
            report(count / len(models), _in_words(model))
            its = name_of(model)
            base = f"{its.dataset}/models/{its.configuration}/{its.called}"
            if f"{base}/{model.model_json.name}" in files:
                raise AutosegError(f"Two of the models are called {its.dataset}, {_in_words(model)}. Export them into two files.")
            its_folds = folds if model in chosen.members else None  # a first stage runs with all of its folds
            files |= {f"{base}/{file.relative_to(model.root)}": file for file in _files_of(model, its_folds, best_weights)}
            files[f"{base}/{model.model_json.name}"] = readable_json(_without_paths(described(model))).encode()
        card = _card(task, chosen, models, target.name, license, folds)
        pack({**files, CARD: card.text.encode("utf-8", "backslashreplace")}, target)
    return ExportResult(target, tuple(map(_in_words, models)), (chosen.note,) if chosen.note else (), True)


def _with_previous_stages(members: Sequence[ModelFolder]) -> list[ModelFolder]:
    """Return models with those that cascades among them need first. Raises AutosegError where one of these is not there."""
    found = dict.fromkeys(members)
    for model in members:
        stage = previous_stage(model)
        if stage is not None and not stage.finished_folds():
            raise AutosegError(f"{model.root} is the second stage of a cascade, and its first stage, {stage.root}, has no "
                               "finished fold. Train that first, or put it back.")
        if stage is not None and stage.root not in [other.root for other in found]:
            found[stage] = None
    return list(found)


def _without_paths(content: Any) -> Any:
    """Return plain values with the last part of each path: others need not know how the folders of this machine are called."""
    if isinstance(content, dict):
        return {key: _without_paths(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_paths(value) for value in content]
    return Path(content).name if isinstance(content, str) and Path(content).is_absolute() else content


def _files_of(model: ModelFolder, folds: Sequence[str] | None, best_weights: bool) -> list[Path]:
    """Return the files of a model that go along. Raises AutosegError where one is missing or damaged."""
    from autoseg.inference.checkpoints import checkpoint_files, read_weights

    weights = [*checkpoint_files(model, folds, "final").values()]
    if best_weights:
        weights += checkpoint_files(model, folds, "best").values()
    for file in weights:
        read_weights(file)
    return [*([model.best_json] if model.best_json.exists() else []), *weights]


def _card(
    task: Task, chosen: Chosen, models: Sequence[ModelFolder], archive: str, license: str | None, folds: Sequence[str] | None
) -> Card:
    versions = described(models[0]).get("versions")
    return Card(
        task.info, name_of(models[0]).dataset, archive, [
            _card_model(task, model, folds if model in chosen.members else None) for model in models],
        None if task.exports is None else task.exports.PIPELINE_TAG, license, chosen.says if chosen.rules else (),
        {str(name): str(version) for name, version in versions.items()} if isinstance(versions, dict) else {},
        chosen.ways.reason if chosen.ways is not None else "")


def _card_model(task: Task, model: ModelFolder, folds: Sequence[str] | None) -> CardModel:
    facts = {"folds": " ".join(folds or [fold for fold in model.finished_folds() if fold != "all"] or model.finished_folds())}
    if task.exports is None:
        return CardModel(_in_words(model), facts)
    results = ()
    if model.summary_json.exists():
        results = task.exports.results(read_model(model.summary_json, task.evaluation.SUMMARY))
    return CardModel(_in_words(model), {**task.exports.facts(model), **facts}, results, failings_of(task, model))


def _in_words(model: ModelFolder) -> str:
    its = name_of(model)
    return f"{its.configuration}, {its.called}"
