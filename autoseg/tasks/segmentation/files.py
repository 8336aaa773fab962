"""Files of a segmented case: which there are, and how each is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.image_io import file_ending, label_ending, write_label
from autoseg.image_io.dicom.rtstruct import write_rtstruct
from autoseg.image_io.dicom.segmentation import write_segmentation
from autoseg.image_io.dicom.structures import Maker, structures_of
from autoseg.inference.inputs import PredictionInput
from autoseg.tasks.segmentation.model import ModelDescription

DicomKind = Literal["seg", "rtstruct", "nifti"]
DICOM = ".dcm"
USUAL: tuple[DicomKind, ...] = ("seg", "nifti")
SUBFOLDERS: tuple[DicomKind, ...] = ("seg", "rtstruct")
IN_WORDS: Mapping[DicomKind, str] = {"nifti": "NIfTI", "seg": "DICOM SEG (in seg)", "rtstruct": "DICOM RTSTRUCT (in rtstruct)"}


@dataclass(frozen=True)
class Made:
    """What a case's files are made from. labels: (Z, Y, X) on the grid of `like`, post-processed. model: in words. labelmap:
    whether a DICOM SEG is a label map."""

    labels: np.ndarray
    like: Image
    description: ModelDescription
    model: str
    labelmap: bool


def _write_seg(path: Path, made: Made) -> None:
    structures = structures_of(made.description.labels.foreground, made.description.dicom_codes)
    write_segmentation(path, made.labels, made.like, structures, Maker(made.model), "labelmap" if made.labelmap else "binary")


def _write_rtstruct(path: Path, made: Made) -> None:
    structures = structures_of(made.description.labels.foreground, made.description.dicom_codes)
    write_rtstruct(path, made.labels, made.like, structures, Maker(made.model))


WRITERS: Mapping[DicomKind, Callable[[Path, Made], None]] = {
    "nifti": lambda path, made: write_label(path, made.labels, like=made.like),
    "seg": _write_seg,
    "rtstruct": _write_rtstruct,
}


def file_names(item: PredictionInput, wanted: tuple[DicomKind, ...] | None) -> dict[DicomKind, str]:
    """Return a case's files by what they are, as paths below the output folder; the first is the main one.

    wanted: of DICOM series; None for what is usual. Any other image gets one file in its own format, which counts as "nifti".
    """
    ending = file_ending(item.images[0])
    names: dict[DicomKind, str] = {"nifti": f"{item.name}{label_ending(ending)}"}
    if ending != DICOM:
        return names
    names |= {kind: f"{kind}/{item.name}{DICOM}" for kind in SUBFOLDERS}
    return {kind: name for kind, name in names.items() if kind in (wanted or USUAL)}


def require_possible(item: PredictionInput, wanted: tuple[DicomKind, ...] | None) -> None:
    """Raise AutosegError where DICOM is wanted of an image that is none."""
    asked = [kind for kind in wanted or () if kind != "nifti"]
    if asked and file_ending(item.images[0]) != DICOM:
        raise AutosegError(f"{item}: {item.images[0]} is no DICOM series, which --dicom {' '.join(asked)} needs. Give the series "
                           "itself, or leave --dicom out.")
