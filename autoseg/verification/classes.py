"""Checks of what dataset.json calls the label values, against those that the training labels hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

import numpy as np

from autoseg.dataset import Dataset, Labels
from autoseg.errors import some
from autoseg.layouts import IGNORE
from autoseg.verification.findings import Code, Finding, Severity

MOST_OUTPUTS = 256  # of a network with label values that stand for nothing
LARGEST_STORED = int(np.iinfo(np.int16).max)  # of preprocessed labels


def check_classes(dataset: Dataset, held: Collection[int], are_learned: bool) -> list[Finding]:
    """Find classes that no label holds, labels that are all empty, two names for one value, another spelling of "ignore", and
    values that are too high or far apart.

    held: values of all training labels that could be read; empty where none could. are_learned: whether the classes of
    dataset.json are what a model learns: then what prevents that is an error.
    """
    fatal: Severity = "error" if are_learned else "warning"
    return [
        Finding(case="", file=str(dataset.folder / "dataset.json"), severity=severity, code=code, problem=problem, remedy=remedy)
        for severity, code, problem, remedy in (*_names(dataset.labels), *_held(dataset.labels, held, fatal),
                                                *_numbers(dataset.labels, fatal))]


Parts = tuple[Severity, Code, str, str]


def _names(labels: Labels) -> Iterator[Parts]:
    by_values: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, values in labels.foreground.items():
        by_values[tuple(sorted(values))].append(name)
        if name != IGNORE and name.strip().lower() == IGNORE:
            yield ("error", "ignore_name", f'the label "{name}" counts as a class that is learned',
                   f'Write "{IGNORE}" if its voxels are not to be learned from, else give it another name.')
    for values, names in by_values.items():
        if len(names) > 1:
            yield ("warning", "two_names", f"{' and '.join(names)} are names of the same label value {some(values)}",
                   "Correct the value of one of them, or leave one name: they are one class.")


def _held(labels: Labels, held: Collection[int], fatal: Severity) -> Iterator[Parts]:
    if not held or not labels.foreground:
        return
    if not set(held) - {0, labels.ignore}:
        yield (fatal, "all_empty", "every training label is empty: none holds a class",
               "Look whether these are the right label files. Without a voxel of a class there is nothing to learn.")
        return
    absent = {name: values for name, values in labels.foreground.items() if not set(values) & set(held)}
    if absent:
        listed = some(f"{name} ({', '.join(map(str, values))})" for name, values in absent.items())
        yield ("warning", "absent_class", f"no training label holds {listed}",
               "It cannot be learned, and takes memory all the same. Correct the labels, or take it out of dataset.json.")


def _numbers(labels: Labels, fatal: Severity) -> Iterator[Parts]:
    named = [value for value in labels.known_values if value != labels.ignore]
    if (highest := max(labels.known_values)) > LARGEST_STORED:
        yield (fatal, "label_range", f"the label value {highest} is too high: at most {LARGEST_STORED} can be stored",
               _consecutive(labels))
    elif not labels.has_regions and (unused := labels.output_channels - len(named)) > 0:
        much = labels.output_channels > MOST_OUTPUTS
        problem = (f"the label values are not consecutive: {unused} of the {labels.output_channels} up to {max(named)} stand for "
                   "nothing")
        costs = f"A network has an output for each of them, and takes memory and time for {labels.output_channels} classes"
        yield (fatal if much else "warning", "label_gaps", problem, f"{costs} instead of {len(named)}. {_consecutive(labels)}")


def _consecutive(labels: Labels) -> str:
    """Return a proposal of values without gaps, in words."""
    values = [value for value in labels.known_values if value != 0]
    changes = [f"{new} for {value}" for new, value in enumerate(values, start=1) if new != value]
    return f"Number them without gaps, in the label files and in dataset.json: {some(changes)}."
