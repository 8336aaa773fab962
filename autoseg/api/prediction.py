"""predict_files: predictions for files, by trained models."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import console, layouts
from autoseg.api import tasks
from autoseg.api.common import (
    OneOrSeveral,
    PathLike,
    apply_rules_later,
    default_configuration,
    devices_for,
    failings_of,
    in_workspace,
    planned_for,
    several,
)
from autoseg.api.exchange import model_folders, named_models
from autoseg.api.named_file import folder_for_file, require_new_file
from autoseg.api.regions import REGIONS, with_label_files
from autoseg.api.spreading import GateOpening, Opening, spread
from autoseg.api.tasks import Task
from autoseg.commands import prediction_command
from autoseg.errors import AutosegError, many, some
from autoseg.files import atomic_path
from autoseg.image_io import ENDINGS, file_ending
from autoseg.inference.studies import Searched
from autoseg.options import options_from, require_known
from autoseg.workspace import ModelFolder, Workspace, finished_models, task_of

if TYPE_CHECKING:
    from autoseg.inference.choice import Chosen
    from autoseg.inference.inputs import PredictionInput
    from autoseg.inference.prediction import Prediction

NUMBERS = re.compile(r"[-+]?[\d.]*\d(?:e[-+]?\d+)?")  # in a warning, where each case has its own


@dataclass(frozen=True)
class GateResult:
    """The result of a gate. flagged: cases that are unlike what the gate's model was trained on, or that it could not score, with
    the reason. cases: those that went through. threshold: the score above which a case is flagged, and its origin, in words.
    path: the file of the table."""

    flagged: dict[str, str]
    cases: int
    threshold: str
    path: Path


@dataclass(frozen=True)
class OpenedGate:
    """A model that is ready to flag cases. part: the gate that its task opened. model, percentile: what it was opened by."""

    part: Any
    model: ModelFolder
    percentile: float | None

    @classmethod
    def at(cls, folder: Path, percentile: float | None, device: str, quiet: bool) -> OpenedGate:
        """Open the gate of a model's folder. Raises AutosegError where its task has no gate, or no score to compare with."""
        from autoseg.inference.checkpoints import require_task

        task = tasks.task_with_gate()
        model = model_folders(folder)[0]
        require_task(model, task.info.name, flag="--gate")
        part = task.gate.open_gate(model, percentile, device)
        if not quiet:
            for line in part.in_words:
                console.show(line)
        return cls(part, model, percentile)

    def flag(
        self, inputs: Sequence[PredictionInput], output: Path, overwrite: bool, quiet: bool, devices: Sequence[str]
    ) -> GateResult:
        """Score every case, into a table; one that has a row by the same gate keeps it. devices: one process for each."""
        reasons = {}
        with console.progress(f"Gate: scoring {many(len(inputs), 'image')}", quiet) as report:
            shares = console.Shares(report, len(inputs))
            cases = spread(inputs, devices, GateOpening(self.model, self.percentile, quiet), shares.progress)
            for row in self.part.flag_files(cases, output, overwrite, shares.progress):
                shares.finish(row.case)
                if row.flagged:
                    reasons[row.case] = row.reason
        flagged = {item.name: reasons[item.name] for item in inputs if item.name in reasons}
        return GateResult(flagged, len(inputs), self.part.threshold.in_words, output / self.part.table)


@dataclass(frozen=True)
class PredictResult:
    """The result of a prediction.

    written: the file of each case (those that were already there included), in the order of the images. failed: reasons by case.
    rows: the rows of the table of all cases, in the same order, where the task has one. extra: further files by case. gate: what
    the gate said, where there was one. made, done: what was made ("3 label file(s)") and what became of an image ("segmented").
    compare_with: what `autoseg evaluate` compares the outputs with, and when; None where nothing does. notes: what the user
    should know. warnings: why the results of cases may be wrong, such as "spacing ...", by case.
    """

    written: dict[str, Path]
    failed: dict[str, str]
    already_there: int
    made: str
    done: str
    compare_with: tuple[str, str] | None = None
    rows: list[Any] = field(default_factory=list)
    extra: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    gate: GateResult | None = None
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def warnings_in_words(self) -> list[str]:
        """Return one sentence for each kind of warning, with the cases that it is about; the numbers are those of the first."""
        kinds: dict[str, dict[str, str]] = {}
        for case, warnings in self.warnings.items():
            for warning in warnings:
                kinds.setdefault(NUMBERS.sub("", warning), {}).setdefault(case, warning)
        said = []
        for cases in kinds.values():
            first, warning = next(iter(cases.items()))
            alike = f" (numbers of case {first})" if len(set(cases.values())) > 1 else ""
            said.append(f"{f'case {first}' if len(cases) == 1 else f'{len(cases)} cases ({some(cases)}){alike}'}: {warning}.")
        return said


def predict_files(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, model: OneOrSeveral = None,
    configuration: OneOrSeveral = None, recipe: OneOrSeveral = None, folds: Sequence[int | str] | None = None,
    overwrite: bool = False, device: str = "auto", workspace: PathLike | None = None, quiet: bool = False, repair: bool = False,
    gpus: int | None = None, **options: Any,
) -> PredictResult:
    """Predict an image or a folder of images, or of DICOM series, into `output`: whatever the models do that are meant.

    The models are those in the folders or zip archives `model`, or those that dataset, configuration and recipe (or the model's
    name) name, each one or several (several make an ensemble, where the task has any); where nothing is named, what find-best
    chose, else the only model in the workspace. options: those of the task (`PredictOptions` in `autoseg.tasks.<task>.options`),
    such as mirroring=False. A case that fails stops no other; what an earlier run of the same models and options made
    stays as it is. output: a folder; or, for one image and models that make one file of it, that file. repair: mend DICOM series
    that lack slices or whose gantry was tilted, rather than refuse them. gpus: spread the cases over the first CUDA devices, or
    over as many processes on the CPU where that is the device.
    Raises AutosegError where models cannot be chosen or opened, or the output folder holds something else.
    """
    source, target = Path(input), Path(output)
    searched = Searched(source, repair)
    is_file = file_ending(target) in ENDINGS and not target.is_dir()
    if is_file:
        require_new_file(source, target, overwrite)
    else:
        _require_elsewhere(searched, [target])
    devices = devices_for(device, gpus)
    opened = _open(dataset, model, configuration, recipe, folds, devices[0], workspace, quiet, options,
                   None if is_file else lambda its: label_cases(its, searched, target / REGIONS, overwrite, devices, quiet))
    inputs, left_out = opened.prediction.inputs(searched), searched.notes()
    if not quiet:
        console.show(f"{many(len(inputs), 'image')} of {source}, into {target}")
    if is_file:
        with folder_for_file(opened.prediction, inputs, target, options) as folder:
            return _one_file(_predict_into(opened, inputs, folder, overwrite, quiet, left_out, devices[:1]), target)
    _require_elsewhere(searched, [target / name for name in opened.prediction.subfolders])
    return _predict_into(opened, inputs, target, overwrite, quiet, left_out, devices)


def label_cases(
    model: Path, cases: Searched | Sequence[PredictionInput], output: Path, overwrite: bool = False,
    devices: Sequence[str] = ("auto",), quiet: bool = False,
) -> Path:
    """Predict the label files that other models look at, with a model's folder or archive, into a folder; return that.

    Cases that fail are named; that they have no label file is for others to say. Raises AutosegError as `predict_files`.
    """
    opened = _open(None, [model], None, None, None, devices[0], None, quiet, {})
    inputs = opened.prediction.inputs(cases) if isinstance(cases, Searched) else cases
    if not quiet:
        console.show(f"First, what is looked at: {many(len(inputs), 'image')}, into {output}")
    result = _predict_into(opened, inputs, output, overwrite, quiet, (), devices)
    if not quiet:
        console.show_all(f"Warning: case {case}: {reason}" for case, reason in result.failed.items())
    return output


def _predict_into(
    opened: _Opened, inputs: Sequence[PredictionInput], output: Path, overwrite: bool, quiet: bool, left_out: Sequence[str],
    devices: Sequence[str],
) -> PredictResult:
    """Predict images into a folder. left_out: what else lies with them, for the notes. devices: one process for each."""
    opened.prediction.outputs(output, overwrite)  # before the gate takes its time
    if len(devices) > 1 and not quiet:
        console.show(f"Spread over {len(devices)} processes, each with its own copy of the models: {', '.join(devices)}")
    gated = None if opened.gate is None else opened.gate.flag(inputs, output, overwrite, quiet, devices)
    found, failed = dict[str, Any](), {}
    with console.progress(f"{opened.prediction.doing} {many(len(inputs), 'image')}", quiet) as report:
        shares = console.Shares(report, len(inputs))
        opening = Opening(opened.chosen, opened.folds, opened.options, output, overwrite, quiet)
        cases = spread(inputs, devices, opening, shares.progress)
        for outcome in opened.prediction.predict_files(cases, output, overwrite, shares.progress):
            shares.finish(outcome.item.name)
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
            else:
                found[outcome.item.name] = outcome.value
    made = {item.name: found[item.name] for item in inputs if item.name in found}  # earlier outputs came first
    rows = [one.row for one in made.values() if one.row is not None]
    extra = {name: one.extra for name, one in made.items() if one.extra is not None}
    table = opened.prediction.table(rows) if rows else None
    if table is not None and not quiet:
        console.show(table)
    notes = [*left_out, *(f"Warning: {failing}." for failing in opened.failings), *opened.prediction.notes(rows)]
    return PredictResult(
        {name: one.path for name, one in made.items()}, failed, sum(one.was_there for one in made.values()),
        opened.prediction.made(len(made), len(extra)), opened.prediction.done, opened.prediction.compare_with, rows, extra, notes,
        gated, {name: one.warnings for name, one in made.items() if one.warnings})


def _one_file(result: PredictResult, target: Path) -> PredictResult:
    """Move the only file that was written to its place."""
    for written in result.written.values():
        with atomic_path(target) as temporary:
            shutil.copyfile(written, temporary)
    return replace(result, written=dict.fromkeys(result.written, target), compare_with=None)


def _require_elsewhere(searched: Searched, outputs: Sequence[Path]) -> None:
    """Raise AutosegError where an image lies in a folder that is written into: a prediction could take the place of its image.
    Links are followed."""
    source = searched.path
    series = searched.files() if source.is_dir() else []
    images = [*layouts.image_files(source), *series] if source.is_dir() else [source]
    places = {folder.resolve() for folder in outputs}
    if series and source.resolve() in places:  # what is written there would be taken for images by the next command
        raise AutosegError(f"{source} holds the images that are to be predicted, in folders below. Choose another folder.")
    for image in images:
        if places & {image.parent.resolve(), image.resolve().parent}:
            raise AutosegError(f"{image.parent} holds the images that are to be predicted ({image.name}), and would be written "
                               "into. Choose another folder with -o: prediction leaves its input as it is.")


def open_prediction(
    dataset: PathLike | None, model: OneOrSeveral, configuration: OneOrSeveral, recipe: OneOrSeveral,
    folds: Sequence[int | str] | None, device: str, workspace: PathLike | None, options: dict[str, Any],
) -> Prediction:
    """Return models that are chosen as in `predict_files`, ready to predict, and say nothing."""
    return _open(dataset, model, configuration, recipe, folds, device, workspace, True, options, _refuse_to_label).prediction


def _refuse_to_label(model: Path) -> Path:
    raise AutosegError(f"{model} is a model, which segments files alone. For images in memory, give the folder of label files.")


def next_prediction(
    dataset: PathLike, configuration: str | None = None, recipe: str = "default", workspace: PathLike | None = None
) -> str:
    """Return the command line that does to new images what a dataset's model does. configuration, recipe: where nothing is
    chosen."""
    place = Workspace.at(workspace)
    folder = in_workspace(str(dataset), place)
    for task in tasks.TASKS:
        if configuration in (None, *task.info.configurations):
            name = configuration or task.info.usual_configuration
            if task_of(folder.model(name, recipe)) == task.info.name:
                return prediction_command(folder, task.info, tasks.task_infos(), name, recipe)
    default = tasks.default_task()
    folder = planned_for(dataset, place, default)
    return prediction_command(
        folder, default.info, tasks.task_infos(), configuration or default_configuration(folder, default), recipe)


@dataclass(frozen=True)
class _Opened:
    """Models that are ready. chosen, folds, options: what they were opened by."""

    prediction: Prediction
    gate: OpenedGate | None
    failings: tuple[str, ...]
    chosen: Chosen
    folds: Sequence[str] | None
    options: Any


def _open(
    dataset: PathLike | None, model: OneOrSeveral, configuration: OneOrSeveral, recipe: OneOrSeveral,
    folds: Sequence[int | str] | None, device: str, workspace: PathLike | None, quiet: bool, given: dict[str, Any],
    label: Callable[[Path], Path] | None = None,
) -> _Opened:
    """Choose the models, check the options, and make all ready. label: makes the label files that an option takes with a model
    that is given in their place."""
    chosen = choose_models(Workspace.at(workspace), dataset, model, configuration, recipe)
    task = tasks.task_of(chosen.task)
    options = _options(task, given)
    if label is not None:
        options = with_label_files(options, label)
    folds = None if folds is None else several(list(map(str, folds)))
    prediction = task.prediction.open_models(chosen, folds, options, device, apply_rules_later)
    if not quiet:
        console.show(prediction.in_words(chosen))
        if chosen.note:
            console.show(f"Note: {chosen.note}")
    gate = getattr(options, "gate", None)
    if gate is None and getattr(options, "gate_percentile", None) is not None:
        raise AutosegError("--gate-percentile is of --gate, which names a model's "
                           "folder. Give both, or leave it out.")
    failings = [failings_of(task, member) for member in chosen.members]
    common = tuple(failing for failing in failings[0] if all(failing in its for its in failings))
    return _Opened(prediction, None if gate is None else OpenedGate.at(gate, options.gate_percentile, device, quiet), common,
                   chosen, folds, options)


def choose_models(
    place: Workspace, dataset: PathLike | None, model: OneOrSeveral, configuration: OneOrSeveral, recipe: OneOrSeveral
) -> Chosen:
    """Return the models that are meant, with their post-processing; see `predict_files`, whose arguments these are."""
    from autoseg.inference.choice import choose_members, resolve_task

    infos, configurations, recipes = tasks.task_infos(), several(configuration), several(recipe)
    models, told = named_models(several(model), configurations, recipes)
    folders = [named.root for named in models]
    if told:  # which models of an archive are meant
        configurations, recipes = [], []
    name = None if dataset is None else in_workspace(str(dataset), place).name
    info = resolve_task(infos, place, name, folders, configurations, recipes, tasks.tasks_of_recipes())
    if dataset is not None and not folders and not finished_models(in_workspace(str(dataset), place), info):
        planned_for(dataset, place, tasks.task_of(info))
    chosen = choose_members(info, infos, place, name, folders, configurations, recipes)
    return replace(chosen, members=tuple(models)) if models else chosen


def _options(task: Task, given: dict[str, Any]) -> Any:
    its = {name: value for name, value in given.items() if value is not None}
    require_known({other.info: other.predict_options for other in tasks.TASKS}, task.info, its,
                  "name another model with -c, -tr or -m")
    return options_from(task.predict_options, its)
