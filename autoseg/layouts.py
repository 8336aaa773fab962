"""Layouts of a dataset's folder, and what their files mean: nnU-Net v2's layout, the Decathlon's, a folder for each class.

Facts only; `dataset` has the models.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from autoseg import image_io
from autoseg.bounds import whole_number
from autoseg.errors import AutosegError, did_you_mean, many, some
from autoseg.image_io.dicom.codes import Code, Coding

CHANNEL_SUFFIX = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")
IGNORE = "ignore"
GROUPS_EXAMPLE = '{"patient_7": ["case_a", "case_b"], ...} or {"case_a": "patient_7", ...}'
NORMAL_AND_ABNORMAL = ("normal", "abnormal")  # folders of which one alone makes a dataset
OTHER_FOLDERS = re.compile(
    r"(images|labels)|(train|training|val|validation|test|testing|raw|data|masks?|predictions?)$", re.IGNORECASE)
CASE_LABELS_EXAMPLE = '{"case_a": "normal", "case_b": "abnormal", ...}'
DICOM_CODES_EXAMPLE = '{"kidney": {"type": ["64033007", "SCT", "Kidney"], "modifier": ["7771000", "SCT", "Left"]}, ...}'
CODED = ("type", "category", "modifier")
LONGEST_OF_CODE = (64, 16, 64)  # letters of value, scheme and meaning
NNUNET_EXAMPLE = (
    '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1}, "numTraining": 20, "file_ending": ".nii.gz"}'
)


class CaseFiles(NamedTuple):
    """A case's name, one image per channel (or one that holds all), and its label; files need not exist."""

    name: str
    images: tuple[Path, ...]
    label: Path | None


class LabelValues(NamedTuple):
    """The label values and their meaning, in the form that `autoseg.dataset.Labels` holds."""

    values: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None
    ignore: int | None


def is_decathlon(content: dict[str, Any]) -> bool:
    """Tell whether dataset.json lists its training files, as the Decathlon's (and nnU-Net v1's) does."""
    return isinstance(content.get("training"), list) and "channel_names" not in content


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder, sorted, without those that an operating system leaves behind (._*, .DS_Store)."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())


def series_folders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder that hold DICOM files, sorted."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir() and
                  image_io.holds_dicom(path))


def image_files(folder: Path) -> list[Path]:
    """Return the visible files of a folder whose endings are those of readable images, sorted."""
    return [path for path in visible_files(folder) if path.name.lower().endswith(image_io.ENDINGS)]


def stem(path: Path) -> str:
    """Return a file's name without its ending (.nii.gz as a whole)."""
    return path.name[:len(path.name) - len(image_io.file_ending(path))]


def required(content: dict[str, Any], key: str, expected: str, source: Path) -> Any:
    """Return an entry of dataset.json. Raises AutosegError that says what is there and what it should look like."""
    if key in content:
        return content[key]
    raise AutosegError(
        f'{source} has no entry "{key}"; it has {", ".join(sorted(content)) or "none"}. Add {expected}. '
        f"A whole file looks like this: {NNUNET_EXAMPLE}")


def channel_names(content: dict[str, Any], source: Path) -> tuple[str, ...]:
    """Return the names by channel, from `channel_names`, or from `modality`, the Decathlon's word for it."""
    key = "channel_names" if "channel_names" in content else "modality"
    key = key if key in content else "channel_names"
    names = required(content, key, f'"{key}": {{"0": "MRI"}}, one entry per channel', source)
    if isinstance(names, list):
        names = {str(channel): name for channel, name in enumerate(names)}
    if not isinstance(names, dict) or sorted(names) != sorted(str(channel) for channel in range(len(names))) or not names:
        raise AutosegError(
            f'{source}: "{key}" is {names!r}, expected one name per channel, counted from "0": {{"0": "T1", "1": "T2"}}.')
    return tuple(str(names[str(channel)]) for channel in range(len(names)))


def label_values(content: dict[str, Any], source: Path) -> LabelValues:
    """Return the labels of dataset.json, written name to value (nnU-Net v2) or value to name (Decathlon)."""
    labels = required(content, "labels", '"labels": {"background": 0, "organ": 1}', source)
    if not isinstance(labels, dict):
        raise AutosegError(f'{source}: "labels" is {labels!r}, expected names and values: {{"background": 0, "organ": 1}}.')
    if labels and all(whole_number(value) is not None and isinstance(name, str) and whole_number(name) is None
                      for value, name in labels.items()):
        labels = _name_to_value(labels, source)
    values = {str(name): _label_value(name, value, source) for name, value in labels.items()}
    if values.get("background", 0) != 0:
        raise AutosegError(f'{source}: the label "background" is {values["background"]}, expected 0.')
    if 0 not in values.values():
        values = {"background": 0, **values}
    ignore = _ignore_value(values, source)
    order = content.get("regions_class_order")
    if order is not None and not (isinstance(order, list) and all(type(value) is int for value in order)):
        raise AutosegError(f'{source}: "regions_class_order" is {order!r}, expected a list of label values: [1, 2, 3].')
    return LabelValues(values, None if order is None else tuple(order), ignore)


def _name_to_value(labels: dict[str, str], source: Path) -> dict[str, Any]:
    turned: dict[str, Any] = {}
    for value, name in sorted(labels.items(), key=lambda entry: int(entry[0])):
        if name in turned:
            raise AutosegError(
                f'{source}: the values {turned[name]} and {value} are both named "{name}". Give each its own name.')
        turned[name] = int(value)
    return turned


def _label_value(name: str, value: Any, source: Path) -> int | tuple[int, ...]:
    entries = value if isinstance(value, list) else [value]
    entries = [whole_number(v) if isinstance(v, str) else v for v in entries]
    if not entries or any(type(v) is not int or v < 0 for v in entries):
        raise AutosegError(
            f'{source}: the label "{name}" has the value {value!r}, expected a whole number from 0, or a list of them '
            "for a region: [1, 2].")
    return tuple(entries) if isinstance(value, list) else entries[0]


def _ignore_value(values: dict[str, int | tuple[int, ...]], source: Path) -> int | None:
    ignore = values.get(IGNORE)
    if ignore is None:
        return None
    others = [v for name, value in values.items() if name != IGNORE for v in (value if isinstance(value, tuple) else (value,))]
    if isinstance(ignore, tuple) or ignore <= max(others):
        raise AutosegError(
            f'{source}: the label "{IGNORE}" is {ignore!r}, expected one value above all others: {max(others) + 1}.')
    return ignore


def groups(content: dict[str, Any], cases: Collection[str], source: Path) -> dict[str, str]:
    """Return case to group, from the optional entry `groups`: {group: [cases]} or {case: group}. cases: all that the dataset has.

    Where a case's name is the group of another case, it belongs to that group, too. Raises AutosegError for an entry that is
    neither, for unknown cases, and for cases in two groups.
    """
    entries = content.get("groups")
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise AutosegError(f'{source}: "groups" is {entries!r}, expected {GROUPS_EXAMPLE}.')
    found: dict[str, set[str]] = defaultdict(set)
    for key, value in entries.items():
        members = value if isinstance(value, list) else [key]
        group = key if isinstance(value, list) else value
        if type(group) not in (str, int) or not members or not all(isinstance(case, str) for case in members):
            raise AutosegError(f'{source}: "groups" holds {key!r}: {value!r}, expected {GROUPS_EXAMPLE}.')
        for case in members:
            found[case].add(str(group))
    if unknown := sorted(found.keys() - set(cases)):
        raise AutosegError(
            f'{source}: "groups" names {many(len(unknown), "case")} that the dataset does not have: {some(unknown)}. '
            f"Correct them (the cases are called {some(sorted(cases), 3)}) or take them out. Expected is {GROUPS_EXAMPLE}.")
    twice = [f"{case} into {' and '.join(sorted(of))}" for case, of in sorted(found.items()) if len(of) > 1]
    if twice:
        raise AutosegError(f'{source}: "groups" puts {some(twice)}. Leave each case in one group.')
    of_case = {case: min(of) for case, of in sorted(found.items())}
    return {group: group for group in sorted(set(of_case.values()) & (set(cases) - set(of_case)))} | of_case


def case_labels(content: dict[str, Any], cases: Collection[str], source: Path) -> dict[str, str]:
    """Return case to the class of the whole case, such as "normal", from the optional entry `case_labels`. cases: all that the
    dataset has.

    Raises AutosegError for an entry of another form, and unknown cases.
    """
    entries = content.get("case_labels")
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise AutosegError(f'{source}: "case_labels" is {entries!r}, expected {CASE_LABELS_EXAMPLE}.')
    if wrong := [f"{case}: {word!r}" for case, word in entries.items() if not isinstance(word, str) or not word.strip()]:
        raise AutosegError(f'{source}: "case_labels" holds {some(wrong)}. Expected is the class of each case that it is known '
                           f"of, as a text: {CASE_LABELS_EXAMPLE}.")
    if unknown := sorted(entries.keys() - set(cases)):
        raise AutosegError(
            f'{source}: "case_labels" names {many(len(unknown), "case")} that the dataset does not have: {some(unknown)}. '
            f"Correct them (the cases are called {some(sorted(cases), 3)}) or take them out.")
    return dict(sorted(entries.items()))


def dicom_codes(content: dict[str, Any], names: Collection[str], source: Path) -> dict[str, Coding]:
    """Return label to its codes in DICOM objects, from the optional entry `dicom_codes`. names: of all labels.

    Raises AutosegError for an entry of another form and for unknown labels.
    """
    entries = content.get("dicom_codes")
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise AutosegError(f'{source}: "dicom_codes" is {entries!r}, expected {DICOM_CODES_EXAMPLE}.')
    if unknown := sorted(entries.keys() - set(names)):
        raise AutosegError(f'{source}: "dicom_codes" names {many(len(unknown), "label")} that "labels" does not have: '
                           f"{some(unknown)}.{did_you_mean(unknown[0], names)} Correct them or take them out.")
    return {name: _coding(name, entry, source) for name, entry in entries.items()}


def _coding(name: str, entry: Any, source: Path) -> Coding:
    parts = entry if isinstance(entry, dict) else {}
    right = {key: Code(*code) for key, code in parts.items() if key in CODED and _is_code(code)}
    if "type" not in right or right.keys() != parts.keys():
        raise AutosegError(
            f'{source}: "dicom_codes" holds {name!r}: {entry!r}. Expected is a "type", and where needed a "category" and a '
            f'"modifier", each a list of value, scheme and meaning (up to {", ".join(map(str, LONGEST_OF_CODE))} letters): '
            f"{DICOM_CODES_EXAMPLE}.")
    return Coding(**right)


def _is_code(code: Any) -> bool:
    return isinstance(code, list) and len(code) == 3 and all(
        isinstance(text, str) and 0 < len(text) <= most for text, most in zip(code, LONGEST_OF_CODE, strict=True))


def has_labelled_folders(folder: Path) -> bool:
    """Tell whether a folder without dataset.json holds a folder for each class (see `class_folders`)."""
    return bool(class_folders(folder))


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders of classes: all that hold an image, but for those whose names mean something else, such as
    imagesTr, train, or masks. One alone is enough where it is called normal or abnormal; else there must be two, or none counts.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    found = [name for name in names if not OTHER_FOLDERS.match(name) and _labelled_images(folder / name)]
    usual = [name for name in NORMAL_AND_ABNORMAL if name in found]
    return [*usual, *(name for name in found if name not in usual)] if usual or len(found) > 1 else []


def _labelled_images(folder: Path) -> list[tuple[str, Path]]:
    """Return name and path of each image in a folder: files, and folders that each hold one DICOM series."""
    return [*((stem(path), path) for path in image_files(folder)),
            *((path.name, image_io.series_of(path)) for path in series_folders(folder))]


def labelled_folders(folder: Path) -> tuple[list[CaseFiles], dict[str, str]]:
    """Return the cases of the folders of classes, one per image, named like its file without ending or the folder of
    its DICOM series; and their labels.

    Raises AutosegError where two images would be the same case.
    """
    found: dict[str, Path] = {}
    labels: dict[str, str] = {}
    for word in class_folders(folder):
        for name, path in _labelled_images(folder / word):
            if name in found:
                raise AutosegError(f"{found[name]} and {path} would both be the case {name}. Rename one of them, or take one "
                                   "away where they are the same image.")
            found[name], labels[name] = path, word
    return [CaseFiles(name, (path,), None) for name, path in sorted(found.items())], dict(sorted(labels.items()))


def decathlon_cases(folder: Path, content: dict[str, Any]) -> tuple[list[CaseFiles], list[CaseFiles]]:
    """Return training and test cases that dataset.json lists, whether their files exist or not."""
    source = folder / "dataset.json"
    training = [_listed_case(folder, entry, source) for entry in content["training"]]
    test = [_listed_case(folder, entry, source)._replace(label=None) for entry in content.get("test") or []]
    return _visible(training), _visible(test)


def _visible(cases: list[CaseFiles]) -> list[CaseFiles]:
    return sorted(case for case in cases if not case.name.startswith("."))


def _listed_case(folder: Path, entry: Any, source: Path) -> CaseFiles:
    files = {"image": entry} if isinstance(entry, str) else entry
    label = files.get("label") if isinstance(files, dict) else None
    if not isinstance(files, dict) or not isinstance(files.get("image"), str) or not isinstance(label, (str, type(None))):
        raise AutosegError(
            f'{source}: an entry is {entry!r}, expected {{"image": "./imagesTr/case.nii.gz", '
            '"label": "./labelsTr/case.nii.gz"}.')
    image = located(folder, files["image"])
    name = stem(image)
    channels: tuple[Path, ...] = ()
    if not image.exists():  # nnU-Net v1 lists case.nii.gz where the files are case_0000.nii.gz, case_0001.nii.gz
        channels = tuple(sorted(image.parent.glob(f"{name}_[0-9][0-9][0-9][0-9]{image.name.removeprefix(name)}")))
    return CaseFiles(name, channels or (image,), None if label is None else located(folder, label))


def located(folder: Path, written: str) -> Path:
    """Return a path of dataset.json: relative to the dataset's folder, or absolute; environment variables are filled in. A folder
    stands for the DICOM series in it."""
    path = folder / os.path.normpath(os.path.expandvars(written))
    return image_io.series_of(path) if path.is_dir() else path


def section_cases(folder: Path, section: Any) -> list[CaseFiles]:
    """Return the training cases of the optional `dataset` section: {case: {"images": [...], "label": ...}}."""
    source = folder / "dataset.json"
    if not isinstance(section, dict):
        raise AutosegError(f'{source}: "dataset" is no object, expected {{"case": {{"images": [...], "label": "..."}}}}.')
    cases = []
    for name, files in sorted(section.items()):
        images = files.get("images") if isinstance(files, dict) else None
        label = files.get("label") if isinstance(files, dict) else None
        if not isinstance(images, list) or not images or not all(isinstance(path, str) for path in [*images, label or ""]):
            raise AutosegError(
                f'{source}: case {name} in "dataset" is {files!r}, expected {{"images": ["...", ...], "label": "..."}}.')
        cases.append(CaseFiles(name, tuple(located(folder, path) for path in images),
                               None if label is None else located(folder, label)))
    return cases


def folder_cases(images: Path, labels: Path | None, ending: str, channels: int) -> list[CaseFiles]:
    """Return the cases of imagesTr and labelsTr (`labels`; None for test images), or of either alone.

    A case has one file per channel, `{case}_{channel, 4 digits}{ending}`, whether each exists or not, or a folder of that name
    without ending, which holds a DICOM series; where no case has a second file, one file holds all channels (RGB images). The
    label of a series may be a DICOM segmentation, or have any other ending that is there.
    """
    found: dict[str, set[int]] = defaultdict(set)
    series = {path.name: image_io.series_of(path) for path in series_folders(images)}
    for name in (*series, *(path.name.removesuffix(ending) for path in visible_files(images) if path.name.endswith(ending))):
        if match := CHANNEL_SUFFIX.match(name):
            found[match["case"]].add(int(match["channel"]))
    several = any(numbers != {0} for numbers in found.values())
    if labels is not None:
        for path in visible_files(labels):
            if path.name.endswith(ending):
                found.setdefault(path.name.removesuffix(ending), set())
    expected = range(channels if several else 1)
    return [
        CaseFiles(name, tuple(series.get(f"{name}_{channel:04d}", images / f"{name}_{channel:04d}{ending}")
                              for channel in sorted({*expected, *found[name]})),
                  None if labels is None else _label_file(labels, name, ending, f"{name}_0000" in series))
        for name in sorted(found)
    ]


def _label_file(folder: Path, name: str, ending: str, of_series: bool) -> Path:
    """Return the label of a case, whether it exists or not."""
    usual = folder / f"{name}{ending}"
    others = [folder / f"{name}{other}" for other in image_io.ENDINGS] if of_series else []
    return next((path for path in (usual, *others) if path.is_file()), usual)
