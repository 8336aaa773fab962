"""Weights as safetensors, and the state from which a training goes on."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from pickle import UnpicklingError  # the class that torch.load raises; nothing is unpickled here
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.versions import versions

# What torch.load raises for a file that was cut short or has other bytes; found by changing files at random
DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, struct.error)


def save_weights(path: Path, modules: dict[str, nn.Module], facts: dict[str, str]) -> None:
    """Write all modules' weights, named "module.parameter", with `facts` and the versions in the file's metadata."""
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, module in modules.items() for key, tensor in module.state_dict().items()
    }
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={**facts, **versions()})
            temporary.chmod(0o666 & temporary.parent.stat().st_mode)  # safetensors lets nobody else read it
        except SafetensorError as error:
            raise _disk_full(error) from error


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values (no other objects: they could not be read back)."""
    with atomic_path(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            raise _disk_full(error) from error


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_state` wrote; no code in the file can run. Raises AutosegError where it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except DAMAGED as error:
        raise AutosegError(
            f"{path} cannot be read ({(str(error) or type(error).__name__).splitlines()[0]}). Start the fold anew with --restart."
        ) from error
    except UnpicklingError as error:  # torch refuses what is not a tensor or a plain value
        raise AutosegError(f"{path} holds more than tensors and plain values, and is not read for that reason.") from error
    return state


def _disk_full(error: Exception) -> OSError:
    """Return the usual error of a full disk for what safetensors and torch report by errors of their own."""
    return OSError(errno.ENOSPC, str(error).splitlines()[0])
