"""Datasets as users have them: nnU-Net v2's and the Decathlon's layouts, and folders normal and abnormal, read in place."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import ValidationError, model_validator

from autoseg import image_io, layouts
from autoseg.bounds import whole_number
from autoseg.errors import AutosegError, did_you_mean, many, some
from autoseg.image import Image
from autoseg.image_io.dicom.codes import Coding
from autoseg.names import name_fault, same_on_disk
from autoseg.plan import Frozen
from autoseg.regions import painting_fault
from autoseg.workspace import DatasetFolder, Workspace, read_json

RAW_VARIABLES = ("AUTOSEG_RAW", "nnUNet_raw")
NUMBERED_NAME = re.compile(r"^(?:Dataset|Task)(\d+)(?!\d)")


class Labels(Frozen):
    """The meaning of the label values.

    values: name to label value (a class), or to several (a region: the union of these values), background included.
    regions_class_order: in region datasets, the value that each region is painted with, in painting order.
    ignore: the value that is not to be learned from, or None. It has no output channel.
    """

    values: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None
    ignore: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Labels:
        if self.has_regions and len(self.regions_class_order or ()) != len(self.foreground):
            raise ValueError("regions_class_order must hold one value for each region other than background")
        if self.has_regions and (fault := painting_fault(self.foreground, self.regions_class_order or ())):
            raise ValueError(fault)
        return self

    @property
    def has_regions(self) -> bool:
        """Tell whether any entry is a union of several values: then each region has its own sigmoid output."""
        return any(isinstance(value, tuple) and len(value) > 1 for value in self.values.values())

    @property
    def foreground(self) -> dict[str, tuple[int, ...]]:
        """Return the label values of each name, without background and ignore, in dataset.json's order."""
        tuples = {name: (v if isinstance(v, tuple) else (v,)) for name, v in self.values.items()}
        return {name: v for name, v in tuples.items() if v != (0,) and v != (self.ignore,)}

    @property
    def output_channels(self) -> int:
        """Return the number of a network's logits: one per region, or background and one per class up to the highest value."""
        if self.has_regions:
            return len(self.foreground)
        return max((v for values in self.foreground.values() for v in values), default=0) + 1

    @property
    def known_values(self) -> tuple[int, ...]:
        """Return every value that a label file may hold, ascending."""
        known = {0} | {v for values in self.foreground.values() for v in values}
        return tuple(sorted(known | ({self.ignore} if self.ignore is not None else set())))

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        """Return label values (Z, Y, X), uint8 (uint16 above 255), from logits (output_channels, Z, Y, X).

        Classes: the highest logit. Regions: where a region's logit is positive (probability above one half) it is
        painted with its entry of regions_class_order, later regions over earlier ones.
        """
        dtype = np.uint8 if max(self.known_values) < 256 else np.uint16
        if not self.has_regions:
            return logits.argmax(0).astype(dtype)
        painted = np.zeros(logits.shape[1:], dtype)
        for channel, value in enumerate(self.regions_class_order or ()):
            painted[logits[channel] > 0] = value
        return painted


class Case(Frozen):
    """One image of one or more channels, and its label.

    images: one file per channel, or one file whose fourth dimension holds the channels. label: None for test cases.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None

    def __str__(self) -> str:
        return f"case {self.name}"


class Dataset(Frozen):
    """A dataset of any layout. Written to the workspace as dataset.json, with absolute paths.

    channel_names: by channel; a name may stand for a normalization (CT, ...); empty where nothing says so (layout "folders"):
    then they are what the files hold. file_ending: of images and labels, with the dot; of layout "folders", the most frequent
    one. training and test: sorted by case name. groups: case to group (patient), where dataset.json says which cases belong
    together; see `autoseg.groups` for the others. case_labels: case to its class, such as "normal", where that is known; test
    cases may be among them. dicom_codes: of labels, where dataset.json has them.
    """

    remedy: ClassVar[str] = (
        "To make it anew, plan again with the path of your dataset in place of its name: autoseg_plan_and_preprocess {dataset}")

    name: str
    folder: Path
    layout: Literal["nnunet", "decathlon", "folders"]
    channel_names: tuple[str, ...]
    labels: Labels
    file_ending: str
    training: tuple[Case, ...]
    test: tuple[Case, ...] = ()
    groups: dict[str, str] = {}
    case_labels: dict[str, str] = {}
    dicom_codes: dict[str, Coding] = {}


def load_dataset(folder: Path) -> Dataset:
    """Return the dataset of a folder that holds dataset.json (nnU-Net v2's or the Decathlon's layout), or else a folder for each
    class (see `layouts.class_folders`), in which each image is a case.

    No image is opened and files need not exist: `verify` finds what is wrong with them. Where `folder` is a dataset's in the
    workspace, the user's own is taken. Raises AutosegError where dataset.json is missing, is no JSON, lacks an entry or
    contradicts itself, or where there is not a single case.
    """
    source = folder / "dataset.json"
    if not folder.is_dir():
        raise AutosegError(f"{folder} is no folder. Expected a dataset's folder that holds dataset.json.")
    if not source.is_file() and layouts.has_labelled_folders(folder):
        dataset = _load_folders(folder.resolve())
        _require_unique_names(dataset, folder)
        return dataset
    if not source.is_file():
        there = ", ".join(sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))[:8])
        raise AutosegError(
            f"{folder} has no dataset.json; it holds {there or 'nothing'}. Expected nnU-Net v2's layout (dataset.json, imagesTr, "
            "labelsTr) or the Decathlon's, or where nothing is segmented, a folder of images for each class (normal, abnormal). "
            f"dataset.json looks like this: {layouts.NNUNET_EXAMPLE}")
    content = read_json(source)
    if not isinstance(content, dict):
        raise AutosegError(f"{source} holds no object, expected {layouts.NNUNET_EXAMPLE}")
    if "layout" in content and "folder" in content:
        return load_dataset(Path(content["folder"]))
    load = _load_decathlon if layouts.is_decathlon(content) else _load_nnunet
    dataset = load(folder.resolve(), content)
    _require_unique_names(dataset, source)
    names = [case.name for case in (*dataset.training, *dataset.test)]
    case_labels = layouts.case_labels(content, names, source)
    return dataset.model_copy(update={
        "groups": layouts.groups(content, names, source), "case_labels": case_labels,
        "dicom_codes": layouts.dicom_codes(content, dataset.labels.values, source),
        "training": tuple(_without_missing_label(case) if case.name in case_labels else case for case in dataset.training)})


def _without_missing_label(case: Case) -> Case:
    """Return a case whose class is known; it needs no label file, so a missing one is left out."""
    return case if case.label is None or case.label.exists() else case.model_copy(update={"label": None})


def load_labels(source: Path) -> Labels:
    """Return the meaning of the label values in dataset.json. Raises AutosegError where it is missing or contradicts itself."""
    content = read_json(source)
    if not isinstance(content, dict):
        raise AutosegError(f"{source} holds no object, expected {layouts.NNUNET_EXAMPLE}")
    try:
        return Labels.model_validate(content["labels"]) if "layout" in content else _labels(content, source)
    except ValidationError as error:
        raise AutosegError(f"{source}: {_reason(error)}.") from error


def _labels(content: dict[str, Any], source: Path) -> Labels:
    found = layouts.label_values(content, source)
    try:
        return Labels(values=found.values, regions_class_order=found.regions_class_order, ignore=found.ignore)
    except ValidationError as error:
        raise AutosegError(f"{source}: {_reason(error)}.") from error


def _reason(error: ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")


def _load_decathlon(folder: Path, content: dict[str, Any]) -> Dataset:
    source = folder / "dataset.json"
    training, test = layouts.decathlon_cases(folder, content)
    if not training:
        raise AutosegError(f'{source}: "training" lists no case. Expected one entry per training image.')
    return Dataset(
        name=folder.name, folder=folder, layout="decathlon", channel_names=layouts.channel_names(content, source),
        labels=_labels(content, source), file_ending=image_io.file_ending(training[0].images[0]),
        training=_cases(training), test=_cases(test))


def _load_nnunet(folder: Path, content: dict[str, Any]) -> Dataset:
    source = folder / "dataset.json"
    names = layouts.channel_names(content, source)
    labels = _labels(content, source)
    ending = str(layouts.required(content, "file_ending", '"file_ending": ".nii.gz"', source))
    if not ending.startswith("."):
        raise AutosegError(f'{source}: "file_ending" is "{ending}", expected it with its dot: ".{ending}".')
    labels_folder = folder / "labelsTr" if labels.foreground or (folder / "labelsTr").is_dir() else None
    if "dataset" in content:
        training = layouts.section_cases(folder, content["dataset"])
    else:
        training = layouts.folder_cases(folder / "imagesTr", labels_folder, ending, len(names))
    if not training:
        there = sorted({image_io.file_ending(path) for path in layouts.visible_files(folder / "imagesTr")})
        raise AutosegError(
            f"{folder} has no training case: no file in imagesTr is named like case_0000{ending}, as \"file_ending\" in "
            f"dataset.json says. " + (f"Files there end with {', '.join(there)}." if there else "imagesTr is empty or absent."))
    return Dataset(
        name=folder.name, folder=folder, layout="nnunet", channel_names=names, labels=labels, file_ending=ending,
        training=_cases(training), test=_cases(layouts.folder_cases(folder / "imagesTs", None, ending, len(names))))


def _load_folders(folder: Path) -> Dataset:
    training, case_labels = layouts.labelled_folders(folder)
    endings = Counter(image_io.file_ending(case.images[0]) for case in training)
    return Dataset(
        name=folder.name, folder=folder, layout="folders", channel_names=(), labels=Labels(values={"background": 0}),
        file_ending=endings.most_common(1)[0][0], training=_cases(training), case_labels=case_labels)


def _cases(files: Sequence[layouts.CaseFiles]) -> tuple[Case, ...]:
    return tuple(Case(name=name, images=images, label=label) for name, images, label in files)


def _require_unique_names(dataset: Dataset, source: Path) -> None:
    """Raise AutosegError where files of two cases would be the same file, or no file can be called after a case."""
    for cases in (dataset.training, dataset.test):
        names = [case.name for case in cases]
        if faults := [f"case {name!a}: {fault}" for name in names if (fault := name_fault(name))]:
            raise AutosegError(f"{source}: files cannot be called after {many(len(faults), 'case')} ({some(faults)}). "
                               "Rename them.")
        pairs = list(same_on_disk(names))
        if twice := [name for name, other in pairs if name == other]:
            raise AutosegError(f"{source} lists {some(twice)} more than once. Leave one entry for each case.")
        if pairs:
            same = some(f"{name!a} and {other!a}" for name, other in pairs)
            raise AutosegError(f"{source}: cases have names that differ only by capital letters or the form of Unicode: {same}. "
                               "Many disks take them for the same file. Rename one of each pair.")


def find_dataset(argument: str, workspace: Workspace) -> Path:
    """Return the folder of the dataset that a command line means.

    argument: a path to a dataset's folder, or the name ("Dataset004_Hippocampus") or number ("4", "004") of one under
    the workspace, $AUTOSEG_RAW or $nnUNet_raw, in this order. Raises AutosegError that lists what there is where
    nothing fits, or where a number stands for several.
    """
    if Path(argument).is_dir() and (whole_number(argument) is None or (Path(argument) / "dataset.json").exists()):
        return _users_folder(Path(argument))
    known = known_datasets(workspace)
    if argument in known:
        return known[argument]
    fitting = numbered(argument, known)
    if len(fitting) == 1:
        return known[fitting[0]]
    if fitting:
        shared = "name" if whole_number(argument) is None else "number"
        raise AutosegError(f"Several datasets have the {shared} {argument}: {', '.join(fitting)}. Give a name or a path.")
    there = {*known, *(folder.name for folder in workspace.planned_datasets())}
    for folder in workspace.planned_datasets():
        if folder.name in (argument, *numbered(argument, [folder.name])):
            require_there(_users_folder(folder.root), folder)
    places = ", ".join([f"the workspace {workspace.root}", *(f"${name}" for name in RAW_VARIABLES)])
    raise AutosegError(
        f"{argument} is no folder, and no dataset of this name or number lies under {places}. "
        + (f"There are: {', '.join(sorted(there))}.{_nearest(argument, there)}" if there
           else "No dataset lies there at all. Give the path of one."))


def _nearest(argument: str, names: Iterable[str]) -> str:
    """Return a question with the name that was nearly typed, with or without its number; "" where none is near."""
    there = list(names)
    return did_you_mean(argument, there) or did_you_mean(argument, filter(None, map(_without_number, there)))


def require_there(source: Path, folder: DatasetFolder, *flags: str) -> None:
    """Raise AutosegError where the user's folder that `folder` was planned from is gone, with the way to go on. flags: of
    planning."""
    if not source.is_dir():
        again = shlex.join(["PATH", *flags, *folder.workspace_flags])
        raise AutosegError(
            f"{folder.name} was planned from {source}, which is not there any more. Put it back, or plan it from where it lies "
            f"now, which keeps what is preprocessed and trained: autoseg_plan_and_preprocess {again}")


def numbered(argument: str, names: Iterable[str]) -> list[str]:
    """Return the names that have the number ("4", "004") that `argument` is, or that are `argument` in another case or without
    "Dataset" and the number ("hippocampus" for "Dataset004_Hippocampus")."""
    numbers = {name: NUMBERED_NAME.match(name) for name in names}
    if (number := whole_number(argument)) is not None:
        return [name for name, match in numbers.items() if match and whole_number(match[1]) == number]
    return [name for name in numbers if argument.lower() in (name.lower(), _without_number(name).lower())]


def _without_number(name: str) -> str:
    """Return "Hippocampus" for "Dataset004_Hippocampus"; "" for a name without a number."""
    match = NUMBERED_NAME.match(name)
    return name[match.end():].lstrip("_") if match else ""


def known_datasets(workspace: Workspace) -> dict[str, Path]:
    """Return each dataset's user folder by name, under the workspace, $AUTOSEG_RAW and $nnUNet_raw; the first one counts."""
    roots = [workspace.root, *(Path(os.environ[name]) for name in RAW_VARIABLES if os.environ.get(name))]
    known: dict[str, Path] = {}
    for root in roots:
        for inside in sorted(path for path in root.glob("*") if path.is_dir()):
            if not (inside / "dataset.json").is_file() and not layouts.has_labelled_folders(inside):
                continue
            folder = _users_folder(inside)
            if folder.is_dir():
                known.setdefault(inside.name, folder)
    return known


def _users_folder(folder: Path) -> Path:
    """Return the folder itself, or where it is a dataset's folder in a workspace, the user's folder that it was planned from."""
    try:
        content = read_json(folder / "dataset.json")
    except AutosegError:
        return folder
    if isinstance(content, dict) and "layout" in content and "folder" in content:
        return Path(content["folder"])
    return folder


def read_case(case: Case, dataset: Dataset) -> tuple[Image, Image | None]:
    """Return a case's image, all channels stacked (C, Z, Y, X), and its label (1, Z, Y, X), or None where it has none.

    Raises AutosegError, naming case and file, where a file is missing or unreadable, where channels or label do not lie on one
    grid, or where their number is not that of dataset.json. `verify` judges the label values.
    """
    channels = [_read(case, path) for path in case.images]
    label = None if case.label is None else _read(case, case.label, is_label=True)
    parts = [*zip(case.images, channels, strict=True), *([(case.label, label)] if case.label and label else [])]
    for path, part in parts[1:]:
        if differing := grid_differences(channels[0], part):
            raise AutosegError(
                f"{case}: {path} does not lie on the grid of {case.images[0]}: {differing}. Correct the file, or leave "
                "the case out with --skip-bad-cases.")
    if wrong := wrong_channel_count(channels, dataset):
        raise AutosegError(f"{case}: {wrong} ({case.images[0]}). Correct dataset.json or the case's files.")
    return stack_channels(channels), label


def grid_differences(image: Image, other: Image) -> str:
    """Return in words how the grids of two images differ; "" where they coincide."""
    shape, other_shape = image.array.shape[1:], other.array.shape[1:]
    if shape != other_shape:
        return f"shape (z, y, x) {other_shape} against {shape}"
    return "; ".join(other.geometry.differences(image.geometry, shape))


def wrong_channel_count(channels: Sequence[Image], dataset: Dataset) -> str:
    """Return in words what is wrong where a case's files do not hold the channels that dataset.json names; "" where they do."""
    found = sum(image.array.shape[0] for image in channels)
    if found == len(dataset.channel_names) or not dataset.channel_names:
        return ""
    names = ", ".join(dataset.channel_names)
    return f"the image has {found} channel(s), dataset.json names {len(dataset.channel_names)} ({names})"


def stack_channels(channels: list[Image]) -> Image:
    """Return one image (C, Z, Y, X) from the images of a case, on the first one's grid; `channels` is emptied.

    The dtype is that of the files where they share one, the smallest common integer type, else float32.
    """
    if len(channels) == 1:
        return channels.pop()
    first = channels[0]
    dtype = np.result_type(*(image.array.dtype for image in channels))
    if dtype.kind == "f" and any(image.array.dtype != dtype for image in channels):
        dtype = np.dtype(np.float32)
    counts = [image.array.shape[0] for image in channels]
    stacked = np.empty((sum(counts), *first.array.shape[1:]), dtype)
    start = 0
    for count in counts:
        stacked[start:start + count] = channels.pop(0).array  # each file's array is freed once it is copied
        start += count
    return Image(stacked, first.geometry, first.header)


def _read(case: Case, path: Path, is_label: bool = False) -> Image:
    try:
        return image_io.read_label(path, case.images[0]) if is_label else image_io.read_image(path)
    except AutosegError as error:
        raise AutosegError(f"{case}: {error}") from error
