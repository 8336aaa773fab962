"""Paths of the workspace: where each artefact is stored, and how it is read. Nothing else builds a path inside the workspace."""

from __future__ import annotations

import errno
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from autoseg.errors import AutosegError, system_error
from autoseg.files import NOT_UTF8, parse_json, read_text_file
from autoseg.names import name_fault
from autoseg.task import TaskInfo

ModelType = TypeVar("ModelType", bound=BaseModel)
PLANS = "plans*.json"  # plans of any task
MODEL_REMEDY = "Remove it: autoseg run, or autoseg_train with --continue, writes it again."
SPLITS_REMEDY = "Correct it, or remove it to have it made anew."


@dataclass(frozen=True)
class Workspace:
    """The folder that holds all that autoseg makes: --workspace, else $AUTOSEG_WORKSPACE, else ./autoseg_workspace."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None) -> Workspace:
        """Return that folder. Raises AutosegError where the path leads nowhere, or to a file."""
        root = Path(path or os.environ.get("AUTOSEG_WORKSPACE") or "autoseg_workspace")
        try:
            if root.exists() and not root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "", str(root))
            root.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise AutosegError(f"The workspace cannot be used: {system_error(error) or error}") from error
        return cls(root)

    def dataset(self, name: str) -> DatasetFolder:
        return DatasetFolder(self.root / name)

    def datasets(self) -> list[DatasetFolder]:
        """Return every dataset that has been planned here or has a model here, such as an imported one, by name."""
        with_models = {DatasetFolder(path.parents[3]) for path in self.root.glob("*/models/*/*/model.json")}
        return sorted({*self.planned_datasets(), *with_models}, key=lambda folder: folder.name)

    def planned_datasets(self) -> list[DatasetFolder]:
        """Return every dataset that has been planned here, for whatever task, by name."""
        return [DatasetFolder(root) for root in sorted({path.parent for path in self.root.glob(f"*/{PLANS}")})]


@dataclass(frozen=True)
class DatasetFolder:
    """One dataset's folder in the workspace."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def workspace_flags(self) -> list[str]:
        """Return `--workspace DIR`, or nothing where commands that are typed here and now find this workspace by themselves."""
        root = self.root.resolve().parent
        return [] if Workspace.at(None).root.resolve() == root else ["--workspace", str(root)]

    @property
    def dataset_json(self) -> Path:
        return self.root / "dataset.json"

    @property
    def fingerprint_json(self) -> Path:
        return self.root / "fingerprint.json"

    @property
    def plans_json(self) -> Path:
        return self.root / "plans.json"

    def plans_of(self, task: TaskInfo) -> Path:
        """Return the file of what was planned for this task."""
        return self.root / task.plans_file

    @property
    def splits_json(self) -> Path:
        return self.root / "splits.json"

    def splits_of(self, task: TaskInfo) -> Path:
        """Return the file of the folds of this task's models."""
        return self.root / task.splits_file

    @property
    def findings_json(self) -> Path:
        """Return the file of what the checks found when the dataset was planned."""
        return self.root / "findings.json"

    @property
    def digests_json(self) -> Path:
        """Return the file of the digests of images, labels and weights, which saves reading them again."""
        return self.root / "digests.json"

    def best_of(self, task: TaskInfo) -> Path:
        """Return the file of the models of a task that were chosen to predict."""
        return self.root / f"best{task.suffix}.json"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    def run_of(self, task: TaskInfo) -> Path:
        """Return the file that says how long each step of `autoseg run` for this task took."""
        return self.root / f"run{task.suffix}.json"

    def jobs_of(self, task: TaskInfo) -> JobsFolder:
        """Return the folder of the jobs of `autoseg run` for this task, where they run side by side or on a cluster."""
        return JobsFolder(self.root / f"jobs{task.suffix}")

    def lock_of(self, doing: str) -> Path:
        """Return the file that is locked while a process does something with the whole dataset, such as "planning"."""
        return self.root / f"{doing}.lock"

    def preprocessed(self, configuration: str) -> Path:
        return self.root / "preprocessed" / configuration

    def model(self, configuration: str, recipe: str) -> ModelFolder:
        return ModelFolder(self.root / "models" / configuration / recipe)

    def ensemble(self, name: str) -> Path:
        """Return the folder of an ensemble's validation predictions, all folds together. name: such as "2d + 3d_fullres"."""
        return self.root / "ensembles" / re.sub(r"[^\w+.-]+", "_", name.replace(" ", ""))

    @property
    def ways(self) -> Path:
        """Return the folder of what was measured of cheaper ways to predict with the chosen members, case by case."""
        return self.root / "ways"

    @property
    def postprocessed(self) -> Path:
        """Return the folder of the chosen members' validation predictions after the chosen post-processing."""
        return self.root / "postprocessed"

    def models(self) -> list[ModelFolder]:
        """Return every model of this dataset that has a description, sorted by configuration and recipe."""
        return [ModelFolder(path.parent) for path in sorted(self.root.glob("models/*/*/model.json"))]

    def models_of(self, task: TaskInfo) -> list[ModelFolder]:
        """Return those of `models` that do this task.

        A model whose model.json is damaged or says no task is known by its configuration.
        """
        return [model for model in self.models() if _is_of(model, task)]


@dataclass(frozen=True)
class JobsFolder:
    """The jobs of a run: what there is to do, and of each job, by its name, a log, a record, and what a cluster knows it by."""

    root: Path

    @property
    def graph_json(self) -> Path:
        """Return the file of all jobs and what they need, which `autoseg run` alone writes."""
        return self.root / "graph.json"

    @property
    def submit_script(self) -> Path:
        """Return the script that submits all jobs that were printed."""
        return self.root / "submit.sh"

    @property
    def submitit(self) -> Path:
        """Return the folder of submitit's own files."""
        return self.root / "submitit"

    def log(self, name: str) -> Path:
        return self.root / f"{short_name(name)}.log"

    def record_json(self, name: str) -> Path:
        """Return the file of where and how a job runs or ran, which the job alone writes."""
        return self.root / f"{short_name(name)}.json"

    def id_file(self, name: str) -> Path:
        """Return the file of the number under which a job was submitted last."""
        return self.root / f"{short_name(name)}.id"

    def script(self, name: str) -> Path:
        """Return the sbatch script of a job that was printed."""
        return self.root / f"{short_name(name)}.sh"


def short_name(name: str) -> str:
    """Return a job's name for files and queues, such as "2d_default_fold_0"."""
    return re.sub(r"[^\w+.-]+", "_", name)


@dataclass(frozen=True)
class ModelFolder:
    """A model: folds of one configuration and recipe. given: what a user named it by, where that is not its folder."""

    root: Path
    given: Path | None = field(default=None, compare=False)

    @property
    def shown(self) -> Path:
        """Return the path that a user knows it by."""
        return self.given or self.root

    @property
    def configuration(self) -> str:
        return self.root.parent.name

    @property
    def recipe(self) -> str:
        return self.root.name

    @property
    def model_json(self) -> Path:
        return self.root / "model.json"

    @property
    def best_json(self) -> Path:
        """Return the file of find-best's choice where that has this model: post-processing goes where the model goes."""
        return self.root / "best.json"

    @property
    def is_imported(self) -> bool:
        """Tell whether a finished fold came from elsewhere: neither its cases nor its validation are here."""
        folds = map(self.fold, self.finished_folds())
        return any(not (fold.cases_json.exists() or fold.validation.exists()) for fold in folds)

    @property
    def dataset(self) -> DatasetFolder:
        """Return the dataset in whose folder the model is stored."""
        return DatasetFolder(self.root.parents[2])

    @property
    def summary_json(self) -> Path:
        """Return the file of the cross-validation: validation cases of all folds together."""
        return self.root / "summary.json"

    def beside(self, configuration: str) -> ModelFolder:
        """Return the model of the same recipe, or name, and another configuration."""
        return ModelFolder(self.root.parents[1] / configuration / self.root.name)

    def fold(self, fold: int | str) -> FoldFolder:
        return FoldFolder(self.root / f"fold_{fold}")

    def finished_folds(self) -> list[str]:
        """Return the folds with final weights: "0".."4", "all"; sorted."""
        found = self.root.glob("fold_*/checkpoint_final.safetensors")
        return sorted(path.parent.name.removeprefix("fold_") for path in found)

    def begun_folds(self) -> list[str]:
        """Return the folds with a state to go on from, or final weights; sorted."""
        found = self.root.glob("fold_*/training_state.pt")
        return sorted({path.parent.name.removeprefix("fold_") for path in found} | set(self.finished_folds()))


@dataclass(frozen=True)
class FoldFolder:
    """One fold of a model."""

    root: Path

    @property
    def lock(self) -> Path:
        """Return the file that is locked while the fold is trained: beside the folder, which --restart removes."""
        return self.root.with_name(f"{self.root.name}.lock")

    @property
    def checkpoint_final(self) -> Path:
        return self.root / "checkpoint_final.safetensors"

    @property
    def checkpoint_best(self) -> Path:
        return self.root / "checkpoint_best.safetensors"

    @property
    def training_state(self) -> Path:
        return self.root / "training_state.pt"

    @property
    def cases_json(self) -> Path:
        """Return the file that lists the cases that the fold trains and validates on, as they were when it began."""
        return self.root / "cases.json"

    @property
    def training_json(self) -> Path:
        """Return the file that holds the settings and the machine of the fold's training."""
        return self.root / "training.json"

    @property
    def previous_json(self) -> Path:
        """Return the file that names the weights of the previous stage, where the fold goes on from its predictions."""
        return self.root / "previous_stage.json"

    def for_stage(self, configuration: str) -> Path:
        """Return the folder of the validation cases' predictions on the grid of a configuration that goes on from them."""
        return self.root / "next_stage" / configuration

    @property
    def log_jsonl(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def progress_png(self) -> Path:
        return self.root / "progress.png"

    @property
    def validation(self) -> Path:
        return self.root / "validation"

    def validated(self, name: str) -> Path:
        """Return a file that a task writes of the validation cases, by its name."""
        return self.validation / name

    @property
    def summary_json(self) -> Path:
        """Return the file of this fold's validation cases, the last that a finished fold writes."""
        return self.validation / "summary.json"


def described(model: ModelFolder) -> dict[str, Any]:
    """Return what model.json says, whatever version wrote it; {} where there is none. Raises AutosegError as `read_json`."""
    content = read_json(model.model_json, MODEL_REMEDY) if model.model_json.exists() else {}
    return content if isinstance(content, dict) else {}


def task_of(model: ModelFolder) -> str:
    """Return the name of the model's task, as model.json says it; "" where it says none. Raises AutosegError as `read_json`."""
    return str(described(model).get("task") or "")


def previous_stage(model: ModelFolder) -> ModelFolder | None:
    """Return the model that a cascade's second stage needs, whether it is there or not; None for any other model."""
    content: Any = described(model)
    for key in ("plans", "configurations", content.get("configuration_name"), "previous_stage"):
        content = content.get(key) if isinstance(content, dict) else None
    if not isinstance(content, str) or name_fault(content):
        return None
    return model.beside(content)


def finished_models(folder: DatasetFolder, task: TaskInfo | None = None) -> tuple[ModelFolder, ...]:
    """Return the models of a dataset that have a finished fold, of one task or of all."""
    return tuple(model for model in (folder.models_of(task) if task else folder.models()) if model.finished_folds())


def _is_of(model: ModelFolder, task: TaskInfo) -> bool:
    try:
        name = task_of(model)
    except AutosegError:
        name = ""
    return name == task.name if name else model.configuration in task.configurations


def read_json(path: Path, remedy: str = "") -> Any:
    """Return the content of a JSON file.

    remedy: what to do where the file is damaged, a sentence (see `Frozen.remedy`). Raises AutosegError where the file is missing
    or is not JSON, or not such as `files.parse_json` takes.
    """
    try:
        text = read_text_file(path)
        if "\0" in text[:2] and text.strip("\0"):  # UTF-16 without a mark at the start
            raise AutosegError(NOT_UTF8.format(file=path))
        return parse_json(text)
    except UnicodeDecodeError as error:
        raise AutosegError(f"{NOT_UTF8.format(file=path)}{_remedy_for(path, remedy)}") from error
    except ValueError as error:
        raise AutosegError(f"{path} is not valid JSON ({error}).{_remedy_for(path, remedy)}") from error


def read_model(path: Path, model: type[ModelType]) -> ModelType:
    """Return a validated model from a JSON file.

    Raises AutosegError that names each entry that does not fit, and says what to do where the model has a `remedy`.
    """
    remedy = getattr(model, "remedy", "")
    content = read_json(path, remedy)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()[:5])
        raise AutosegError(f"{path} does not fit what this version of autoseg expects: {wrong}."
                           f"{_remedy_for(path, remedy)}") from error


def _remedy_for(path: Path, remedy: str) -> str:
    """Return the remedy with a space before it and {dataset} filled in; "" where that is needed and no dataset holds the file."""
    if "{dataset}" in remedy:
        folder = next((DatasetFolder(parent) for parent in path.absolute().parents if any(parent.glob(PLANS))), None)
        remedy = remedy.replace("{dataset}", shlex.join([folder.name, *folder.workspace_flags])) if folder else ""
    return f" {remedy}" if remedy else ""
