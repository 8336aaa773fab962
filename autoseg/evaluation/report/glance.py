"""What a person wants to know first."""

from __future__ import annotations

from autoseg.evaluation.report.apart import AnyModelApart
from autoseg.evaluation.report.artefacts import Answer, Artefacts, answer
from autoseg.evaluation.report.elements import Block, Command, Explained, Explanations, Text
from autoseg.evaluation.report.location_errors import mean_error
from autoseg.evaluation.report.locators import Locator
from autoseg.evaluation.report.missing import command_apart, next_steps, prediction_command, steps_apart
from autoseg.evaluation.report.results import mean_dice, mean_hd95
from autoseg.evaluation.report.scores import auroc
from autoseg.evaluation.report.words import MISSING, counted, dice, listed, millimetres
from autoseg.evaluation.report.worst import worst_cases


def at_a_glance(found: Artefacts) -> list[Block]:
    """The result, how to use it, and what is not there yet."""
    final = answer(found)
    segmentation = [*_choice(found), *_result(final)] if found.plans is not None else []
    blocks: list[Block] = [Explanations([*_data(found), *segmentation, *_anomalies(found), *_locations(found)])]
    if (line := prediction_command(found)) is not None:
        blocks += [Text("To segment new images, type:"), Command(line)]
    for kind, models in found.apart.items():
        for model in models:
            if (line := command_apart(found, kind, model)) is not None:
                blocks += [Text(f"{_purpose(found, model)} with {model.name}, type:"), Command(line)]
    steps = next_steps(found) if found.plans is not None else []
    steps += [step for kind in found.apart for step in steps_apart(found, kind)]
    if steps:
        blocks.append(Text("Not everything is there yet. What is missing, and the command that makes it:", is_note=True))
    for step in steps:
        blocks += [Text(f"{step.missing}:"), Command(step.line)]
    blocks += [Text(trouble, is_note=True) for trouble in found.troubles]
    return blocks


def _purpose(found: Artefacts, model: AnyModelApart) -> str:
    if isinstance(model, Locator) and found.location is not None:
        return f"To find {found.location.target_of(model).name} in new images"
    return "To look for anomalies in new images"


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
        over = f"Over {counted(part.normal, f'normal {noun}')} and {counted(part.abnormal, f'abnormal {noun}')}"
        entries.append(Explained(
            title, value, part.note or f"{over} of the validation{detector.of_folds}; 95 % interval."))
    return entries or [Explained("Anomalies", "no detector yet")]


def _locations(found: Artefacts) -> list[Explained]:
    """The error of each locator's answers."""
    if found.location is None:
        return []
    entries, without = [], dict.fromkeys(found.location.targets)
    for locator in found.location.locators:
        target = found.location.target_of(locator).name
        without.pop(target, None)
        its, title = locator.summary, f"Finding {target}, {locator.name}"
        if its is None or its.error_mm is None:
            entries.append(Explained(title, "not validated yet" if its is None else "error not known"))
            continue
        errors = its.error_mm
        entries.append(Explained(
            title, f"mean error {mean_error(errors)} mm",
            f"Over {counted(its.cases, 'case')} of the validation{locator.of_folds}; 95 % interval. Median "
            f"{millimetres(errors.median)} mm, worst {millimetres(errors.worst)} mm ({errors.worst_case}). Found in "
            f"{its.found} of {its.cases}."))
    return [*entries, *(Explained(f"Finding {target}", "no locator yet") for target in without)]


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
