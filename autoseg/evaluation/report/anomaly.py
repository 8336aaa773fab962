"""Anomaly detection: how slices were cut, and what each detector's validation says."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.evaluation.report.artefacts import Artefacts
from autoseg.evaluation.report.detectors import AnomalyArtefacts, Detector
from autoseg.evaluation.report.elements import Block, Command, Heading, Section, Table, Text, decisions
from autoseg.evaluation.report.gan import curves_and_samples, made_of, table_of_folds
from autoseg.evaluation.report.missing import command_apart, gate_command, steps_apart
from autoseg.evaluation.report.planning import windows_in_words
from autoseg.evaluation.report.scores import scores_of
from autoseg.evaluation.report.words import counted
from autoseg.kinds import ANOMALY
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.store import StoredSlices

DECISIONS = {"axis": "Cut", "image_size": "Size", "channel_names": "Channels", "windows": "Intensities", "normal_by": "Normal"}
NORMAL = {"case_labels": "slices of cases that are called normal", "foreground": "slices without foreground", "all": "all slices"}


def anomaly_section(found: Artefacts, its: AnomalyArtefacts) -> Section:
    """The detectors' scores first, then how they were trained, and the slices at last."""
    section = Section("anomalies", "Anomaly detection", [Text(
        "A detector learns what normal slices look like, from normal slices alone (AnoGAN; Schlegl et al. 2017). Its score of a "
        "slice says how badly the closest normal slice that it can think of explains it: higher is stranger. A case's score is "
        "the mean of the highest tenth of its slices.")])
    for step in steps_apart(found, ANOMALY):
        section.blocks += [Text(f"{step.missing}:", is_note=True), Command(step.line)]
    for detector in its.detectors:
        section.blocks += _of_detector(found, detector)
    section.blocks += [Heading("Slices"), *_slices(its.plans, its.stored)]
    return section


def _of_detector(found: Artefacts, detector: Detector) -> list[Block]:
    blocks = [Heading(detector.name), *made_of(detector), *scores_of(detector), *curves_and_samples(detector)]
    blocks.append(table_of_folds(detector))
    if (line := command_apart(found, ANOMALY, detector)) is not None:
        blocks += [Text("This scores new images, and maps where they are not normal:"), Command(line)]
        if any(case.truth == "normal" for case in detector.cases):
            blocks += [Text("This lets a segmentation flag images that are unlike the normal ones of the validation:"),
                       Command(gate_command(found, detector))]
    return blocks


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
    """By what is known of the cases, and of all."""
    groups = {f"cases called {truth}": [case for case in stored if case.case_truth == truth] for truth in ("normal", "abnormal")}
    groups["cases of which it is not known"] = [case for case in stored if case.case_truth is None]
    groups = {name: cases for name, cases in groups.items() if cases}
    rows = [[name, *map(str, _count(cases))] for name, cases in (groups | {"all": list(stored)}).items()]
    columns = ("", "cases", "normal slices", "abnormal", "not known", "of one value", "to be trained on")
    return Table("Slices of the training cases", columns, rows if len(groups) != 1 else rows[:1])


def _count(cases: Sequence[StoredSlices]) -> list[int]:
    """Cases, normal, abnormal and unknown slices without the blank ones, blank ones, those that may be trained on."""
    truths = [truth for case in cases for truth, blank in zip(case.truths, case.blank, strict=True) if not blank]
    return [len(cases), *(truths.count(truth) for truth in ("normal", "abnormal", None)),
            sum(sum(case.blank) for case in cases), sum(sum(case.normal) for case in cases)]
