"""Targets and covariates of a dataset: read from a table, from case_labels, or from the folders that images lie in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, did_you_mean, many, some
from autoseg.tasks.classification.options import PlanOptions
from autoseg.tasks.classification.plan import UNKNOWN, Covariate, TableStamp, Target
from autoseg.tasks.classification.sheets import Fault, Sheet, number_of, read_sheet, require_without_errors

TABLE = "targets.csv"  # beside the dataset
MOST_CLASSES, MOST_CATEGORIES = 20, 20
NEARLY_ALL = 0.8  # share of a column's texts that are numbers: then the others are mistakes
ABSENT = ("normal", "no", "none", "healthy", "negative", "0", "false", "benign", "control", "absent")
YES, NO = ("1", "yes", "true", "1.0"), ("0", "no", "false", "0.0")


@dataclass(frozen=True)
class Known:
    """All that is known of a dataset's cases. cells: case to the texts of the covariates. faults: what is wrong and can be lived
    with, in words. unused: columns that are no covariates, with the reason. where: the file or folder that says it."""

    target: Target
    covariates: tuple[Covariate, ...] = ()
    cells: dict[str, tuple[str, ...]] = field(default_factory=dict)
    table: TableStamp | None = None
    faults: list[Fault] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    where: Path = Path()


def read_targets(dataset: Dataset, options: PlanOptions) -> Known:
    """Return what is to be told of a dataset's training cases, and their covariates.

    Raises AutosegError that lists all that is wrong with the table, for a column that there is not, and where nothing says what
    class a case has.
    """
    path = options.targets or dataset.folder / TABLE
    if options.targets is None and not path.is_file():
        return _from_case_labels(dataset, options)
    sheet = read_sheet(path, {case.name for case in dataset.training})
    faults = list(sheet.faults)
    columns = _target_columns(sheet, options)
    target = _labels(sheet, columns, faults) if len(columns) > 1 else _classes(sheet, columns[0], options, faults)
    covariates, unused = _covariates(sheet, columns, options, faults)
    require_without_errors(path, faults)
    names = {case.name for case in dataset.training}
    return _checked(dataset, Known(
        target, covariates, _cells(sheet, covariates, names), TableStamp(path=path.absolute(), digest=sheet.digest),
        [fault for fault in faults if not fault.is_error], unused, path))


def _cells(sheet: Sheet, covariates: Sequence[Covariate], names: set[str]) -> dict[str, tuple[str, ...]]:
    chosen = [sheet.columns.index(covariate.name) for covariate in covariates]
    return {case: tuple(cells[index] for index in chosen) for case, cells in sorted(sheet.rows.items())
            if case in names and covariates}


def _from_case_labels(dataset: Dataset, options: PlanOptions) -> Known:
    source = dataset.folder / "dataset.json" if dataset.layout != "folders" else dataset.folder
    if not dataset.case_labels:
        raise AutosegError(
            f"Nothing says which class the cases of {dataset.name} have. Put a table with the columns case and diagnosis (any "
            f"name) beside it, as {dataset.folder / TABLE}, or name one with --targets; or add case_labels to its dataset.json; "
            "or put the images of each class into a folder of its own.")
    if options.target or options.covariates:
        flag = "--target" if options.target else "--covariates"
        raise AutosegError(f"{flag} names columns of a table, but there is none: {dataset.folder / TABLE} does not exist. Name "
                           f"one with --targets, or leave out {flag}.")
    named = {case.name: dataset.case_labels[case.name] for case in dataset.training if case.name in dataset.case_labels}
    classes = _in_order(set(named.values()), options, source)
    target = Target(kind="ordered" if options.ordered else "classes", name="class", classes=_two_at_least(classes, source),
                    of_case={case: (classes.index(word),) for case, word in sorted(named.items())})
    return _checked(dataset, Known(target, where=source))


def _two_at_least(classes: tuple[str, ...], source: Path) -> tuple[str, ...]:
    if len(classes) < 2:
        raise AutosegError(f"{source}: all cases have one class ({some(classes) or 'none'}), so there is nothing to tell apart. "
                           "Add cases of another class.")
    return classes


def _checked(dataset: Dataset, known: Known) -> Known:
    """Return it without targets of cases that are not there. Raises AutosegError where fewer than two classes are left."""
    names, target = {case.name for case in dataset.training}, known.target
    of_case = {case: values for case, values in target.of_case.items() if case in names}
    without_case = sorted(target.of_case.keys() - names - {case.name for case in dataset.test})
    without_target = sorted(names - of_case.keys())
    faults = list(known.faults)
    if without_case:
        faults.append(Fault(text=f"{many(len(without_case), 'row')} of cases that the dataset does not have: "
                                 f"{some(without_case)}",
                            is_error=False))
    if without_target:
        faults.append(Fault(text=f"{many(len(without_target), 'case')} without a target, which are neither trained nor validated "
                            f"on: {some(without_target)}", is_error=False))
    if not of_case:
        raise AutosegError(f"{known.where} names none of the cases of {dataset.name}: it has {some(target.of_case) or 'none'}, "
                           f"the dataset has {some(sorted(names))}.")
    kept = target.model_copy(update={"of_case": of_case})
    counts = kept.counts()
    there = [name for name, count in counts.items() if count]
    if target.kind != "labels" and len(there) < 2:
        raise AutosegError(f"{known.where}: all cases of {dataset.name} have the class {some(there)}, so there is nothing to "
                           "tell apart. Add cases of another class.")
    if target.kind == "labels" and (same := [name for name, count in counts.items() if not 0 < count < len(of_case)]):
        raise AutosegError(f"{known.where}: all cases of {dataset.name} have the same answer in {some(same)}, so there is "
                           "nothing to tell apart. Leave it out of --target, or add cases.")
    return Known(kept, known.covariates, known.cells, known.table, faults, known.unused, known.where)


def _target_columns(sheet: Sheet, options: PlanOptions) -> tuple[str, ...]:
    """Return the columns that are told: those asked for, the only one, or the only one of few texts. Raises AutosegError that
    lists the columns."""
    if unknown := [name for name in options.target if name not in sheet.columns]:
        raise AutosegError(f'{sheet.path} has no column "{unknown[0]}".{did_you_mean(unknown[0], sheet.columns)} There are: '
                           f"{', '.join(sheet.columns) or 'none but case'}.")
    if options.target:
        return options.target
    candidates = [name for name in sheet.columns if _may_be_classes(sheet, name)]
    if len(sheet.columns) == 1:
        return sheet.columns
    if len(candidates) == 1:
        return (candidates[0],)
    raise AutosegError(f"{sheet.path} has {many(len(sheet.columns), 'column')} besides case, and {len(candidates) or 'none'} of "
                       f"them looks like classes. Name the target with --target: {', '.join(sheet.columns)}.")


def _may_be_classes(sheet: Sheet, name: str) -> bool:
    texts = [text for text in sheet.column(name).values() if text]
    different = set(texts)
    return (2 <= len(different) <= MOST_CLASSES and 2 * len(different) <= len(texts)
            and any(number_of(text) is None for text in different))


def _classes(sheet: Sheet, column: str, options: PlanOptions, faults: list[Fault]) -> Target:
    words = {case: text for case, text in sheet.column(column).items() if text}
    classes = _in_order(set(words.values()), options, sheet.path)
    if len(classes) > MOST_CLASSES:
        faults.append(Fault(text=f"the column {column} has {len(classes)} different texts ({some(classes)}), but at most "
                            f"{MOST_CLASSES} classes are possible"))
    if len(classes) < 2:
        faults.append(Fault(text=f"the column {column} has one class only ({some(classes) or 'none'}): there is nothing to tell "
                            "apart"))
    alike = [sorted(name for name in classes if name.lower() == lower) for lower in sorted({name.lower() for name in classes})]
    faults += [Fault(text=f"the column {column} writes one class in several ways ({', '.join(names)})")
               for names in alike if len(names) > 1]
    of_case = {case: (classes.index(word),) for case, word in sorted(words.items()) if word in classes}
    return Target(kind="ordered" if options.ordered else "classes", name=column,
                  classes=classes if len(classes) > 1 else (*classes, "(none)", "(none either)")[:2], of_case=of_case)


def _in_order(found: set[str], options: PlanOptions, source: Path) -> tuple[str, ...]:
    """Return the classes: as they were asked for, else by name, but what says that nothing is there first."""
    if not options.ordered:
        return tuple(sorted(found, key=lambda name: (name.lower() not in ABSENT, _natural(name), name)))
    if missing := sorted(found - {*options.ordered}):
        raise AutosegError(f"{source} has the classes {some(sorted(found))}, but --ordered does not name {some(missing)}. Name "
                           "all of them from the lowest to the highest.")
    if unknown := [name for name in options.ordered if name not in found]:
        raise AutosegError(f"--ordered names {some(unknown)}, but no case of {source} has that class. There are: "
                           f"{some(sorted(found))}.")
    return options.ordered


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name) if part]


def _labels(sheet: Sheet, columns: Sequence[str], faults: list[Fault]) -> Target:
    by_column = {name: sheet.column(name) for name in columns}
    for name, texts in by_column.items():
        if wrong := sorted({text for text in texts.values() if text and text.lower() not in (*YES, *NO)}):
            faults.append(Fault(text=f"the column {name} holds {some(wrong)}, but several targets at once are 0 or 1 each"))
    of_case = {}
    for case in sorted(sheet.rows):
        values = tuple(1 if (text := by_column[name][case].lower()) in YES else 0 if text in NO else UNKNOWN for name in columns)
        if any(value != UNKNOWN for value in values):
            of_case[case] = values
    return Target(kind="labels", name=", ".join(columns), classes=tuple(columns), of_case=of_case)


def _covariates(
    sheet: Sheet, targets: Sequence[str], options: PlanOptions, faults: list[Fault]
) -> tuple[tuple[Covariate, ...], dict[str, str]]:
    """Return the columns that a classifier sees, and those that it does not, with the reason."""
    asked = options.covariates
    wanted = [name for name in sheet.columns if name not in targets] if asked is None else [
        name for name in asked if name.lower() != "none"]
    found, unused = list[Covariate](), dict[str, str]()
    for name in wanted:
        if name in targets:
            faults.append(Fault(text=f"the column {name} is the target, and cannot be a covariate too"))
            continue
        covariate, why = _covariate(name, sheet, faults)
        if covariate is not None:
            found.append(covariate)
        elif asked is None:
            unused[name] = why
        else:
            faults.append(Fault(text=f"the column {name} cannot be a covariate: {why}"))
    return tuple(found), unused


def _covariate(name: str, sheet: Sheet, faults: list[Fault]) -> tuple[Covariate | None, str]:
    texts = sheet.column(name)
    given = {case: text for case, text in texts.items() if text}
    if len(set(given.values())) < 2:
        return None, f"it is constant ({some(set(given.values())) or 'nowhere given'})"
    no_number = {case: text for case, text in given.items() if number_of(text) is None}
    has_missing = len(given) < len(texts)
    if len(no_number) <= (1 - NEARLY_ALL) * len(given):
        for case, text in no_number.items():
            faults.append(Fault(text=f'line {sheet.lines[case]}: "{text}" in the column {name}, which holds numbers'))
        return Covariate(name=name, kind="number", has_missing=has_missing), ""
    counts = Counter(given.values())
    if len(counts) > MOST_CATEGORIES or 2 * len(counts) > len(given):
        return None, f"it holds {len(counts)} different texts in {many(len(given), 'case')}"
    return Covariate(name=name, kind="category", categories=tuple(sorted(counts)), has_missing=has_missing), ""
