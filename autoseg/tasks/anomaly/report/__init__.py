"""Sections of the report about anomaly detection: the detectors' scores, their training, and how slices were cut."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.commands import prediction_by_another, prediction_command
from autoseg.reporting.artefacts import count_folds, model_if_there, read_models, stored_cases
from autoseg.reporting.blocks import Block, Command, Explained, Heading, Section, Table, Text, decisions
from autoseg.reporting.parts import TaskReport, missing_of_all, steps_as_notes, usage
from autoseg.reporting.training import windows_in_words
from autoseg.steps import RunRecord
from autoseg.task import TaskInfo
from autoseg.tasks.anomaly import INFO
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.plan import CONFIGURATION, SlicePlans
from autoseg.tasks.anomaly.report.scores import Detector, auroc, pooled, read_results, scores_of
from autoseg.tasks.anomaly.report.training import curves_and_samples, networks_and_search, table_of_folds
from autoseg.tasks.anomaly.store import StoredSlices, open_slices
from autoseg.wording import counted
from autoseg.workspace import DatasetFolder, ModelFolder, finished_models, read_model

DECISIONS = {"axis": "Cut", "image_size": "Size", "channel_names": "Channels", "windows": "Intensities", "normal_by": "Normal"}
NORMAL = {"case_labels": "slices of cases that are called normal", "foreground": "slices without foreground", "all": "all slices"}


def task_report(folder: DatasetFolder, tasks: Sequence[TaskInfo]) -> TaskReport | None:
    """Return what the page shows of anomaly detection; None where the dataset was not planned for it. tasks: all that there are.

    Raises AutosegError where the plans are damaged.
    """
    if not folder.plans_of(INFO).exists():
        return None
    plans, troubles = read_model(folder.plans_of(INFO), SlicePlans), list[str]()
    stored = stored_cases(
        folder.preprocessed(CONFIGURATION), (case.name for case in plans.source.training), open_slices, troubles)
    detectors = read_models(
        folder.models_of(INFO), count_folds(folder.splits_of(INFO), troubles), troubles, description=AnomalyDescription,
        read_results=read_results, summarize=pooled)
    missing = missing_of_all(folder, INFO, detectors)
    section = Section("anomalies", "Anomaly detection", [Text(
        "A detector learns what normal slices look like, from normal slices alone (AnoGAN; Schlegl et al. 2017). Its score of a "
        "slice says how badly the closest normal slice that it can think of explains it: higher is stranger. A case's score is "
        "the mean of the highest tenth of its slices."), *steps_as_notes(missing)])
    for detector in detectors:
        section.blocks += _of_detector(folder, detector, tasks)
    section.blocks += [Heading("Slices"), *_slices(plans, stored)]
    lines = {detector.name: usage(folder, INFO, tasks, detector) for detector in detectors}
    return TaskReport(
        sections=[section], missing=missing, models=detectors, troubles=troubles,
        run=model_if_there(troubles, folder.run_of(INFO), RunRecord), versions={"planned as slices": plans.versions},
        overview=[_result(detector) for detector in detectors] or [Explained("Anomalies", "no detector yet")],
        commands=[(f"To look for anomalies in new images with {name}", line) for name, line in lines.items() if line])


def _result(detector: Detector) -> Explained:
    """Say how well it tells cases apart, or slices where nothing is known of cases."""
    its, title = detector.summary, f"Anomalies, {detector.name}"
    if its is None:
        return Explained(title, "not validated yet")
    by_slice = its.cases.auroc is None and its.slices.auroc is not None
    part, noun = (its.slices, "slice") if by_slice else (its.cases, "case")
    value = f"AUROC {auroc(part)} by {noun}" if part.auroc is not None else "AUROC not known"
    over = f"Over {counted(part.normal, f'normal {noun}')} and {counted(part.abnormal, f'abnormal {noun}')}"
    return Explained(title, value, part.note or f"{over} of the validation{detector.of_folds}; 95 % interval.")


def _of_detector(folder: DatasetFolder, detector: Detector, tasks: Sequence[TaskInfo]) -> list[Block]:
    blocks = [Heading(detector.name), *networks_and_search(detector), *scores_of(detector), *curves_and_samples(detector),
              table_of_folds(detector)]
    if (line := usage(folder, INFO, tasks, detector)) is not None:
        blocks += [Text("This scores new images, and maps where they are not normal:"), Command(line)]
        if any(case.truth == "normal" for _, results in detector.validated for case in results.cases):
            blocks += [Text("This lets a segmentation flag images that are unlike the normal ones of the validation:"),
                       Command(_gate(folder, detector.folder, tasks))]
    return blocks


def _gate(folder: DatasetFolder, detector: ModelFolder, tasks: Sequence[TaskInfo]) -> str:
    """Return the line that lets a detector flag images for a segmentation, of this dataset where it has one."""
    gated = next(task for task in tasks if task.is_default)
    models, flags = finished_models(folder, gated), ["--gate", str(detector.root)]
    if not models:
        return prediction_by_another(folder, gated, *flags)
    return prediction_command(folder, gated, tasks, models[0].configuration, models[0].recipe, *flags)


def _slices(plans: SlicePlans, stored: Sequence[StoredSlices]) -> list[Block]:
    values = {
        "axis": f"{plans.axis} slices" if plans.axis else "pictures, as they are",
        "image_size": f"{plans.image_size} × {plans.image_size} pixels", "channel_names": ", ".join(plans.channel_names),
        "windows": windows_in_words(plans.channel_names, plans.windows), "normal_by": NORMAL[plans.normal_by]}
    blocks: list[Block] = [decisions(DECISIONS, values, plans.reasons)]
    if missing := len(plans.source.training) - len(stored):
        all_cases = len(plans.source.training)
        blocks.append(Text(f"{counted(missing, 'case')} of {all_cases} could not be cut, or not yet.", is_note=True))
    return [*blocks, _counts(stored)]


def _counts(stored: Sequence[StoredSlices]) -> Table:
    """Count the slices by what is known of their cases, and of all cases."""
    groups = {f"cases called {truth}": [case for case in stored if case.case_truth == truth] for truth in ("normal", "abnormal")}
    groups["cases of which it is not known"] = [case for case in stored if case.case_truth is None]
    groups = {name: cases for name, cases in groups.items() if cases}
    rows = [[name, *map(str, _count(cases))] for name, cases in (groups | {"all": list(stored)}).items()]
    columns = ("", "cases", "normal slices", "abnormal", "not known", "of one value", "to be trained on")
    return Table("Slices of the training cases", columns, rows if len(groups) != 1 else rows[:1])


def _count(cases: Sequence[StoredSlices]) -> list[int]:
    """Count cases; normal, abnormal and unknown slices without the blank ones; blank ones; those that may be trained on."""
    truths = [truth for case in cases for truth, blank in zip(case.truths, case.blank, strict=True) if not blank]
    return [len(cases), *(truths.count(truth) for truth in ("normal", "abnormal", None)),
            sum(sum(case.blank) for case in cases), sum(sum(case.normal) for case in cases)]
