"""predict: segmentations of files, or of an array in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg import console
from autoseg.api.common import PathLike, planned
from autoseg.errors import AutosegError
from autoseg.workspace import Workspace

if TYPE_CHECKING:
    from autoseg.inference.predictor import Predictor


@dataclass(frozen=True)
class PredictResult:
    """written: segmentation files by case (those that were already there included). failed: reasons by case."""

    written: dict[str, Path]
    failed: dict[str, str]
    already_there: int


def predict_files(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, model: PathLike | None = None,
    configuration: str | None = None, recipe: str | None = None, folds: Sequence[int | str] | None = None,
    checkpoint: str = "final", mirroring: bool = True, save_probabilities: bool = False, overwrite: bool = False,
    device: str = "auto", workspace: PathLike | None = None, quiet: bool = False,
) -> PredictResult:
    """Segment an image or a folder of images into `output`, in each image's own grid and format.

    The model is the one in `model`, or the only one in the workspace that fits dataset, configuration and recipe.
    A case that fails stops no other; what an earlier run of the same model finished stays as it is.
    """
    from autoseg.inference.predictor import list_inputs

    predictor = _predictor(Workspace.at(workspace), dataset, model, configuration, recipe, folds, checkpoint, mirroring,
                           device, quiet)
    inputs = list_inputs(Path(input), predictor.model.description)
    written, failed, there = {}, {}, 0
    with console.progress(f"Segmenting {len(inputs)} images", quiet) as report:
        done = 0

        def tiles(case: str, tile: int, tile_count: int) -> None:
            report((done + tile / tile_count) / len(inputs), f"case {case}: tile {tile}/{tile_count}")

        for outcome in predictor.predict_files(inputs, Path(output), overwrite, save_probabilities, tiles):
            done += 1
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
                continue
            written[outcome.item.name] = outcome.value.path
            there += outcome.value.was_there
    return PredictResult(written, failed, there)


def predict(
    array: np.ndarray, spacing_mm: Sequence[float], dataset: PathLike | None = None, model: PathLike | None = None,
    configuration: str | None = None, recipe: str | None = None, folds: Sequence[int | str] | None = None,
    checkpoint: str = "final", mirroring: bool = True, device: str = "auto", workspace: PathLike | None = None,
) -> np.ndarray:
    """Label values (Z, Y, X), uint8 or uint16, of an image in memory.

    array: (C, Z, Y, X), or (Z, Y, X) for one channel; the intensities and axis order of the training images.
    spacing_mm: (z, y, x), mm. The model is chosen as in `predict_files`.
    """
    from autoseg.image import Geometry, Image

    image = array[None] if array.ndim == 3 else array
    if image.ndim != 4:
        raise AutosegError(f"The array has shape {array.shape}. Expected (C, Z, Y, X), or (Z, Y, X) for one channel.")
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise AutosegError(f"spacing_mm is {tuple(spacing_mm)}. Expected three positive numbers, (z, y, x), in mm.")
    z, y, x = (float(mm) for mm in spacing_mm)
    predictor = _predictor(Workspace.at(workspace), dataset, model, configuration, recipe, folds, checkpoint, mirroring,
                           device, quiet=True)
    return predictor.predict_image(Image(image, Geometry((z, y, x))), "array")


def _predictor(
    place: Workspace, dataset: PathLike | None, model: PathLike | None, configuration: str | None, recipe: str | None,
    folds: Sequence[int | str] | None, checkpoint: str, mirroring: bool, device: str, quiet: bool,
) -> Predictor:
    from autoseg.device import resolve_device
    from autoseg.inference.choice import choose_model
    from autoseg.inference.model import load_model
    from autoseg.inference.predictor import Predictor

    name = None if dataset is None else planned(str(dataset), place).name
    folder = choose_model(place, name, None if model is None else Path(model), configuration, recipe)
    if checkpoint not in ("final", "best"):
        raise AutosegError(f'There is no checkpoint "{checkpoint}". Use final or best.')
    target = resolve_device(device)
    wanted = None if folds is None else [str(fold) for fold in folds]
    loaded = load_model(folder, wanted, "best" if checkpoint == "best" else "final", target)
    if not quiet:
        console.show(f"Model: {loaded.description.dataset}, {loaded.description.configuration_name}, "
                     f"{loaded.description.recipe}, fold {' '.join(loaded.folds)}, on {target} ({folder.root})")
    return Predictor(loaded, target, mirroring=mirroring)
