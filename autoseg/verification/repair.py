"""A copy of a dataset with corrected label values, which leaves the user's own files as they are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autoseg import image_io, layouts
from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.parallel import run_parallel
from autoseg.verification.case import listed, lost_case, memory_per_case, suggest_mapping
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.voxels import count_values, slabs


def find_mapping(dataset: Dataset, workers: int | None = None) -> dict[int, int]:
    """Return which label value stands for which known one, from the values of all training labels together.

    Reads every label. Raises AutosegError where every value is known, or where that is not clear.
    """
    found: set[int] = set()
    for outcome in run_parallel(_label_values, dataset.training, memory_per_case(dataset), workers):
        found |= set(outcome.value or ())
    known = dataset.labels.known_values
    if found <= set(known):
        raise AutosegError(f"{dataset.name}: every label value is one that dataset.json names ({listed(known)}). "
                           "There is nothing to repair.")
    mapping = suggest_mapping(found, dataset.labels)
    if mapping is None:
        raise AutosegError(
            f"{dataset.name}: the labels hold {listed(sorted(found))}, dataset.json names {listed(known)}: it is not "
            "clear which stands for which. Name all values in dataset.json, or correct the label files.")
    return mapping


def _label_values(case: Case) -> tuple[int, ...]:
    if case.label is None:
        return ()
    return tuple(count_values(image_io.read_label(case.label, case.images[0]).array[0]))


def repair_labels(
    dataset: Dataset, mapping: Mapping[int, int], target_folder: Path, workers: int | None = None
) -> list[Finding]:
    """Write a dataset to `target_folder` whose labels have `mapping`'s keys replaced by its values.

    It has nnU-Net v2's layout; its dataset.json points at the images, and at labels that needed no change, where they
    are, so that only changed labels are written. These it names by paths from its own folder, so that it can be moved. No file
    of `dataset` is touched. Returns a finding for each case whose label could not be read or still holds an unknown value;
    the new dataset leaves these cases out. Raises AutosegError where `target_folder` is not empty.
    """
    if target_folder.exists() and (not target_folder.is_dir() or any(target_folder.iterdir())):
        raise AutosegError(f"{target_folder} exists and is not empty. Name a new folder for the repaired copy.")
    target = target_folder.resolve()
    repair = functools.partial(_repair_case, mapping=dict(mapping), labels=dataset.labels, folder=target / "labelsTr")
    findings: list[Finding] = []
    label_of: dict[str, Path | None] = {}
    for outcome in run_parallel(repair, dataset.training, memory_per_case(dataset), workers):
        if outcome.error is None:
            label_of[outcome.item.name] = outcome.value
        else:
            findings += lost_case(outcome)
    good = [case for case in dataset.training if case.name in label_of]
    if not good:
        raise AutosegError(f"No label of {dataset.name} could be repaired: {findings[0]}")
    write_json(target / "dataset.json", _description(dataset, good, label_of))
    return findings


def _repair_case(case: Case, mapping: dict[int, int], labels: Labels, folder: Path) -> Path | None:
    """Repair a case and return the path of its label, from the new dataset; the path that it had where nothing had to change."""
    if case.label is None:
        return None
    image = image_io.read_label(case.label, case.images[0])
    found = count_values(image.array[0])
    unknown = {mapping.get(value, value) for value in found} - set(labels.known_values)
    if unknown:
        raise AutosegError(f"{case}: {case.label} holds {listed(sorted(unknown))} besides, which dataset.json does not "
                           f"name. Correct the label, {LEAVE_OUT}.")
    if not set(found) & set(mapping):
        return case.label
    repaired = np.empty(image.array.shape[1:], np.uint8 if max(labels.known_values) < 256 else np.uint16)
    for part in slabs(repaired.shape):
        slab = image.array[0, part]
        repaired[part] = slab
        for value, new in mapping.items():
            repaired[part][slab == value] = new
    target = folder / (layouts.stem(case.label) + image_io.label_ending(image_io.file_ending(case.label)))
    image_io.write_label(target, repaired, image)
    return target.relative_to(folder.parent)


def _description(dataset: Dataset, cases: list[Case], label_of: Mapping[str, Path | None]) -> dict[str, object]:
    order = dataset.labels.regions_class_order
    groups = {case.name: dataset.groups[case.name] for case in cases if case.name in dataset.groups}
    case_labels = {case.name: dataset.case_labels[case.name] for case in cases if case.name in dataset.case_labels}
    return {
        "channel_names": {str(channel): name for channel, name in enumerate(dataset.channel_names)},
        "labels": {name: list(value) if isinstance(value, tuple) else value for name, value in dataset.labels.values.items()},
        **({} if order is None else {"regions_class_order": list(order)}),
        "numTraining": len(cases),
        "file_ending": dataset.file_ending,
        **({"groups": groups} if groups else {}),
        **({"case_labels": case_labels} if case_labels else {}),
        "dataset": {
            case.name: {"images": [str(path) for path in case.images], **_label_entry(label_of[case.name])} for case in cases
        },
    }


def _label_entry(label: Path | None) -> dict[str, str]:
    return {} if label is None else {"label": str(label)}
