"""Checks for `-o` that names a file instead of a folder: one image, and models that make one file of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from autoseg.errors import AutosegError, many, some
from autoseg.image_io import file_ending, holds_dicom, label_ending

if TYPE_CHECKING:
    from autoseg.inference.inputs import PredictionInput
    from autoseg.inference.prediction import Prediction


def require_new_file(source: Path, target: Path, overwrite: bool) -> None:
    """Raise AutosegError where -o names a file for a folder of images, an image that is to be predicted, or what is there."""
    if source.is_dir() and not holds_dicom(source):
        raise AutosegError(f"{target} names one file, but {source} is a folder of images. Name a folder with -o.")
    if source.exists() and target.exists() and target.samefile(source):
        raise AutosegError(f"{target} is the image that is to be predicted. Name another file: prediction leaves its input as it "
                           "is.")
    if target.exists() and not overwrite:
        raise AutosegError(f"{target} is there already. Name another file, or replace it with --overwrite.")


@contextmanager
def folder_for_file(
    prediction: Prediction, inputs: Sequence[PredictionInput], target: Path, options: Mapping[str, Any]
) -> Iterator[Path]:
    """Give a temporary folder to predict one image into. Raises AutosegError where it gives another file than the one named."""
    if len(inputs) != 1:
        raise AutosegError(f"{target} names one file, but {many(len(inputs), 'image')} are to be predicted "
                           f"({some(item.name for item in inputs)}). Name a folder with -o.")
    images = [image for item in inputs for image in item.images]
    flags = {"save_probabilities": "--save-probabilities", "gate": "--gate", "dicom": "--dicom", "explain": "--explain"}
    for further in (name for name in flags if options.get(name)):
        raise AutosegError(f"{flags[further]} gives further files, but {target} names one file. Name a "
                           "folder.")
    if any(image.exists() and target.exists() and target.samefile(image) for image in images):
        raise AutosegError(f"{target} is one of the images that are to be predicted. Name another file.")
    if not prediction.makes_only(file_ending(target), images[0]):
        if not prediction.makes_only(written := label_ending(file_ending(images[0])), images[0]):
            raise AutosegError(f"{target} names one file, but these models make several of an image, or a table. Name a folder.")
        raise AutosegError(f"{target} ends with {file_ending(target)}, but what is made of {images[0].name} is written as "
                           f"{written}. Name a file that ends so.")
    with TemporaryDirectory() as folder:
        yield Path(folder)
