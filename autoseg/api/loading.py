"""load: models that stay in memory. predict: what models say of one image, in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.api.common import OneOrSeveral, PathLike
from autoseg.api.prediction import open_prediction
from autoseg.errors import AutosegError
from autoseg.speech import called_from_python

if TYPE_CHECKING:
    from autoseg.image import Image
    from autoseg.image_io.memory import Placement
    from autoseg.inference.prediction import Prediction

OF_FILES = ("save_probabilities", "gate", "gate_percentile", "crop_mm")


class Model:
    """Trained models that stay in memory, as `load` opens them: any number of images cost one loading."""

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the channels that an image must have, in order."""
        return self._prediction.channel_names

    @called_from_python
    def predict(
        self, image: Any, spacing_mm: Sequence[float] | None = None, direction: Sequence[float] | None = None,
        origin_mm: Sequence[float] | None = None, probabilities: bool = False, name: str = "image",
    ) -> Any:
        """Return what the models say of an image; nothing is written.

        image: an array (Z, Y, X) or (C, Z, Y, X) with its spacing_mm (z, y, x) in mm; or a nibabel or SimpleITK image; or the
        path of a file; or a list of paths or images, one for each channel. direction: of an array, 9 numbers as SimpleITK's
        GetDirection gives them: then it may be stored in any axis order; without it, it must be in that of the training images
        (`orientation` in model.json). origin_mm: (x, y, z), of an array. name: of the case, in messages.

        Models with labels give these, uint8 or uint16 on the image's grid: an array (Z, Y, X), and for a nibabel or SimpleITK
        image an image of the same kind. With probabilities=True, a tuple of labels and probabilities (K, Z, Y, X), float16, of
        all classes, background first, or of regions; they take 2 × K bytes a voxel. Models of other tasks give the row of the
        table that files would get (a score, a location), and where they make a map of the image, a tuple of map and row.
        Where an image is unlike the training images, Python's `warnings` say so. Raises AutosegError where the image does not fit
        the models.
        """
        from autoseg.image_io.memory import Placement, like

        first = image[0] if isinstance(image, (list, tuple)) and image else image
        read = self._read(image, Placement(spacing_mm, direction, origin_mm))
        answer = self._prediction.predict_image(read, name, probabilities)
        for text in answer.warnings:
            warnings.warn(f"{name}: {text}.", stacklevel=3)
        given = [] if answer.voxels is None else [like(first, answer.voxels)]
        given += [part for part in (answer.probabilities, answer.row) if part is not None]
        return given[0] if len(given) == 1 else tuple(given)

    def _read(self, image: Any, placement: Placement) -> Image:
        from autoseg.dataset import grid_differences, stack_channels
        from autoseg.image_io import is_series
        from autoseg.image_io.memory import image_of
        from autoseg.inference.inputs import PredictionInput, read_input, require_complete

        several = list(image) if isinstance(image, (list, tuple)) else [image]
        if not several:
            raise AutosegError("The list of channels is empty. Give one path or image for each channel: "
                               f"{', '.join(self.channel_names)}.")
        if all(isinstance(part, (str, Path)) for part in several):
            if not placement.is_empty:
                raise AutosegError("A file says its spacing and direction itself. Leave out spacing_mm=, direction= and "
                                   "origin_mm=.")
            if len(several) > 1:
                return read_input(PredictionInput(Path(several[0]).name, tuple(map(Path, several))))
            items = self._prediction.inputs(Path(several[0]))
            if len(items) > 1 or (Path(several[0]).is_dir() and not is_series(items[0].images[0])):
                raise AutosegError(f"{several[0]} is a folder. Give the path of one image, or use autoseg.predict_files.")
            (item,) = items
            require_complete(item)
            return read_input(item)
        channels = [image_of(part, placement) for part in several]
        for other in channels[1:]:
            if differing := grid_differences(channels[0], other):
                raise AutosegError(f"The channels do not lie on one grid: {differing}. Give channels that do.")
        return stack_channels(channels)


def load(
    dataset: PathLike | None = None, model: OneOrSeveral = None, configuration: OneOrSeveral = None, recipe: OneOrSeveral = None,
    folds: Sequence[int | str] | None = None, device: str = "auto", workspace: PathLike | None = None, **options: Any,
) -> Model:
    """Open trained models once, to predict any number of images in memory: `model = load(...)`, then `model.predict(image)`.

    The models are chosen as in `predict_files`, and options are the same: step_size=0.5, mirroring=False, postprocessing=False,
    checkpoint="best", settings={...} of a task. Raises AutosegError where models cannot be chosen or opened.
    """
    if of_files := [name for name in OF_FILES if options.get(name) is not None]:
        raise AutosegError(f"{', '.join(f'{name}=' for name in of_files)} is for files. Use autoseg.predict_files, or leave "
                           "it out.")
    return Model(open_prediction(dataset, model, configuration, recipe, folds, device, workspace, options))


def predict(
    image: Any, spacing_mm: Sequence[float] | None = None, dataset: PathLike | None = None, model: OneOrSeveral = None,
    configuration: OneOrSeveral = None, recipe: OneOrSeveral = None, folds: Sequence[int | str] | None = None,
    device: str = "auto", workspace: PathLike | None = None, direction: Sequence[float] | None = None,
    origin_mm: Sequence[float] | None = None, probabilities: bool = False, **options: Any,
) -> Any:
    """Return what models say of one image in memory: an array, a nibabel or SimpleITK image, or a path.

    The models are chosen as in `predict_files`, and loaded for this call alone: `load` keeps them. image and the other
    arguments, and what is returned: see `Model.predict`, which `load` gives.
    """
    opened = load(dataset, model, configuration, recipe, folds, device, workspace, **options)
    return opened.predict(image, spacing_mm, direction, origin_mm, probabilities)
