"""Where each artefact lies, and how files come to be there whole. Nothing else builds a path inside the workspace."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from autoseg.errors import AutosegError
from autoseg.files import TEMPORARY_PREFIX, atomic_path, disk_error, readable_json, remove_leftovers, write_json, write_text  # noqa: F401
from autoseg.kinds import ANOMALY, KINDS, LOCATION, Kind, kind_of

ModelType = TypeVar("ModelType", bound=BaseModel)
PLANS = ("plans.json", *(f"plans_{kind.task}.json" for kind in KINDS))


@dataclass(frozen=True)
class Workspace:
    """The folder that holds all that autoseg makes: --workspace, else $AUTOSEG_WORKSPACE, else ./autoseg_workspace."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None) -> Workspace:
        return cls(Path(path or os.environ.get("AUTOSEG_WORKSPACE") or "autoseg_workspace"))

    def dataset(self, name: str) -> DatasetFolder:
        return DatasetFolder(self.root / name)

    def planned_datasets(self) -> list[DatasetFolder]:
        """Every dataset that has been planned here, for whatever kind of model, by name."""
        planned = {path.parent for name in PLANS for path in self.root.glob(f"*/{name}")}
        return [DatasetFolder(root) for root in sorted(planned)]


@dataclass(frozen=True)
class DatasetFolder:
    """One dataset's folder in the workspace."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def workspace_flags(self) -> list[str]:
        """`--workspace DIR`, or nothing where commands that are typed here and now find this workspace by themselves."""
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

    @property
    def slices_json(self) -> Path:
        """How its images become slices (see `autoseg.tasks.anomaly.plan`); independent of plans.json."""
        return self.plans_of(ANOMALY)

    @property
    def projection_json(self) -> Path:
        """How its volumes become projections (see `autoseg.tasks.localization.plan`); independent of plans.json."""
        return self.plans_of(LOCATION)

    def plans_of(self, kind: Kind | None) -> Path:
        """What was planned for models of this kind; None for those that segment."""
        return self.root / f"plans_{kind.task}.json" if kind else self.plans_json

    @property
    def splits_json(self) -> Path:
        return self.root / "splits.json"

    def splits_of(self, kind: Kind | None) -> Path:
        """Folds of models of this kind, whose cases need not be those that can be segmented; None for those that segment."""
        return self.root / f"splits_{kind.task}.json" if kind else self.splits_json

    @property
    def findings_json(self) -> Path:
        """What the checks found when the dataset was planned."""
        return self.root / "findings.json"

    @property
    def best_json(self) -> Path:
        return self.root / "best.json"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def run_json(self) -> Path:
        """How long each step of `autoseg run` took."""
        return self.root / "run.json"

    def preprocessed(self, configuration: str) -> Path:
        return self.root / "preprocessed" / configuration

    def model(self, configuration: str, recipe: str) -> ModelFolder:
        return ModelFolder(self.root / "models" / configuration / recipe)

    def ensemble(self, name: str) -> Path:
        """Validation predictions of an ensemble, all folds together. name: such as "2d + 3d_fullres"."""
        return self.root / "ensembles" / re.sub(r"[^\w+.-]+", "_", name.replace(" ", ""))

    @property
    def postprocessed(self) -> Path:
        """Validation predictions of the chosen members after the chosen post-processing."""
        return self.root / "postprocessed"

    def models(self) -> list[ModelFolder]:
        """Every segmentation model of this dataset that has a description, sorted by configuration and recipe."""
        found = [ModelFolder(path.parent) for path in sorted(self.root.glob("models/*/*/model.json"))]
        return [model for model in found if kind_of(model.configuration) is None]

    def models_of(self, kind: Kind) -> list[ModelFolder]:
        """Every model of this kind that this dataset has and that has a description, sorted by name."""
        return [ModelFolder(path.parent) for path in sorted(self.root.glob(f"models/{kind.configuration}/*/model.json"))]


@dataclass(frozen=True)
class ModelFolder:
    """Folds of one configuration and recipe."""

    root: Path

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
    def splits_json(self) -> Path:
        """Which cases its folds train and validate on."""
        return DatasetFolder(self.root.parents[2]).splits_of(kind_of(self.configuration))

    @property
    def summary_json(self) -> Path:
        """The cross-validation: validation cases of all folds together."""
        return self.root / "summary.json"

    def fold(self, fold: int | str) -> FoldFolder:
        return FoldFolder(self.root / f"fold_{fold}")

    def finished_folds(self) -> list[str]:
        """Folds with final weights: "0".."4", "all"; sorted."""
        found = self.root.glob("fold_*/checkpoint_final.safetensors")
        return sorted(path.parent.name.removeprefix("fold_") for path in found)

    def begun_folds(self) -> list[str]:
        """Folds with a state to go on from, or final weights; sorted."""
        found = self.root.glob("fold_*/training_state.pt")
        return sorted({path.parent.name.removeprefix("fold_") for path in found} | set(self.finished_folds()))


@dataclass(frozen=True)
class FoldFolder:
    """One fold of a model."""

    root: Path

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
        """Which cases it trains and validates on, as they were when it began."""
        return self.root / "cases.json"

    @property
    def log_jsonl(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def progress_png(self) -> Path:
        return self.root / "progress.png"

    @property
    def validation(self) -> Path:
        return self.root / "validation"

    @property
    def scores_csv(self) -> Path:
        """A detector's scores of its validation cases."""
        return self.validation / "scores.csv"

    @property
    def slice_scores_csv(self) -> Path:
        return self.validation / "slice_scores.csv"

    def panels_png(self, case: str) -> Path:
        """Real, generated and difference of a validation case."""
        return self.validation / "panels" / f"{case}.png"

    def samples_png(self, epochs_done: int) -> Path:
        """What a detector's generator gave after so many epochs."""
        return self.samples / f"epoch_{epochs_done:05d}.png"

    @property
    def locations_csv(self) -> Path:
        """What a locator answered of its validation cases, and what is true."""
        return self.validation / "locations.csv"

    def picture_png(self, case: str) -> Path:
        """The projection of a validation case with the found line and the true one."""
        return self.validation / "pictures" / f"{case}.png"

    @property
    def samples(self) -> Path:
        return self.root / "samples"

    @property
    def summary_json(self) -> Path:
        """Of this fold's validation cases; the last thing that a finished fold writes."""
        return self.validation / "summary.json"


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises AutosegError where it is missing or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors put a mark at the start
    except FileNotFoundError as error:
        raise AutosegError(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise AutosegError(f"{path} cannot be read: {error}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise AutosegError(f"{path} is not valid JSON ({where}).{how_to_mend(path)}") from error


def read_model(path: Path, model: type[ModelType]) -> ModelType:
    """A validated model from a JSON file. Raises AutosegError that names each entry that does not fit."""
    content = read_json(path)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()[:5])
        raise AutosegError(f"{path} does not fit what this version of autoseg expects: {wrong}.{how_to_mend(path)}") from error


def how_to_mend(path: Path) -> str:
    """What to do where a file that autoseg made is damaged or of another version, with a space before it; "" for others."""
    dataset = _dataset_and_workspace(path.parent)
    plan, train = "autoseg_plan_and_preprocess", "autoseg run, or autoseg_train with --continue,"
    if path.name == "dataset.json":
        is_planned = any((path.parent / name).exists() for name in PLANS)
        return f" To make it anew: {plan} with the path of your dataset." if is_planned else ""
    if path.name == "summary.json":
        made_by = train if path.parent.name == "validation" else "autoseg find-best"
        return f" Remove it: {made_by} makes it again from the predictions that are there."
    if path.parent.parent.name == "preprocessed":
        kind = kind_of(path.parent.name)
        again = " ".join([plan, _dataset_and_workspace(path.parents[2]), *(kind.planner_flags if kind else ())])
        return f" Remove it: {again} makes it again."
    if kind := next((kind for kind in KINDS if path.name == f"plans_{kind.task}.json"), None):
        return f" To make it anew: {' '.join([plan, dataset, *kind.planner_flags])}"
    if path.name.startswith("splits") and path.suffix == ".json":
        return " Correct it, or remove it to have it made anew."
    remedies = {
        "plans.json": f"To make it anew: {plan} {dataset}", "fingerprint.json": f"To make it anew: {plan} {dataset}",
        "findings.json": f"To make it anew: {plan} {dataset}",
        "best.json": f"To make it anew: autoseg find-best {dataset}",
        "run.json": "Remove it: it says no more than how long each step took.",
        "model.json": f"Remove it: {train} writes it again.",
        "cases.json": "Begin this fold anew with --restart.",
    }
    return f" {remedies[path.name]}" if path.name in remedies else ""


def _dataset_and_workspace(folder: Path) -> str:
    """As a shell takes them."""
    return shlex.join([folder.name, *DatasetFolder(folder).workspace_flags])
