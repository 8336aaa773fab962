"""What a person wants to know first."""

from __future__ import annotations

from autoseg.evaluation.report.artefacts import Answer, Artefacts, answer
from autoseg.evaluation.report.elements import Block, Command, Explained, Explanations, Text
from autoseg.evaluation.report.missing import anomaly_steps, detection_command, next_steps, prediction_command
from autoseg.evaluation.report.results import mean_dice, mean_hd95
from autoseg.evaluation.report.scores import auroc
from autoseg.evaluation.report.words import MISSING, counted, dice, listed
from autoseg.evaluation.report.worst import worst_cases


def at_a_glance(found: Artefacts) -> list[Block]:
    """The result, how to use it, and what is not there yet."""
    final = answer(found)
    segmentation = [*_choice(found), *_result(final)] if found.plans is not None else []
    blocks: list[Block] = [Explanations([*_data(found), *segmentation, *_anomalies(found)])]
    if (line := prediction_command(found)) is not None:
        blocks += [Text("To segment new images, type:"), Command(line)]
    for detector in found.anomaly.detectors if found.anomaly else ():
        if (line := detection_command(found, detector)) is not None:
            blocks += [Text(f"To look for anomalies in new images with {detector.name}, type:"), Command(line)]
    steps = [*(next_steps(found) if found.plans is not None else ()), *anomaly_steps(found)]
    if steps:
        blocks.append(Text("Not everything is there yet. What is missing, and the command that makes it:", is_note=True))
    for step in steps:
        blocks += [Text(f"{step.missing}:"), Command(step.line)]
    blocks += [Text(trouble, is_note=True) for trouble in found.troubles]
    return blocks


def _data(found: Artefacts) -> list[Explained]:
    if found.dataset is None:
        return [Explained("Dataset", found.name)]
    names = list(found.dataset.labels.foreground)
    classes = f", {counted(len(names), 'class', 'classes')}" if names else ""
    return [Explained("Data", f"{counted(len(found.dataset.training), 'training case')}{classes}", listed(names, 8))]


def _choice(found: Artefacts) -> list[Explained]:
    if found.best is None:
        return [Explained("Chosen", "nothing yet")]
    rules = len(found.best.postprocessing)
    kind = "an ensemble: the mean of these models' probabilities" if len(found.best.members) > 1 else "a single model"
    after = f", then {counted(rules, 'rule')} of post-processing" if rules else ", no post-processing"
    return [Explained("Chosen", found.best.name, kind + after)]


def _anomalies(found: Artefacts) -> list[Explained]:
    """By case where that is known, else by slice, for each detector."""
    if found.anomaly is None:
        return []
    entries = []
    for detector in found.anomaly.detectors:
        its, title = detector.summary, f"Anomalies, {detector.name}"
        if its is None:
            entries.append(Explained(title, "not validated yet"))
            continue
        by_slice = its.cases.auroc is None and its.slices.auroc is not None
        part, noun = (its.slices, "slice") if by_slice else (its.cases, "case")
        value = f"AUROC {auroc(part)} by {noun}" if part.auroc is not None else "AUROC not known"
        entries.append(Explained(title, value, part.note or f"Over {counted(part.normal, f'normal {noun}')} and "
                                 f"{counted(part.abnormal, f'abnormal {noun}')} of the validation; 95 % interval."))
    return entries or [Explained("Anomalies", "no detector yet")]


def _result(final: Answer | None) -> list[Explained]:
    if final is None:
        return [Explained("Mean Dice", "not known yet")]
    cases = counted(len(final.summary.metric_per_case), "validation case")
    so_far = "" if final.is_final else f" The best so far, {final.name}."
    entries = [Explained("Mean Dice", mean_dice(final.summary),
                         f"Overlap with the reference, 0 to 1; 95 % interval over {cases}.{so_far}")]
    if (hd95 := mean_hd95(final.summary)) != MISSING:
        entries.append(Explained("Mean HD95", f"{hd95} mm", "How far apart the surfaces are, the farthest 5 % left out."))
    if worst := worst_cases(final.summary):
        entries.append(Explained("Worst case", f"{worst[0].case}, Dice {dice(worst[0].mean_dice)}", "Pictures are below."))
    return entries
