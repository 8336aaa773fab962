"""Files of a segmented case: which there are, and how each is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from autoseg.inference.cases import Written
from autoseg.inference.inputs import PredictionInput
from autoseg.provenance import OutputFolder
from autoseg.tasks.segmentation.model import ModelDescription

DicomKind = Literal["seg", "rtstruct", "nifti"]
DICOM = ".dcm"
USUAL: tuple[DicomKind, ...] = ("seg", "nifti")
SUBFOLDERS: tuple[DicomKind, ...] = ("seg", "rtstruct")
IN_WORDS: Mapping[DicomKind, str] = {"nifti": "NIfTI", "seg": "DICOM SEG (in seg)", "rtstruct": "DICOM RTSTRUCT (in rtstruct)"}


@dataclass(frozen=True)
class Made:
    """The things that a case's files are made from. labels: (Z, Y, X) on the grid of `like`, post-processed. model: in words.
    labelmap: whether a DICOM SEG is a label map."""

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


@dataclass(frozen=True)
class CaseFiles:
    """The files of cases in a folder of outputs, whose record has a line for each but the probabilities. wanted: of DICOM series
    (see `file_names`)."""

    outputs: OutputFolder
    wanted: tuple[DicomKind, ...] | None
    save_probabilities: bool

    def main(self, item: PredictionInput) -> str:
        """Return the name of a case's main file."""
        return next(iter(file_names(item, self.wanted).values()))

    def path(self, item: PredictionInput) -> Path:
        """Return where a case's main file lies."""
        return self.outputs.folder / self.main(item)

    def probabilities(self, item: PredictionInput) -> Path | None:
        """Return where a case's probabilities lie; None where they are not wanted."""
        return self.outputs.folder / f"{item.name}.b2nd" if self.save_probabilities else None

    def earlier(self, item: PredictionInput) -> Written | None:
        """Return what an earlier run made of a case, where nothing lacks. Raises AutosegError where DICOM is wanted of an image
        that is none, or a file is not autoseg's."""
        asked = [kind for kind in self.wanted or () if kind != "nifti"]
        if asked and file_ending(item.images[0]) != DICOM:
            raise AutosegError(f"{item}: {item.images[0]} is no DICOM series, which --dicom {' '.join(asked)} needs. Give the "
                               "series itself, or leave --dicom out.")
        entries = [self.outputs.made(name, item.images) for name in file_names(item, self.wanted).values()]
        probabilities = self.probabilities(item)
        if None in entries or not (probabilities is None or probabilities.exists()):
            return None
        return Written(self.path(item), was_there=True, warnings=entries[0].warnings if entries[0] else ())

    def require_own(self, item: PredictionInput) -> None:
        """Raise AutosegError where probabilities would take the place of a file that is not autoseg's."""
        if (probabilities := self.probabilities(item)) is not None:
            self.outputs.require_own(self.main(item), probabilities)

    def begin(self, item: PredictionInput, warnings: Sequence[str]) -> dict[DicomKind, str]:
        """Note that a case's files are made: those that lack, or where only its probabilities do, all. Return them by kind."""
        names = file_names(item, self.wanted)
        lacking = {kind: name for kind, name in names.items() if self.outputs.made(name, item.images) is None} or names
        self.outputs.begin_all(dict.fromkeys(lacking.values(), item.images), warnings=warnings)
        return lacking

    def write(self, names: Mapping[DicomKind, str], made: Made) -> None:
        """Write the files that were begun."""
        for kind, name in names.items():
            WRITERS[kind](self.outputs.folder / name, made)
            self.outputs.finish(name)
