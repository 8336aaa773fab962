"""Splits: the cases that each fold trains on, and those that it validates on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.bounds import whole_number
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.cross_validation import USUAL_FOLDS
from autoseg.files import write_json
from autoseg.groups import Patients, Together, listed_patients, patients_of, suspicion
from autoseg.trainers.stratify import SEED, spread
from autoseg.workspace import read_json

Splits = list[dict[str, list[str]]]


def five_fold_splits(cases: list[str], folds: int = USUAL_FOLDS) -> Splits:
    """Return shuffled folds over the sorted case names, as scikit-learn's KFold(5, shuffle=True, random_state=12345) gives.

    Each entry is {"train": names, "val": names}; with fewer than `folds` cases there are as many folds as cases.
    Raises AutosegError for fewer than two cases.
    """
    if len(cases) < 2:
        raise AutosegError(
            f"Cross-validation needs at least 2 training cases, but there are {len(cases)}. "
            'Train on all cases with FOLD "all", or add cases.'
        )
    folds = min(folds, len(cases))
    names = np.array(sorted(cases))
    order = np.arange(len(names))
    np.random.RandomState(SEED).shuffle(order)
    splits: Splits = []
    for held_out in np.array_split(order, folds):
        is_validation = np.isin(np.arange(len(names)), held_out)
        splits.append({"train": names[~is_validation].tolist(), "val": names[is_validation].tolist()})
    return splits


@dataclass(frozen=True)
class MadeSplits:
    """The splits that were made. notes: what the user should know about how they were made."""

    splits: Splits
    notes: list[str]


NO_SPLITS = MadeSplits([], [])  # splits of fold "all"


def make_splits(patients: Patients, cases: list[str], labels: Mapping[str, Collection[str]] | None) -> MadeSplits:
    """Return folds that keep a patient's cases together and spread the labels; nnU-Net's own where neither is needed.

    cases: names of all of them. labels: of each case, the names of those that it holds; None where that is not known.
    Raises AutosegError for fewer than two cases or patients.
    """
    groups = patients.groups(cases)
    uneven = _uneven_labels(cases, labels or {})
    if not patients.together and not uneven:
        return MadeSplits(five_fold_splits(cases), [])
    if len(groups) < 2:
        raise AutosegError(_one_patient(patients, cases))
    folds = spread(groups, labels or {}, min(USUAL_FOLDS, len(groups)))
    splits: Splits = [{"train": sorted(set(cases) - set(held_out)), "val": held_out} for held_out in folds]
    notes = [_about_patients(patients)] if patients.together else []
    if uneven:
        counts = some(f"{label} in {count} of {len(cases)} cases" for label, count in uneven.items())
        notes.append(f"Folds hold labels equally often: {counts}.")
    return MadeSplits(splits, notes)


def load_or_make_splits(
    path: Path, dataset: Dataset, usable: list[str], labels: Mapping[str, Collection[str]] | None, left_out: Collection[str] = (),
) -> MadeSplits:
    """Return the dataset's splits: from `path`, else `splits_final.json` beside the dataset as it is, else made now; written to
    `path`.

    usable: names of the cases that have been preprocessed. labels: of each case, what is to be spread over the folds; None where
    that is not known. left_out: cases that folds do not hold, though a `splits_final.json` may name them. Raises AutosegError
    where a split names any other case.
    """
    patients = patients_of(usable, dataset.groups)
    beside = dataset.folder / "splits_final.json"
    source = path if path.exists() else beside
    if not source.exists():
        made = make_splits(patients, usable, labels)
        write_json(path, made.splits)
        return MadeSplits(made.splits, made.notes + _all_notes(made.splits, patients, usable, path, beside))
    splits = _validated(read_json(source), str(source))
    splits, without = _without(splits, left_out, source)
    unknown = sorted({name for split in splits for name in split["train"] + split["val"]} - set(usable))
    if unknown:
        raise AutosegError(
            f"{source} names {many(len(unknown), 'case')} of which there is no preprocessed data: {some(unknown)}. "
            "Correct the file, or remove it to have new splits made."
        )
    if source != path:
        write_json(path, splits)
    notes = without + _notes_of_making(splits, patients, usable, labels)
    return MadeSplits(splits, notes + _all_notes(splits, patients, usable, path, beside))


def _without(splits: Splits, left_out: Collection[str], source: Path) -> tuple[Splits, list[str]]:
    """Return folds without these cases, and a note where some have none left to train or to validate on, and are left out.

    Raises AutosegError where that is so of all.
    """
    cut: Splits = [{part: [name for name in names if name not in left_out] for part, names in split.items()} for split in splits]
    kept = [split for split in cut if split["train"] and split["val"]]
    if not kept:
        raise AutosegError(f"{source}: no fold has a case left to train and one to validate on, as nothing is known of the "
                           "others. Remove the file to have other splits made.")
    gone = len(cut) - len(kept)
    return kept, [f"{many(gone, 'fold')} of {source.name} left out, as nothing is known of their cases."] if gone else []


def cases_of_fold(fold: str, splits: Splits, usable: list[str]) -> tuple[list[str], list[str]]:
    """Return (training, validation) case names of fold "0", "1", ... or "all", which trains on every case and validates on none.

    Raises AutosegError for a fold that is not there.
    """
    if fold == "all":
        return sorted(usable), []
    if (number := whole_number(fold)) is None or number >= len(splits):
        raise AutosegError(
            f'There is no fold "{fold}": this dataset has the folds {", ".join(map(str, range(len(splits))))}, and "all".'
        )
    split = splits[int(fold)]
    return split["train"], split["val"]


def _validated(content: Any, source: str) -> Splits:
    good = isinstance(content, list) and content and all(
        isinstance(split, dict) and isinstance(split.get("train"), list) and isinstance(split.get("val"), list)
        for split in content
    )
    if not good:
        raise AutosegError(f'{source} must be a list of {{"train": [case names], "val": [case names]}}, one per fold.')
    splits: Splits = [{"train": split["train"], "val": split["val"]} for split in content]
    if others := [name for split in splits for name in split["train"] + split["val"] if not isinstance(name, str)]:
        raise AutosegError(f"{source}: case names must be texts, but it holds {some(others)}. Correct the file.")
    for number, split in enumerate(splits):
        both = sorted(set(split["train"]) & set(split["val"]))
        if not (split["train"] and split["val"]):
            lacking = "validate" if split["train"] else "train"
            raise AutosegError(f"{source}: fold {number} has no case to {lacking} on. Correct the file.")
        if both:
            raise AutosegError(f"{source}: fold {number} trains and validates on {some(both)}. Correct the file.")
    return splits


def _uneven_labels(cases: list[str], labels: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return the labels that some cases hold and others do not, with the number of cases; the rarest first."""
    counts = Counter(label for case in cases for label in set(labels.get(case, ())))
    return {label: count for label, count in sorted(counts.items(), key=lambda item: (item[1], item[0])) if count < len(cases)}


def _said_by(patients: Patients) -> str:
    return f"their names say ({', '.join(patients.patterns)})" if patients.patterns else '"groups" in dataset.json says'


def _about_patients(patients: Patients) -> str:
    cases = sum(map(len, patients.together.values()))
    overrule = ' If that is wrong, write "groups" into dataset.json and plan again.' if patients.patterns else ""
    return (
        f"Folds keep the cases of a patient together: {len(patients.together)} patients have several, {cases} in all, as "
        f"{_said_by(patients)}: {listed_patients(patients.together)}.{overrule}"
    )


def _one_patient(patients: Patients, cases: list[str]) -> str:
    each = ", ".join(f'"{case}": "{letter}"' for case, letter in zip(cases, "ab", strict=False))
    return (
        f"Cross-validation needs at least 2 patients, but all {len(cases)} cases belong to one, as {_said_by(patients)}: "
        f'{listed_patients(patients.together)}. Train on all cases with FOLD "all", or add patients; or, where they are '
        f'different ones, write "groups": {{{each}, ...}} into dataset.json and plan again.'
    )


def _notes_of_making(
    splits: Splits, patients: Patients, cases: list[str], labels: Mapping[str, Collection[str]] | None
) -> list[str]:
    """Return notes on how existing splits were made, where making them now gives the same."""
    try:
        made = make_splits(patients, cases, labels)
    except AutosegError:
        return []
    return made.notes if made.splits == splits else []


def _all_notes(splits: Splits, patients: Patients, cases: list[str], path: Path, beside: Path) -> list[str]:
    """Return notes on cases without a fold or with several, an unusual number of folds, and patients on both sides of a fold."""
    files = f"{path} and {beside}" if beside.exists() else f"{path}"
    notes = []
    held_out = Counter(name for split in splits for name in split["val"])
    if left_out := sorted(set(cases) - held_out.keys() - {name for split in splits for name in split["train"]}):
        notes.append(f"{path} leaves {many(len(left_out), 'case')} out: {some(left_out)}, which no fold trains "
                     f"or validates on. To have folds made of all cases, remove {files} and train anew.")
    if several := sorted(name for name, count in held_out.items() if count > 1):
        notes.append(f"Several folds validate on {some(several)}: the folds cannot be pooled and compared by autoseg find-best.")
    if len(splits) != USUAL_FOLDS:
        of_patients = f" of {len(patients.groups(cases))} patients" if patients.together else ""
        notes.append(f"{len(cases)} cases{of_patients}: {len(splits)} folds instead of {USUAL_FOLDS}.")
    if leaking := _on_both_sides(splits, patients.together):
        notes.append(
            f"Cases of one patient are both trained and validated on, which makes the cross-validation look better than it is: "
            f"{listed_patients(leaking)}. To have folds made that keep patients together, remove {files} and train anew."
        )
    if _on_both_sides(splits, patients.suspected):
        problem, remedy = suspicion(patients.suspected)
        notes.append(
            f"{problem[0].upper()}{problem[1:]}, and these folds both train and validate on some of them. {remedy} New folds "
            f"are made when {path} is removed."
        )
    return notes


def _on_both_sides(splits: Splits, together: Together) -> Together:
    """Return the patients of whom a fold trains on one case and validates on another."""
    sides = [(set(split["train"]), set(split["val"])) for split in splits]
    return {
        patient: members for patient, members in together.items()
        if any(train.intersection(members) and val.intersection(members) for train, val in sides)
    }
