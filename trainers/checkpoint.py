"""Weights as safetensors, and the state from which a training goes on."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.inference.checkpoints import write_weights
from autoseg.torch_archives import DamagedArchiveError, MoreThanValuesError, load_archive

RESTART = "Start the fold anew with --restart."


def save_weights(path: Path, modules: dict[str, nn.Module], facts: dict[str, str]) -> None:
    """Write all modules' weights, named "module.parameter", with `facts`, versions and their digest in its metadata."""
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, module in modules.items() for key, tensor in module.state_dict().items()
    }
    write_weights(path, tensors, facts)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values (no other objects: they could not be read back)."""
    with atomic_path(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            raise OSError(errno.ENOSPC, str(error).splitlines()[0]) from error  # torch reports a full disk by this error


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_state` wrote; no code in the file can run, and it takes no more memory than the file has bytes.

    Raises AutosegError where it is damaged, or no such file.
    """
    try:
        state = load_archive(path, device)
    except DamagedArchiveError as error:
        raise AutosegError(f"{path} is damaged: it cannot be read as the state of a training. {RESTART}") from error
    except MoreThanValuesError as error:
        raise AutosegError(
            f"{path} holds more than tensors and plain values, and is not read for that reason. {RESTART}") from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise AutosegError(f"{path} holds no state of a training, but {type(state).__name__}. {RESTART}")
    return state
