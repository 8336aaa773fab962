"""predict: segmentations of files, or of an array in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg import console
from autoseg.api.common import OneOrSeveral, PathLike, default_configuration, in_workspace, model_folders, planned, several
from autoseg.api.gate import GateResult, open_gate, pass_gate
from autoseg.commands import command_of_kind, prediction_command, task_of
from autoseg.errors import AutosegError, many
from autoseg.kinds import KINDS
from autoseg.workspace import Workspace

if TYPE_CHECKING:
    from autoseg.inference.choice import Chosen
    from autoseg.tasks.segmentation.model import LoadedModel
    from autoseg.tasks.segmentation.predictor import Predictor


@dataclass(frozen=True)
class PredictResult:
    """written: segmentation files by case (those that were already there included). failed: reasons by case. gate: what it said,
    where there was one."""

    written: dict[str, Path]
    failed: dict[str, str]
    already_there: int
    gate: GateResult | None = None


def predict_files(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, model: OneOrSeveral = None,
    configuration: OneOrSeveral = None, recipe: OneOrSeveral = None, folds: Sequence[int | str] | None = None,
    checkpoint: str = "final", mirroring: bool = True, postprocessing: bool = True, save_probabilities: bool = False,
    overwrite: bool = False, device: str = "auto", gate: PathLike | None = None, gate_percentile: float | None = None,
    workspace: PathLike | None = None, quiet: bool = False,
) -> PredictResult:
    """Segment an image or a folder of images into `output`, in each image's own grid and format.

    The models are those in the folders `model`, or those that dataset, configuration and recipe name (each one or
    several; several make an ensemble), or where nothing is named what find-best chose, else the only model in the
    workspace. postprocessing: apply the rules that find-best chose, where its members are the ones that run.
    A case that fails stops no other; what an earlier run of the same models finished stays as it is.
    gate: folder of an anomaly detector, which scores each image first, into `gate.csv`: those above the threshold are named, and
    segmented all the same. gate_percentile: of the normal validation cases' scores, that is the threshold; None for 99.
    """
    from autoseg.tasks.segmentation.predictor import list_inputs

    if gate is None and gate_percentile is not None:
        raise AutosegError("--gate-percentile is of --gate, which names a detector's folder. Give both, or leave it out.")
    chosen = _choose(Workspace.at(workspace), dataset, model, configuration, recipe)
    predictor = _predictor(chosen, folds, checkpoint, mirroring, postprocessing, device, quiet)
    opened = None if gate is None else open_gate(Path(gate), gate_percentile, device, quiet)
    inputs = list_inputs(Path(input), predictor.description)
    predictor.outputs(Path(output), overwrite)  # before the gate takes its time
    gated = None if opened is None else pass_gate(opened, inputs, Path(output), overwrite, quiet)
    written, failed, there = {}, {}, 0
    with console.progress(f"Segmenting {many(len(inputs), 'image')}", quiet) as report:
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
    return PredictResult(written, failed, there, gated)


def predict(
    array: np.ndarray, spacing_mm: Sequence[float], dataset: PathLike | None = None, model: OneOrSeveral = None,
    configuration: OneOrSeveral = None, recipe: OneOrSeveral = None, folds: Sequence[int | str] | None = None,
    checkpoint: str = "final", mirroring: bool = True, postprocessing: bool = True, device: str = "auto",
    workspace: PathLike | None = None,
) -> np.ndarray:
    """Label values (Z, Y, X), uint8 or uint16, of an image in memory.

    array: (C, Z, Y, X), or (Z, Y, X) for one channel; the intensities and axis order of the training images.
    spacing_mm: (z, y, x), mm. The models are chosen as in `predict_files`.
    """
    from autoseg.image import Geometry, Image

    image = array[None] if array.ndim == 3 else array
    if image.ndim != 4:
        raise AutosegError(f"The array has shape {array.shape}. Expected (C, Z, Y, X), or (Z, Y, X) for one channel.")
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise AutosegError(f"spacing_mm is {tuple(spacing_mm)}. Expected three positive numbers, (z, y, x), in mm.")
    z, y, x = (float(mm) for mm in spacing_mm)
    chosen = _choose(Workspace.at(workspace), dataset, model, configuration, recipe)
    predictor = _predictor(chosen, folds, checkpoint, mirroring, postprocessing, device, quiet=True)
    return predictor.predict_image(Image(image, Geometry((z, y, x))), "array")


def next_prediction(
    dataset: PathLike, configuration: str | None = None, recipe: str = "default", workspace: PathLike | None = None
) -> str:
    """The command line that segments new images with a dataset's models, or does what a model of another kind does.

    configuration, recipe: where nothing is chosen.
    """
    folder = in_workspace(str(dataset), Workspace.at(workspace))
    for kind in KINDS:
        if configuration in (None, kind.configuration) and task_of(folder.model(kind.configuration, recipe)) == kind.task:
            return command_of_kind(folder, kind, recipe)
    folder = planned(str(dataset), Workspace.at(workspace))
    return prediction_command(folder, configuration or default_configuration(folder), recipe)


def _choose(
    place: Workspace, dataset: PathLike | None, model: OneOrSeveral, configuration: OneOrSeveral, recipe: OneOrSeveral
) -> Chosen:
    from autoseg.inference.choice import choose_members

    name = None if dataset is None else planned(str(dataset), place).name
    return choose_members(place, name, model_folders(model), [*map(str, several(configuration))], [*map(str, several(recipe))])


def _predictor(
    chosen: Chosen, folds: Sequence[int | str] | None, checkpoint: str, mirroring: bool, postprocessing: bool, device: str,
    quiet: bool,
) -> Predictor:
    from autoseg.device import resolve_device
    from autoseg.postprocessing.rules import apply_rules
    from autoseg.tasks.segmentation.model import load_model
    from autoseg.tasks.segmentation.predictor import Predictor

    if checkpoint not in ("final", "best"):
        raise AutosegError(f'There is no checkpoint "{checkpoint}". Use final or best.')
    target = resolve_device(device)
    wanted = None if folds is None else [str(fold) for fold in folds]
    loaded = [load_model(folder, wanted, "best" if checkpoint == "best" else "final", target) for folder in chosen.members]
    rules = chosen.rules if postprocessing else ()
    if not quiet:
        console.show(_in_words(chosen, loaded, str(target), postprocessing))
    return Predictor(loaded, target, mirroring=mirroring, rules=rules,
                     postprocess=partial(apply_rules, rules=rules) if rules else None)


def _in_words(chosen: Chosen, loaded: Sequence[LoadedModel], device: str, postprocessing: bool) -> str:
    """Which models, folds and post-processing run, and why these."""
    models = [
        f"{model.description.dataset}, {model.description.configuration_name}, {model.description.called}, "
        f"fold {' '.join(model.folds)} ({folder.root})"
        for model, folder in zip(loaded, chosen.members, strict=True)
    ]
    several = [f"Models, mean of their probabilities, on {device}:", *(f"  {model}" for model in models)]
    lines = [*(several if len(models) > 1 else [f"Model, on {device}: {models[0]}"]), f"Why: {chosen.why}"]
    says = "; ".join(chosen.says) or "none"
    if chosen.rules and not postprocessing:
        says = f"none, as you asked (find-best chose: {says})"
    lines.append(f"Post-processing: {says}")
    return "\n".join([*lines, *([f"Note: {chosen.note}"] if chosen.note else [])])
