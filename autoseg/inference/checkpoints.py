"""Weights of trained models on disk: which files a model's folder holds, and how networks get them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from autoseg.commands import task_of
from autoseg.errors import AutosegError
from autoseg.kinds import ANOMALY, Task, kind_for
from autoseg.workspace import ModelFolder

Checkpoint = Literal["final", "best"]
Weights = dict[str, torch.Tensor]


def require_task(folder: ModelFolder, task: Task, flag: str = "-m") -> None:
    """Raises AutosegError where the folder is no model, or was trained for the other task. flag: that the folder was named by."""
    if not folder.model_json.is_file():
        raise AutosegError(f"{folder.root} is no trained model: it has no model.json. Train one with autoseg_train, or "
                           f"give the folder that holds model.json with {flag}.")
    found, wanted = kind_for(task_of(folder)), kind_for(task)
    if found == wanted:
        return
    if wanted is not None:
        is_a = found.called if found else "a segmentation model"
        raise AutosegError(f"{folder.root} is {is_a}, but {wanted.called} is expected. Train one with autoseg_train DATASET 0 "
                           f"-tr {wanted.recipe}, and give its folder with {flag}.")
    if found is not None:
        gate = ", or check what is segmented with --gate" if found == ANOMALY else ""
        raise AutosegError(f"{folder.root} is {found.called}, which {found.does} and does not segment them: use it with "
                           f"autoseg_predict -m and this folder alone{gate}.")


def checkpoint_files(folder: ModelFolder, folds: Sequence[str] | None, checkpoint: Checkpoint) -> dict[str, Path]:
    """Fold to weights file. Raises AutosegError that lists the folds there are."""
    found = {path.parent.name.removeprefix("fold_"): path
             for path in sorted(folder.root.glob(f"fold_*/checkpoint_{checkpoint}.safetensors"))}
    if not found:
        raise AutosegError(f"{folder.root} has no fold with weights (checkpoint_{checkpoint}.safetensors). "
                           "Train one to its end with autoseg_train.")
    if folds is None:
        return {fold: path for fold, path in found.items() if fold != "all"} or found
    missing = [str(fold) for fold in folds if str(fold) not in found]
    if missing:
        raise AutosegError(f"{folder.root} has no fold {', '.join(missing)} with {checkpoint} weights. "
                           f"There are: {', '.join(found)}.")
    return {str(fold): found[str(fold)] for fold in folds}


def read_weights(file: Path) -> Weights:
    """All of a safetensors file. Raises AutosegError where it is missing or damaged."""
    try:
        return load_file(file)
    except FileNotFoundError as error:
        raise AutosegError(f"{file} does not exist.") from error
    except (OSError, SafetensorError) as error:
        raise AutosegError(f"{file} is damaged ({error}). Copy it anew, or train this fold again.") from error


def part_of(weights: Weights, prefix: str) -> Weights:
    """Those whose names begin with `prefix`, without it: "<module of the recipe>." for one network."""
    return {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}


def fill(network: nn.Module, weights: Weights, file: Path) -> None:
    """Give the network its weights. file: that they come from. Raises AutosegError where names or shapes differ."""
    _check_fit(network.state_dict(), weights, file)
    network.load_state_dict(weights, assign=True)


def _check_fit(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], weights: Path) -> None:
    """Raise AutosegError where names or shapes of weights differ."""
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    reshaped = [name for name in expected.keys() & found.keys() if expected[name].shape != found[name].shape]
    if not (missing or unknown or reshaped):
        return
    differences = [f"{len(names)} {what} (such as {names[0]})"
                   for what, names in (("are missing", missing), ("are not known", unknown)) if names]
    if reshaped:
        name = min(reshaped)
        differences.append(f"{len(reshaped)} have another shape (such as {name}: {tuple(found[name].shape)}, "
                           f"expected {tuple(expected[name].shape)})")
    raise AutosegError(f"{weights} does not fit the network that model.json describes: of its weights, "
                       f"{', '.join(differences)}. It comes from a model of another dataset, configuration or version: "
                       "copy the model's folder as a whole.")
