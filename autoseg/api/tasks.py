"""TASKS: what models can do, one row each. A new task is a folder in each wing and a row here; the verbs stay as they are.

The parts of a row are modules, imported when they are first used (torch takes seconds). What each of them offers:

    planner     SUMMARIES, prepare, measure, findings, plan, chosen, counts          planners/<task>/
    store       doing, case_origin, preprocess                                      autoseg/tasks/<task>/store.py
    trainer     SETTINGS, RECIPES, defaults, load_data, check, check_begun, steps    trainers/<task>/
    prediction  open_models                                                         autoseg/tasks/<task>/prediction.py
    evaluation  holds (but of the default task), evaluate, pooled, shown, result,
                failings, SUMMARY                                                    autoseg/tasks/<task>/evaluation.py
    report      task_report                                                         autoseg/tasks/<task>/report/
    gate        open_gate: a task whose models can flag images before others see them
    ensembles   compare_models, references: a task whose models can be averaged
    ways        measure_ways: of such a task that writes label files, cheaper ways to predict
    foreign     find_models, take: a task that takes over models of other programs
    exports     FORMATS, PIPELINE_TAG, facts, results                               autoseg/tasks/<task>/exports
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import api as verbs
from autoseg.errors import AutosegError, did_you_mean
from autoseg.options import Flag, flags_of
from autoseg.plan import Frozen, Plans
from autoseg.task import TaskInfo
from autoseg.tasks import anomaly, classification, localization, segmentation
from autoseg.tasks.anomaly import options as anomaly_options
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.classification import options as classification_options
from autoseg.tasks.classification.plan import ClassPlans
from autoseg.tasks.localization import options as localization_options
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.segmentation import options as segmentation_options

if TYPE_CHECKING:
    from autoseg.trainers.recipe import Recipe


class Part:
    """A module that is imported when one of its names is first used."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._module), name)


@dataclass(frozen=True)
class Task:
    """A task: what a model does, and the parts that plan, store, train, predict, evaluate and report it (see above).

    plans: the model of what planning decides. plan_options, predict_options, evaluate_options: the models of what a user may ask
    of each; the flags of the command line come from them.
    """

    info: TaskInfo
    plans: type[Frozen]
    plan_options: type[Frozen]
    predict_options: type[Frozen]
    evaluate_options: type[Frozen]
    planner: Any
    store: Any
    trainer: Any
    prediction: Any
    evaluation: Any
    report: Any
    gate: Any = None
    ensembles: Any = None
    ways: Any = None
    foreign: Any = None
    exports: Any = None


TASKS: tuple[Task, ...] = (
    Task(
        segmentation.INFO, Plans, segmentation_options.PlanOptions, segmentation_options.PredictOptions,
        segmentation_options.EvaluateOptions, planner=Part("autoseg.planners.segmentation"),
        store=Part("autoseg.tasks.segmentation.store"), trainer=Part("autoseg.trainers.segmentation"),
        prediction=Part("autoseg.tasks.segmentation.prediction"), evaluation=Part("autoseg.tasks.segmentation.evaluation"),
        report=Part("autoseg.tasks.segmentation.report"), ensembles=Part("autoseg.tasks.segmentation.ensembles"),
        ways=Part("autoseg.tasks.segmentation.ways"),
        foreign=Part("autoseg.tasks.segmentation.nnunet.reading"), exports=Part("autoseg.tasks.segmentation.exports")),
    Task(
        anomaly.INFO, SlicePlans, anomaly_options.PlanOptions, anomaly_options.PredictOptions, Frozen,
        planner=Part("autoseg.planners.anomaly"), store=Part("autoseg.tasks.anomaly.store"),
        trainer=Part("autoseg.trainers.anomaly"), prediction=Part("autoseg.tasks.anomaly.prediction"),
        evaluation=Part("autoseg.tasks.anomaly.evaluation"), report=Part("autoseg.tasks.anomaly.report"),
        gate=Part("autoseg.tasks.anomaly.gate"), exports=Part("autoseg.tasks.anomaly.exports")),
    Task(
        localization.INFO, ProjectionPlans, localization_options.PlanOptions, localization_options.PredictOptions, Frozen,
        planner=Part("autoseg.planners.localization"), store=Part("autoseg.tasks.localization.store"),
        trainer=Part("autoseg.trainers.localization"), prediction=Part("autoseg.tasks.localization.prediction"),
        evaluation=Part("autoseg.tasks.localization.evaluation"), report=Part("autoseg.tasks.localization.report"),
        exports=Part("autoseg.tasks.localization.exports")),
    Task(
        classification.INFO, ClassPlans, classification_options.PlanOptions, classification_options.PredictOptions, Frozen,
        planner=Part("autoseg.planners.classification"), store=Part("autoseg.tasks.classification.store"),
        trainer=Part("autoseg.trainers.classification"), prediction=Part("autoseg.tasks.classification.prediction"),
        evaluation=Part("autoseg.tasks.classification.evaluation"), report=Part("autoseg.tasks.classification.report"),
        ensembles=Part("autoseg.tasks.classification.ensembles"), exports=Part("autoseg.tasks.classification.exports")),
)


def task_infos() -> tuple[TaskInfo, ...]:
    """Return how each task is called."""
    return tuple(task.info for task in TASKS)


def default_task() -> Task:
    """Return the task that is meant where nothing is named."""
    return next(task for task in TASKS if task.info.is_default)


def task_with_gate() -> Task:
    """Return the task whose models flag images that are unlike their training data."""
    return next(task for task in TASKS if task.gate is not None)


def task_of(info: TaskInfo) -> Task:
    """Return the row of a task."""
    return next(task for task in TASKS if task.info == info)


def task_of_planner(planner: str) -> Task:
    """Return the task that a planner plans for. Raises AutosegError that lists the planners."""
    for task in TASKS:
        if planner in task.planner.SUMMARIES:
            return task
    raise AutosegError(f'There is no planner "{planner}".{did_you_mean(planner, planners())} There are: {", ".join(planners())}.')


def planners() -> dict[str, str]:
    """Return the planners of all tasks, each with what it is in one line."""
    return {name: summary for task in TASKS for name, summary in task.planner.SUMMARIES.items()}


def recipes_of_all() -> dict[str, Recipe]:
    """Return the recipes of all tasks by name."""
    return {name: recipe for task in TASKS for name, recipe in task.trainer.RECIPES.items()}


def tasks_of_recipes() -> Mapping[str, str]:
    """Return the name of the task that each recipe is for."""
    return {name: task.info.name for task in TASKS for name in task.trainer.RECIPES}


def find_recipe(name: str) -> tuple[Task, Recipe]:
    """Return a recipe, by its name or a user's own by "module:function", and the task that it is for: that whose settings it has.

    Raises AutosegError that lists the recipes, or says what of the user's own is missing.
    """
    from autoseg.trainers import recipe

    found = recipe.find_recipe(name, recipes_of_all())
    for task in TASKS:
        if isinstance(found.settings, task.trainer.SETTINGS):
            return task, found
    raise AutosegError(f'The recipe "{name}" has SETTINGS of the class {type(found.settings).__name__}, which does not say what '
                       f"task it is for. Make it one of {', '.join(task.trainer.SETTINGS.__name__ for task in TASKS)}.")


def planning_flags() -> list[Flag]:
    """Return the flags of planning; --planner says who plans, and so for which task."""
    return [flag for flag in flags_of({task.info: task.plan_options for task in TASKS}) if flag.field != "planner"]


def prediction_flags() -> list[Flag]:
    """Return the flags of predicting that depend on the task."""
    return flags_of({task.info: task.predict_options for task in TASKS})


def evaluation_flags() -> list[Flag]:
    """Return the flags of evaluating that depend on the task."""
    return flags_of({task.info: task.evaluate_options for task in TASKS})


def export_formats() -> dict[str, tuple[str, ...]]:
    """Return the formats that models can be exported in besides zip, each with the plurals of the models."""
    formats: dict[str, tuple[str, ...]] = {}
    for task in TASKS:
        for name in () if task.exports is None else task.exports.FORMATS:
            formats[name] = (*formats.get(name, ()), task.info.plural)
    return formats


def plan_slices(dataset: str | Path, **arguments: Any) -> Any:
    """Plan for anomaly detectors; see `plan_and_preprocess`."""
    return verbs.plan_and_preprocess(dataset, planner=anomaly.INFO.planner, **arguments)


def plan_projection(dataset: str | Path, find: str | Sequence[str] = (), **arguments: Any) -> Any:
    """Plan for locators; see `plan_and_preprocess`."""
    return verbs.plan_and_preprocess(dataset, planner=localization.INFO.planner, find=find, **arguments)


def predict_anomalies(input: str | Path, output: str | Path, **arguments: Any) -> Any:
    """Score images with an anomaly detector; see `predict_files`."""
    return verbs.predict_files(input, output, **_meaning(anomaly.INFO, arguments))


def predict_locations(input: str | Path, output: str | Path, **arguments: Any) -> Any:
    """Find a level in images with a locator; see `predict_files`."""
    return verbs.predict_files(input, output, **_meaning(localization.INFO, arguments))


def evaluate_anomalies(reference: str | Path, prediction: str | Path, **arguments: Any) -> Any:
    """Compare anomaly scores with what is known of the cases; see `evaluate`."""
    return verbs.evaluate(reference, prediction, **arguments)


def _meaning(info: TaskInfo, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a prediction that means this task's models."""
    return arguments if arguments.get("model") else {"configuration": info.usual_configuration, **arguments}
