"""Sections of the report about segmentation."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.commands import prediction_command
from autoseg.reporting.artefacts import model_if_there
from autoseg.reporting.blocks import Explained
from autoseg.reporting.parts import TaskReport
from autoseg.steps import RunRecord
from autoseg.task import TaskInfo
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.report.artefacts import (
    BestResult,
    SegmentationArtefacts,
    best_model,
    best_result,
    missing_steps,
    read_artefacts,
)
from autoseg.tasks.segmentation.report.choice import choice_section
from autoseg.tasks.segmentation.report.results import mean_dice, mean_hd95, results_section
from autoseg.tasks.segmentation.report.training import plan_section, training_section
from autoseg.tasks.segmentation.report.worst import worst_cases, worst_section
from autoseg.wording import MISSING, counted, fixed
from autoseg.workspace import DatasetFolder


def task_report(folder: DatasetFolder, tasks: Sequence[TaskInfo]) -> TaskReport | None:
    """Return what the page shows of segmentation; None where the dataset was not planned for it. tasks: all that there are.

    Raises AutosegError where the plans are damaged.
    """
    if not folder.plans_of(INFO).exists():
        return None
    found = read_artefacts(folder)
    best, model = best_result(found), best_model(found)
    line = prediction_command(folder, INFO, tasks, model.configuration, model.recipe) if model else ""
    return TaskReport(
        sections=[results_section(found, best), worst_section(found, best), choice_section(found), training_section(found),
                  plan_section(found.plans)],
        overview=[_choice(found), *_result(best)], commands=[("To segment new images", line)] if model else (),
        missing=missing_steps(found), models=found.models, troubles=found.troubles, needs_fingerprint=True,
        run=model_if_there(found.troubles, folder.run_of(INFO), RunRecord),
        versions={"planned": found.plans.versions} | ({"chosen": found.best.versions} if found.best else {}))


def _choice(found: SegmentationArtefacts) -> Explained:
    if found.best is None:
        return Explained("Chosen", "nothing yet")
    rules = len(found.best.postprocessing)
    kind = "an ensemble: the mean of these models' probabilities" if len(found.best.members) > 1 else "a single model"
    after = f", then {counted(rules, 'rule')} of post-processing" if rules else ", no post-processing"
    return Explained("Chosen", found.best.name, kind + after)


def _result(best: BestResult | None) -> list[Explained]:
    if best is None:
        return [Explained("Mean Dice", "not known yet")]
    cases = counted(len(best.summary.metric_per_case), "validation case")
    so_far = "" if best.is_final else f" The best so far, {best.name}."
    entries = [Explained("Mean Dice", mean_dice(best.summary),
                         f"Overlap with the reference, 0 to 1; 95 % interval over {cases}.{so_far}")]
    if (hd95 := mean_hd95(best.summary)) != MISSING:
        entries.append(Explained("Mean HD95", f"{hd95} mm", "How far apart the surfaces are, the farthest 5 % left out."))
    if worst := worst_cases(best.summary):
        entries.append(Explained("Worst case", f"{worst[0].case}, Dice {fixed(worst[0].mean_dice)}", "Pictures are below."))
    return entries
