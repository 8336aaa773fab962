"""Which cases a fold trains on and which it validates on."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError
from autoseg.workspace import DatasetFolder, read_json, write_json

FOLDS = 5
SEED = 12345

Splits = list[dict[str, list[str]]]


def five_fold_splits(cases: list[str], folds: int = FOLDS) -> Splits:
    """Shuffled folds over the sorted case names, as scikit-learn's KFold(5, shuffle=True, random_state=12345) gives.

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


def load_or_make_splits(folder: DatasetFolder, dataset: Dataset, usable: list[str]) -> Splits:
    """The dataset's splits: from the workspace, else `splits_final.json` beside the dataset as it is, else made now.

    usable: names of the cases that have been preprocessed. Raises AutosegError where a split names any other case.
    """
    source = folder.splits_json if folder.splits_json.exists() else dataset.folder / "splits_final.json"
    if not source.exists():
        splits = five_fold_splits(usable)
        write_json(folder.splits_json, splits)
        return splits
    splits = _validated(read_json(source), str(source))
    unknown = sorted({name for split in splits for name in split["train"] + split["val"]} - set(usable))
    if unknown:
        raise AutosegError(
            f"{source} names {len(unknown)} cases that are not among the preprocessed ones: {', '.join(unknown[:5])}"
            f"{', ...' if len(unknown) > 5 else ''}. Correct the file, or remove it to have new splits made."
        )
    if source != folder.splits_json:
        write_json(folder.splits_json, splits)
    return splits


def cases_of_fold(fold: str, splits: Splits, usable: list[str]) -> tuple[list[str], list[str]]:
    """(training, validation) case names of fold "0", "1", ... or "all", which trains on every case and validates on none.

    Raises AutosegError for a fold that is not there.
    """
    if fold == "all":
        return sorted(usable), []
    if not fold.isdigit() or int(fold) >= len(splits):
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
    for number, split in enumerate(splits):
        both = sorted(set(split["train"]) & set(split["val"]))
        if both:
            raise AutosegError(f"{source}: fold {number} trains and validates on {', '.join(both[:5])}. Correct the file.")
    return splits
