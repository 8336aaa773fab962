"""A case of series, written as files of a dataset."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from autoseg.conversion.cases import SeriesCase, volume_of
from autoseg.dataset import grid_differences
from autoseg.errors import AutosegError, many, some
from autoseg.image import Image
from autoseg.image_io import write_image, write_label
from autoseg.image_io.dicom.annotations import Annotation, masks_of
from autoseg.image_io.dicom.reading import read_volume

ENDING = ".nii.gz"
FOLDERS = ("imagesTr", "labelsTr", "imagesTs")
Overlap = Literal["refuse", "later"]


class Files(NamedTuple):
    """The files of a case in a dataset, by their paths in its folder. label: None for a test case."""

    images: tuple[str, ...]
    label: str | None

    @property
    def all(self) -> tuple[str, ...]:
        return self.images if self.label is None else (*self.images, self.label)


def files_of(case: SeriesCase) -> Files:
    """Return where a case goes: imagesTr and labelsTr, or imagesTs where nothing was drawn on it."""
    folder = "imagesTr" if case.annotations else "imagesTs"
    return Files(tuple(f"{folder}/{case.name}_{channel:04}{ENDING}" for channel in range(len(case.channels))),
                 f"labelsTr/{case.name}{ENDING}" if case.annotations else None)


def convert_case(
    case: SeriesCase, folder: Path, values: Mapping[str, int], of_name: Mapping[str, str], overlap: Overlap
) -> tuple[str, ...]:
    """Write a case into a dataset's folder; return notes on what was drawn, one sentence each.

    values, of_name: see `Classes`. overlap: "later" gives voxels of several classes to that with the largest value. Raises
    AutosegError, and has written nothing, where a file cannot be read, channels lie on different grids, two files draw the same
    class, or classes overlap and `overlap` is "refuse".
    """
    if case.problem:
        raise AutosegError(f"{case}: {case.problem}.")
    try:
        images = [read_volume(channel.volume) for channel in case.channels]
        for channel, image in zip(case.channels[1:], images[1:], strict=True):
            if differing := grid_differences(images[0], image):
                raise AutosegError(f"{channel.volume.series} does not lie on the grid of {case.channels[0].volume.series}: "
                                   f"{differing}. Channels are not resampled: resample them before, or choose others with "
                                   "--channels.")
        labels, notes = _labels(case, images[0], values, of_name, overlap) if case.annotations else (None, ())
        if len({channel.volume.series.frame_of_reference for channel in case.channels}) > 1:
            notes = (*notes, f"{case}: its channels are in different frames of reference: look whether they fit onto each other")
    except AutosegError as error:
        raise AutosegError(f"{case}: {error}") from error
    files = files_of(case)
    for name, image in zip(files.images, images, strict=True):
        write_image(folder / name, image.array, image)
    if labels is not None and files.label is not None:
        write_label(folder / files.label, labels, images[0])
    return notes


def _labels(
    case: SeriesCase, image: Image, values: Mapping[str, int], of_name: Mapping[str, str], overlap: Overlap
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the label values (Z, Y, X) of what was drawn on a case, uint8 or uint16, and notes."""
    drawn = {annotation: {number: of_name[name] for number, name in annotation.parts.items() if name in of_name}
             for annotation in case.annotations}
    _require_once(drawn)
    open_files = {annotation: masks_of(annotation, volume_of(case, annotation)) for annotation in drawn}
    labels = np.zeros(image.array.shape[1:], np.uint8 if max(values.values(), default=0) < 256 else np.uint16)
    shared, notes, names = Counter[tuple[str, str]](), list[str](), {value: name for name, value in values.items()}
    for own, name in sorted(names.items()):
        parts = [(annotation, number) for annotation, its in drawn.items() for number in its if its[number] == name]
        for annotation, number in parts:
            mask, its_notes = open_files[annotation](number)
            notes += [f"{annotation}: {note}" for note in its_notes]
            for plane, there in zip(labels, mask, strict=True):
                if there.any():
                    values_there = zip(*(its.tolist() for its in np.unique(plane[there], return_counts=True)), strict=True)
                    shared.update({(names[value], name): count for value, count in values_there if value not in (0, own)})
                    plane[there] = own
    if shared:
        pairs = some(f'"{one}" and "{other}" ({many(count, "voxel")})' for (one, other), count in shared.items())
        if overlap == "refuse":
            raise AutosegError(f"classes overlap: {pairs}. --overlap later gives shared voxels to the one that comes later in "
                               "--labels, or choose classes that do not overlap.")
        notes.append(f"{case}: shared voxels went to the later class: {pairs}")
    return labels, tuple(notes)


def _require_once(drawn: Mapping[Annotation, Mapping[int, str]]) -> None:
    """Raise AutosegError where several files draw the same class."""
    files: dict[str, list[str]] = defaultdict(list)
    for annotation, its in drawn.items():
        for name in sorted(set(its.values())):
            files[name].append(str(annotation.path))
    if twice := [f'"{name}" in {" and ".join(paths)}' for name, paths in files.items() if len(paths) > 1]:
        raise AutosegError(f"several files draw the same class, as where several people drew: {some(twice)}. Take one "
                           "of them away; where a SEG and an RTSTRUCT say the same, choose one with --only.")
