"""Every check that one case's files allow, in one reading of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from autoseg import image_io, layouts
from autoseg.dataset import Case, Dataset, Labels, grid_differences, stack_channels, wrong_channel_count
from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.intensities import REPLACE_EXTREMES, extreme_values, is_ct
from autoseg.parallel import Outcome
from autoseg.preprocessing.crop import labelled_outside, nonzero_box
from autoseg.verification.findings import LEAVE_OUT, Code, Finding, Severity
from autoseg.verification.label_names import misnamed
from autoseg.verification.names import naming_remedy
from autoseg.voxels import count_values, slabs

SHOWN_VALUES = 8
ONE_VALUE = "the image has the same value everywhere"
LABEL_BYTES = 10  # per voxel: the label, its reader's copy, and what counting components in it takes


@dataclass
class CheckedCase:
    """A case that was read once.

    findings: what is wrong with it. image (C, Z, Y, X), label (1, Z, Y, X): None where anything but warnings was found,
    label also where the case has none. digest: of the image's shape and values; equal images have equal digests; None
    where it could not be read. label_counts: voxels by label value.
    """

    case: Case
    findings: list[Finding] = field(default_factory=list)
    image: Image | None = None
    label: Image | None = None
    digest: str | None = None
    label_counts: dict[int, int] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def note(self, file: Path, severity: Severity, code: Code, problem: str, remedy: str) -> None:
        """Add a finding."""
        self.findings.append(
            Finding(case=self.case.name, file=str(file), severity=severity, code=code, problem=problem, remedy=remedy))

    def drop(self, code: Code) -> None:
        """Remove the findings with this code."""
        self.findings[:] = [finding for finding in self.findings if finding.code != code]


def check_case(case: Case, dataset: Dataset) -> CheckedCase:
    """Read a case and check all that can be seen in it alone: missing and unreadable files, channels, grids, NaN, labels.

    Never raises for what is wrong with files: each fault is a finding. Checks what can still be checked after one.
    """
    checked = CheckedCase(case)
    channels = [_read(checked, path, image_io.read_image) for path in case.images]
    label = None if case.label is None else _read(checked, case.label, partial(image_io.read_label, like=case.images[0]))
    readable = {path: image for path, image in zip(case.images, channels, strict=True) if image is not None}
    _check_grids(checked, readable, label)
    for path, image in readable.items():
        _check_intensities(checked, path, image, dataset)
    if label is not None:
        _check_label_values(checked, label, dataset)
        _check_label_names(checked, dataset)
    if len(readable) == len(case.images):
        _check_channels(checked, readable, dataset)
        checked.digest = _digest(checked, readable)
    if not checked.has_errors:
        stack = list(readable.values())
        del channels, readable  # so that each channel's own array is freed once it is stacked
        checked.image, checked.label = stack_channels(stack), label
        _check_crop(checked, dataset)
    return checked


def _read(checked: CheckedCase, path: Path, reader: Callable[[Path], Image]) -> Image | None:
    if not image_io.exists(path):
        near = naming_remedy(checked.case, path)
        checked.note(path, "error", "missing_file", f"the file {path.name} does not exist",
                     near or f"Put it there, correct dataset.json, {LEAVE_OUT}.")
        return None
    try:
        return reader(path)
    except AutosegError as error:
        checked.note(path, "error", "unreadable", str(error), f"Copy or export the file again, {LEAVE_OUT}.")
        return None


def _check_grids(checked: CheckedCase, readable: Mapping[Path, Image], label: Image | None) -> None:
    if not readable:
        return
    first = next(iter(readable.values()))
    parts = [("channel", path, image) for path, image in readable.items() if image is not first]
    if label is not None and checked.case.label is not None:
        parts.append(("label", checked.case.label, label))
    for part, path, image in parts:
        if differing := grid_differences(first, image):
            sized = [getattr(one.header, "has_sidecar", None) for one in (first, image)]
            remedy = f"Correct the file, {LEAVE_OUT}."
            if sized == [True, False]:
                remedy = f"Its voxel sizes are missing, which the image has: put {layouts.stem(path)}.json beside the {part}."
            checked.note(path, "error", "grid", f"the {part} does not lie on the image's grid: {differing}", remedy)


def _check_channels(checked: CheckedCase, readable: Mapping[Path, Image], dataset: Dataset) -> None:
    wrong = wrong_channel_count(list(readable.values()), dataset)
    if not wrong:
        return
    remedy = f"Correct the channels in dataset.json, {LEAVE_OUT}."
    if dataset.layout == "nnunet" and len(readable) == 1:
        last = f"_{len(dataset.channel_names) - 1:04d}{dataset.file_ending}"
        remedy = f"Add one file per channel, up to {last}, or name only the channels that there are."
        colours = next(iter(readable.values())).array
        if len(dataset.channel_names) == 1 and len(colours) == 3 and all(np.array_equal(colours[0], one) for one in colours[1:]):
            remedy = ("It is a gray image that is stored in colour: its three channels are equal. Save it with one channel "
                      "(in Pillow: convert('L')), or name three channels in dataset.json.")
    checked.note(checked.case.images[0], "error", "channels", wrong, remedy)


def _check_intensities(checked: CheckedCase, path: Path, image: Image, dataset: Dataset) -> None:
    if image.array.dtype.kind == "f":
        broken = sum(
            int(np.count_nonzero(~np.isfinite(channel[part]))) for channel in image.array for part in slabs(channel.shape))
        if broken:
            checked.note(path, "error", "not_finite", f"{broken} voxel(s) are NaN or infinite",
                         f"Replace them by a number, {LEAVE_OUT}.")
            return
        is_ct_alone = all(map(is_ct, dataset.channel_names)) and bool(dataset.channel_names)
        for extreme in filter(None, map(extreme_values, image.array)):
            checked.note(path, "warning" if is_ct_alone else "error", "extreme", extreme,
                         f"{REPLACE_EXTREMES} with --skip-bad-cases.")
    if any(channel.min() == channel.max() for channel in image.array):
        checked.note(path, "warning", "one_value", ONE_VALUE, "Look whether it was exported correctly.")


def _digest(checked: CheckedCase, readable: Mapping[Path, Image]) -> str:
    """Return the digest of shape and values of all channels. Notes where two channels of the case are the same."""
    first_with: dict[str, Path] = {}
    digests = []
    for path, image in readable.items():
        for channel in image.array:
            content = hashlib.sha256(repr((channel.shape, channel.dtype.str)).encode())
            for part in slabs(channel.shape):
                content.update(np.ascontiguousarray(channel[part]).data)
            digests.append(content.hexdigest())
            twin = first_with.setdefault(digests[-1], path)
            if twin != path:
                checked.note(path, "warning", "same_channel", f"the channel has the same values as {twin.name}",
                             "Look whether one file was copied under two names.")
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _check_label_values(checked: CheckedCase, label: Image, dataset: Dataset) -> None:
    path, labels = checked.case.label or Path(), dataset.labels
    checked.label_counts = count_values(label.array[0])
    if set(checked.label_counts) - set(labels.known_values):
        mapping = suggest_mapping(checked.label_counts, labels)
        remedy = f"Correct the label, name its values in dataset.json, {LEAVE_OUT}."
        if mapping:
            changes = ", ".join(f"{new} for {value}" for value, new in mapping.items())
            remedy = f"autoseg verify {dataset.folder} --repair NEW_FOLDER writes a corrected copy ({changes})."
        checked.note(path, "error", "label_values", f"the label holds the values {listed(checked.label_counts)}, "
                     f"dataset.json names {listed(labels.known_values)}", remedy)
    elif labels.foreground and not set(checked.label_counts) - {0, labels.ignore}:
        checked.note(path, "warning", "empty_label", "the label is empty: it holds background only",
                     "Look whether the structure is really absent.")


def _check_label_names(checked: CheckedCase, dataset: Dataset) -> None:
    """Note values that the label file itself calls by the name of another value in dataset.json."""
    path = checked.case.label or Path()
    for problem in misnamed(path, dataset.labels):
        checked.note(path, "error", "label_names", problem,
                     f"Correct the values in dataset.json, make the dataset with autoseg convert, {LEAVE_OUT}.")


def _check_crop(checked: CheckedCase, dataset: Dataset) -> None:
    """Note labelled voxels outside of the box that holds all non-zero voxels."""
    if checked.image is None or checked.label is None or checked.case.label is None:
        return
    away = labelled_outside(checked.label.array[0], nonzero_box(checked.image.array), dataset.labels.ignore)
    if away:
        labelled = sum(count for value, count in checked.label_counts.items() if value not in (0, dataset.labels.ignore))
        checked.note(
            checked.case.label, "warning", "cropped_away",
            f"{away} of {labelled} labelled voxels lie where preprocessing crops the image, as all channels are 0 there",
            "They are not trained on and cannot be predicted, so that Dice counts them as missed. Look whether the label belongs "
            "to the image, and whether the image was masked.")


def suggest_mapping(found: Iterable[int], labels: Labels) -> dict[int, int] | None:
    """Return the known value that each found one most likely stands for, or None where that is not clear.

    Values are paired in ascending order (0, 127, 255 for 0, 1, 2). That is clear where as many values other than 0 are
    found as dataset.json names, with or without the ignore value, and only unknown ones would change.
    found: the values of a label, or better of a whole dataset.
    """
    present = sorted(set(found) - {0})
    named = [value for value in labels.known_values if value != 0]
    for expected in (named, [value for value in named if value != labels.ignore]):
        if len(expected) == len(present):
            mapping = {value: other for value, other in zip(present, expected, strict=True) if value != other}
            return mapping if mapping and not set(mapping) & set(named) else None
    return None


def listed(values: Iterable[int] | Sequence[int]) -> str:
    """Return values separated by commas, not more than can be read."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:SHOWN_VALUES]) + (f", ... ({len(texts)} values)" if len(texts) > SHOWN_VALUES else "")


def lost_case(outcome: Outcome[Case]) -> list[Finding]:
    """Return the finding for a case whose check did not come to an end: memory ran out, or its process was killed."""
    return [Finding(
        case=outcome.item.name, file=str(outcome.item.images[0]), severity="error", code="lost", problem=str(outcome.error),
        remedy=f"Use fewer processes (-np 1), {LEAVE_OUT}.")]


def without_cases(dataset: Dataset) -> Dataset:
    """Return what a worker needs to know of the dataset: all but its list of cases."""
    return dataset.model_copy(update={"training": (), "test": ()})


def memory_per_case(dataset: Dataset) -> int:
    """Return the bytes that the largest case takes to be read and checked, by the headers; files that cannot be read count 0."""
    return max((_case_bytes(case) for case in (*dataset.training, *dataset.test)), default=0)


def _case_bytes(case: Case) -> int:
    files, voxels = [], 0
    for path in case.images:
        try:
            (channels, z, y, x), _, bytes_per_voxel = image_io.read_geometry(path)
        except AutosegError:
            continue
        voxels = z * y * x
        files.append(channels * voxels * bytes_per_voxel)
    return sum(files) + 2 * max(files, default=0) + LABEL_BYTES * voxels
