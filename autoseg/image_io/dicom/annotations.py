"""Annotations of DICOM images, which say what lies where: segmentations (SEG) and structure sets (RTSTRUCT), read alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image_io.dicom.codes import Coding
from autoseg.image_io.dicom.headers import read_header
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.segments import open_segments
from autoseg.image_io.dicom.structure_sets import mask_of, read_structure_set
from autoseg.image_io.dicom.volume import DicomVolume


@dataclass(frozen=True, eq=False)
class Annotation:
    """A file of SEG or RTSTRUCT. instance: its SOP Instance UID. parts: the name of each segment or region, by its number.
    series, images: UIDs of those that it was made on, as far as it names them. frame_of_reference: UID of the space that it lies
    in; "" where it does not say. codings: of parts that have codes."""

    path: Path
    kind: str
    instance: str
    parts: Mapping[int, str]
    series: frozenset[str]
    images: frozenset[str]
    frame_of_reference: str
    codings: Mapping[int, Coding] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


def read_annotation(path: Path) -> Annotation:
    """Return what a file holds. Regions that are points or open lines are left out. Raises AutosegError where it is damaged or
    something else."""
    header = read_header(path)
    if header is None or not header.annotation:
        raise AutosegError(f"{path} is neither DICOM SEG nor RTSTRUCT. Give a file that is.")
    if header.annotation == "RTSTRUCT":
        content = read_structure_set(path)
        parts = {region.number: region.name for region in content.regions if region.contours or not region.notes}
        spaces = {region.frame_of_reference for region in content.regions}
        return Annotation(path, header.annotation, content.instance, parts, content.series, content.images,
                          spaces.pop() if len(spaces) == 1 else "")
    file = open_segments(path)
    with dicom_library(path):
        series, images = _references(file.header)
        parts = {segment.number: segment.label or f"segment {segment.number}" for segment in file.segments}
        codings = {segment.number: segment.coding for segment in file.segments if segment.coding is not None}
        return Annotation(path, header.annotation, header.instance, parts, series, images, header.series.frame_of_reference,
                          codings)


def masks_of(annotation: Annotation, volume: DicomVolume) -> Callable[[int], tuple[np.ndarray, tuple[str, ...]]]:
    """Open a file, and return a function that gives for the number of a part where it lies, (Z, Y, X) bool, on the grid of a
    volume, and notes, one sentence each. Both raise AutosegError, naming the file, where it is damaged or lies elsewhere."""
    path = annotation.path
    if annotation.kind == "RTSTRUCT":
        regions = {region.number: region for region in read_structure_set(path).regions}
        return lambda number: mask_of(regions[number], path, volume)
    file = open_segments(path)

    def mask(number: int) -> tuple[np.ndarray, tuple[str, ...]]:
        with dicom_library(path):
            return file.mask(number, (volume.geometry, volume.shape)), ()

    return mask


def _references(header: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the UIDs of the series and images that a SEG says it was made from."""
    series = header.get("ReferencedSeriesSequence") or ()
    images = [image for item in series for image in item.get("ReferencedInstanceSequence") or ()]
    if not images:
        frames = (*(header.get("SharedFunctionalGroupsSequence") or ()), *header.PerFrameFunctionalGroupsSequence)
        images = [image for frame in frames for derivation in frame.get("DerivationImageSequence") or ()
                  for image in derivation.get("SourceImageSequence") or ()]
    return (frozenset(_uid(item, "SeriesInstanceUID") for item in series) - {""},
            frozenset(_uid(image, "ReferencedSOPInstanceUID") for image in images) - {""})


def _uid(item: Any, keyword: str) -> str:
    return str(item.get(keyword) or "").strip()
