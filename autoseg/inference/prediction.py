"""Interface that every task gives to prediction: its models, opened and ready for files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput, list_inputs
from autoseg.inference.studies import Searched
from autoseg.parallel import Outcome
from autoseg.provenance import OutputFolder

if TYPE_CHECKING:
    from rich.table import Table

CaseProgress = Callable[[str, float], None]  # the case, and the share of it that is done, 0 to 1


@dataclass(frozen=True)
class Answer:
    """The answer of models about an image in memory. voxels: (Z, Y, X) on the image's grid, such as labels; None where there are
    none. probabilities: (K, Z, Y, X) float16, on request. row, warnings: as `Written` has them."""

    voxels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    row: Any = None
    warnings: tuple[str, ...] = ()


class Prediction(ABC):
    """Trained models that were opened to predict files.

    doing: the title of the progress bar, such as "Segmenting". done: what became of an image, such as "segmented".
    subfolders: those of the output folder that further files are written into.
    one_file_each: whether every file is a case with all its channels, whatever its name. compare_with: what `autoseg evaluate`
    compares the outputs with, and when; None where nothing does.
    """

    doing: str
    done: str
    subfolders: tuple[str, ...] = ()
    one_file_each: bool = False
    compare_with: tuple[str, str] | None = None

    @property
    @abstractmethod
    def channel_names(self) -> tuple[str, ...]:
        """Return the channels of the images that the models take."""

    @abstractmethod
    def in_words(self, chosen: Chosen) -> str:
        """Return which models, folds and settings run, and why these."""

    @abstractmethod
    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        """Return the folder of outputs. Raises AutosegError where it cannot be written, or holds what other models or options
        made."""

    @abstractmethod
    def predict_files(
        self, inputs: Iterable[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        """Predict cases one by one into a folder; yield what became of each.

        An outcome's value is `Written`; a case that fails stops no other. What an earlier run of the same models and options
        made of the same files stays, unless `overwrite`. inputs: a sequence, or what `predict_cases` takes instead; it may be
        iterated once alone. Raises AutosegError as `outputs`.
        """

    def without_probabilities(self, wanted: bool) -> None:
        """Raise AutosegError where probabilities are wanted of models that give none."""
        if wanted:
            raise AutosegError("These models give no probabilities of classes. Leave out "
                               "--save-probabilities.")

    def inputs(self, place: Path | Searched) -> list[PredictionInput]:
        """List the cases in a folder of images, or of one image (see `list_inputs`)."""
        return list_inputs(place, self, self.one_file_each)

    def makes_only(self, ending: str, image: Path) -> bool:
        """Make one file of each image alone, with this ending, from now on; return whether it can be, for such an image."""
        return False

    def predict_image(self, image: Image, case: str, probabilities: bool = False) -> Answer:
        """Predict an image (C, Z, Y, X) in memory, and write nothing. probabilities: give those of the classes, too.

        Raises AutosegError where the image does not fit the models, or they give no probabilities.
        """
        raise AutosegError("These models predict files alone. Use autoseg.predict_files.")

    @abstractmethod
    def made(self, written: int, extra: int) -> str:
        """Return what was made of so many images, such as "3 segmentation(s)". extra: number of further files."""

    def table(self, rows: Sequence[Any]) -> Table | None:
        """Return the rows of all cases as a table to be shown; None where there is nothing to show."""
        return None

    def notes(self, rows: Sequence[Any]) -> list[str]:
        """Return what a user should know of the results."""
        return []
