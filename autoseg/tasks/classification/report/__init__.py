"""Sections of the report about classification: how well the classes are told, and how cases are seen."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.best import Best
from autoseg.commands import command_line
from autoseg.reporting.artefacts import ModelArtefacts, count_folds, model_if_there, read_models, stored_cases
from autoseg.reporting.blocks import Block, Command, Explained, Heading, Section, Table, Text, decisions
from autoseg.reporting.choice import choice_blocks
from autoseg.reporting.parts import TaskReport, missing_of_all, steps_as_notes, usage
from autoseg.reporting.training import (
    curve_figures,
    folds_table,
    last_loss,
    network_in_words,
    recipe_and_settings,
    windows_in_words,
)
from autoseg.steps import RunRecord
from autoseg.task import TaskInfo
from autoseg.tasks.classification import INFO
from autoseg.tasks.classification.evaluation import failings, methods_of
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.plan import CONFIGURATION, ClassPlans
from autoseg.tasks.classification.report.explained import explained_of
from autoseg.tasks.classification.report.results import Results, pooled_of, read_results, results_of
from autoseg.tasks.classification.store import open_view
from autoseg.tasks.classification.summary import ANSWER, ClassSummary
from autoseg.wording import counted, number, times, with_interval
from autoseg.workspace import DatasetFolder, read_model

DECISIONS = {
    "target": "Target", "covariates": "Covariates", "view": "Seen as", "spacing_mm": "Voxels", "size": "Size",
    "windows": "Intensities",
    "roi": "Region", "network": "Network", "batch_size": "Batch", "epochs": "Epochs", "sampling": "Drawn", "loss": "Loss"}
POOLED = {"mean": "the mean over the voxels", "max": "the maximum over the voxels", "both": "mean and maximum over the voxels"}
Model = ModelArtefacts[ClassifierDescription, Results, ClassSummary]


def task_report(folder: DatasetFolder, tasks: Sequence[TaskInfo]) -> TaskReport | None:
    """Return what the page shows of classification; None where the dataset was not planned for it. tasks: all that there are.

    Raises AutosegError where the plans are damaged.
    """
    if not folder.plans_of(INFO).exists():
        return None
    plans, troubles = read_model(folder.plans_of(INFO), ClassPlans), list[str]()
    stored = stored_cases(
        folder.preprocessed(CONFIGURATION), (case.name for case in plans.source.training), open_view, troubles)
    models = read_models(
        folder.models_of(INFO), count_folds(folder.splits_of(INFO), troubles), troubles, description=ClassifierDescription,
        read_results=read_results, summarize=pooled_of)
    missing = missing_of_all(folder, INFO, models)
    section = Section("classes", f"Classification: {plans.target.name}", [Text(
        "A classifier gives each case a probability of each class. Every case counts as predicted by the network that was not "
        "trained on it."), *steps_as_notes(missing)])
    best = model_if_there(troubles, folder.best_of(INFO), Best)
    if best is not None:
        section.blocks += [Heading("What was chosen"), *choice_blocks(best)]
    elif len(models) > 1:
        section.blocks += [Text("Several classifiers are there. This compares them, and pairs of them:", is_note=True),
                           Command(command_line(folder, "autoseg find-best", "-c", CONFIGURATION))]
    lines = {model.name: line for model in models if (line := usage(folder, INFO, tasks, model))}
    if best is not None and lines:
        lines = {best.name: next(iter(lines.values()))}  # each means the choice
    for model in models:
        section.blocks += _of_model(model, lines.get(model.name))
    section.blocks += [
        Heading("How cases are seen"), decisions(DECISIONS, _values(plans), plans.reasons), *_counts(plans, len(stored))]
    return TaskReport(
        sections=[section], missing=missing, models=models, troubles=troubles,
        run=model_if_there(troubles, folder.run_of(INFO), RunRecord), versions={"planned for classes": plans.versions},
        overview=[_overview(model, plans) for model in models] or [
            Explained(f"Classification: {plans.target.name}", "no classifier yet")],
        commands=[(f"To tell {plans.target.name} of new images with {name}", line) for name, line in lines.items()])


def _overview(model: Model, plans: ClassPlans) -> Explained:
    title, its = f"Classification: {plans.target.name}, {model.name}", model.summary
    if its is None:
        return Explained(title, "not validated yet")
    area = its.numbers[ANSWER].mean_auroc
    others = ", ".join(f"{name} {number(of.mean_auroc.value)}" for name, of in its.numbers.items() if name != ANSWER)
    return Explained(title, f"AUROC {with_interval(area.value, area.interval)}",
                     f"Over {counted(its.cases, 'case')} of the validation{model.of_folds}; 95 % interval. Beside it: {others}.")


def _of_model(model: Model, line: str | None) -> list[Block]:
    """Show a model. line: that applies it to new images; None for no such line."""
    blocks: list[Block] = [Heading(model.name)]
    if (its := model.description) is not None:
        compared = ", ".join(methods_of(its))
        blocks += recipe_and_settings(
            model.name, its,
            Explained("Network", f"encoder of {network_in_words(its.shape.encoder)}, then {POOLED[its.shape.pooling]}"),
            Explained("Sees", f"{counted(its.shape.channels, 'channel')}, "
                              + (f"{counted(its.shape.covariates, 'number')} of covariates" if its.shape.covariates
                                 else "no covariates")),
            Explained("Compared with", compared))
    if model.summary is None:
        blocks.append(Text("No case has been validated yet: a fold does that when it has been trained.", is_note=True))
    else:
        blocks += [*(Text(f"{failing}.", is_note=True) for failing in failings(model.summary).values()),
                   *results_of(model.name, model.summary, [results for _, results in model.validated]),
                   *explained_of(model.validated, model.summary)]
    blocks += curve_figures(model, "Losses over the epochs, and Dice (0 to 1) of the classes of the validation cases, by class.")
    blocks.append(folds_table(model.name, model.folds, {
        "last loss": last_loss, "cases": lambda fold: str(len(fold.results.rows)) if fold.results else ""}))
    if line is not None:
        blocks += [Text("This tells the classes of new images:"), Command(line)]
    return blocks


def _values(plans: ClassPlans) -> dict[str, str]:
    return {
        "target": f"{plans.target.name}: {', '.join(plans.target.classes)}",
        "covariates": ", ".join(covariate.name for covariate in plans.covariates) or "none", "view": plans.view,
        "spacing_mm": "as the picture fits" if plans.spacing_mm is None else f"{times(plans.spacing_mm)} mm",
        "size": f"{times(plans.seen)} voxels", "windows": windows_in_words(plans.channel_names, plans.windows),
        "roi": "the labelled region" if plans.roi else "the foreground", "network": network_in_words(plans.network),
        "batch_size": f"{plans.batch_size} cases in each step", "epochs": str(plans.epochs), "sampling": plans.sampling,
        "loss": plans.loss.replace("_", " ")}


def _counts(plans: ClassPlans, stored: int) -> list[Block]:
    rows = [[name, str(count)] for name, count in plans.target.counts().items()]
    without = len(plans.source.training) - stored
    notes = [Text(f"{counted(without, 'case')} could not be stored, or not yet.", is_note=True)] if without else []
    return [*notes, Table("Training cases of each class", ("class", "cases"), rows)]
