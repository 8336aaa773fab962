"""Artefacts of a dataset's segmentation models: their cross-validation, and what find-best chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autoseg.best import Best, Member, member_of, model_name
from autoseg.commands import command_line
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import USUAL_FOLDS
from autoseg.evaluation.summary import Summary, pooled_summary
from autoseg.plan import Plans
from autoseg.reporting.artefacts import ModelArtefacts, count_folds, model_if_there, read_models
from autoseg.reporting.parts import MissingStep, missing_of
from autoseg.tasks.segmentation import INFO
from autoseg.workspace import DatasetFolder, ModelFolder, read_model


class Description(BaseModel):
    """The content of model.json that the page shows. plans: None where it says nothing of them."""

    recipe: str = ""
    settings: dict[str, Any] = {}
    flags: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    plans: Plans | None = None
    mirror_axes: tuple[int, ...] = ()
    swap_axes: tuple[int, ...] = ()
    swapped: tuple[tuple[str, str], ...] = ()


Model = ModelArtefacts[Description, Summary, Summary]


@dataclass(frozen=True)
class SegmentationArtefacts:
    """The artefacts that were found. best: what find-best chose. ensemble: validation of the chosen ensemble. postprocessed:
    validation of the choice after its rules. troubles: damaged files, in words."""

    folder: DatasetFolder
    plans: Plans
    dataset: Dataset | None
    fold_count: int
    models: Sequence[Model]
    best: Best | None
    ensemble: Summary | None
    postprocessed: Summary | None
    troubles: list[str]

    @cached_property
    def is_outdated(self) -> bool:
        """Tell whether find-best chose for other weights than those of today. Reads all weights."""
        return not all(_is_of_today(self.folder, member) for member in (self.best.members if self.best else ()))


@dataclass(frozen=True)
class BestResult:
    """The validation of what prediction uses. name: of a model or ensemble. is_final: whether find-best chose it and its rules
    are applied; otherwise it is the best result so far."""

    name: str
    summary: Summary
    is_final: bool


def read_artefacts(folder: DatasetFolder) -> SegmentationArtefacts:
    """Read everything about segmentation. Raises AutosegError where the plans are damaged; notes other damage."""
    plans, troubles = read_model(folder.plans_json, Plans), list[str]()
    best = model_if_there(troubles, folder.best_of(INFO), Best)
    fold_count = count_folds(folder.splits_of(INFO), troubles) or USUAL_FOLDS
    return SegmentationArtefacts(
        folder, plans, model_if_there(troubles, folder.dataset_json, Dataset), fold_count,
        read_models(
            folder.models_of(INFO), fold_count, troubles, description=Description, summarize=pooled_summary,
            read_results=lambda fold, troubles: _summary(troubles, fold.validation),
            name_of=lambda model: model_name(model.configuration, model.recipe)),
        best, _summary(troubles, folder.ensemble(best.name)) if best and len(best.members) > 1 else None,
        _summary(troubles, folder.postprocessed) if best and best.postprocessing else None, troubles)


def _summary(troubles: list[str], folder: Path) -> Summary | None:
    """Return the summary.json beside predictions, which it then finds where the workspace is stored now."""
    summary = model_if_there(troubles, folder / "summary.json", Summary)
    if summary is None:
        return None
    return summary.model_copy(update={"metric_per_case": tuple(
        case.model_copy(update={"prediction_file": str(folder / Path(case.prediction_file).name)})
        for case in summary.metric_per_case)})


def _is_of_today(folder: DatasetFolder, member: Member) -> bool:
    try:
        return member_of(folder.model(member.configuration, member.recipe), member.weights) == member
    except AutosegError:
        return False  # a fold is gone


def best_result(found: SegmentationArtefacts) -> BestResult | None:
    """Return the result of the choice, or without one, of the model with the highest mean Dice; None without any validation."""
    if found.best is not None:
        name = found.best.name
        if found.postprocessed is not None:
            return BestResult(f"{name}, post-processed", found.postprocessed, True)
        before = found.ensemble or next((model.summary for model in found.models if model.name == name), None)
        if before is not None:
            return BestResult(name, before, not found.best.postprocessing)
    validated = [(model, model.summary) for model in found.models if model.summary is not None]
    if not validated:
        return None
    model, summary = max(validated, key=lambda entry: entry[1].foreground_mean.get("Dice", float("nan")))
    return BestResult(model.name, summary, False)


def best_model(found: SegmentationArtefacts) -> ModelFolder | None:
    """Return a model with final weights: that of the best result, where it has some; None as long as nothing is trained."""
    usable = [model for model in found.models if model.folder.finished_folds()]
    best = best_result(found)
    named = (model.folder for model in usable if best is not None and model.name == best.name)
    return next(named, usable[0].folder if usable else None)


def missing_steps(found: SegmentationArtefacts) -> list[MissingStep]:
    """Return everything that a finished job has and this one lacks, in the order in which it is made."""
    if not found.models:
        folds = [str(number) for number in range(found.fold_count)]
        return [MissingStep("No model has been trained yet", command_line(found.folder, "autoseg_train", *folds))]
    steps = [step for model in found.models for step in missing_of(found.folder, model)]
    choose = command_line(found.folder, "autoseg find-best")
    if found.is_outdated:
        steps.append(MissingStep("The choice was made for other weights than those there are now", choose))
    if found.best is None:
        steps.append(MissingStep("Nothing has been chosen yet (models are compared once their folds are complete)", choose))
    return steps
