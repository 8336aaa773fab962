"""Weights as safetensors, and the state from which a training goes on."""

from __future__ import annotations

import errno
import re
import struct
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError  # the class that torch.load raises; nothing is unpickled here
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from autoseg.errors import AutosegError
from autoseg.files import atomic_path, require_regular_file
from autoseg.inference.checkpoints import DIGEST, digest_of_weights
from autoseg.versions import versions

# What torch.load raises for a file that was cut short or has other bytes; found by changing files at random
DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
           MemoryError, struct.error, zipfile.BadZipFile)
RESTART = "Start the fold anew with --restart."
MORE_THAN_VALUES = "{path} holds more than tensors and plain values, and is not read for that reason. " + RESTART
GLOBALS = re.compile(rb"c([\w.]+)\n([\w.]+)\n")  # how an archive of torch's names the functions that make its objects
OWN_GLOBALS = re.compile(rb"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_tensor_v2|torch\.\w+Storage")


def save_weights(path: Path, modules: dict[str, nn.Module], facts: dict[str, str]) -> None:
    """Write all modules' weights, named "module.parameter", with `facts`, versions and their digest in its metadata."""
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, module in modules.items() for key, tensor in module.state_dict().items()
    }
    metadata = {**facts, **versions(), DIGEST: digest_of_weights(tensors)}
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
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
    """Read what `save_state` wrote; no code in the file can run, and it takes no more memory than the file has bytes.

    Raises AutosegError where it is damaged, or no such file.
    """
    require_regular_file(path)
    try:
        _require_own_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location=device, weights_only=True)
    except DAMAGED as error:
        raise AutosegError(f"{path} is damaged: it cannot be read as the state of a training. {RESTART}") from error
    except UnpicklingError as error:  # torch refuses what is not a tensor or a plain value
        raise AutosegError(MORE_THAN_VALUES.format(path=path)) from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise AutosegError(f"{path} holds no state of a training, but {type(state).__name__}. {RESTART}")
    return state


def _require_own_archive(path: Path) -> None:
    """Raise AutosegError for objects that no state holds, and ValueError where it is not such an archive as torch writes.

    Its entries are not compressed, so that none is larger than the file, and the checksum of each fits.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size or archive.testzip() is not None:
            raise ValueError("sizes or checksums")
        for entry in entries:
            if entry.filename.endswith("/data.pkl"):
                made = GLOBALS.findall(archive.read(entry))
                if any(OWN_GLOBALS.fullmatch(b".".join(name)) is None for name in made):
                    raise AutosegError(MORE_THAN_VALUES.format(path=path))


def _disk_full(error: Exception) -> OSError:
    """Return the usual error of a full disk for what safetensors and torch report by errors of their own."""
    return OSError(errno.ENOSPC, str(error).splitlines()[0])
