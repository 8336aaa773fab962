"""Archives of torch.save, read without running anything that a stranger may have put into them."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError  # the class that torch.load raises; nothing is unpickled here
from pickletools import genops  # lists what is in a stream, and makes none of it
from typing import Any

import torch

from autoseg.files import require_regular_file

# What torch.load raises for a file that was cut short or has other bytes; found by changing files at random
DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
           MemoryError, struct.error, zipfile.BadZipFile)
TENSORS = r"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_tensor_v2|torch\.\w+Storage"  # of tensors and plain values
Function = Callable[..., Any]


class DamagedArchiveError(Exception):
    """Raised for a file that is no whole archive of torch.save."""


class MoreThanValuesError(Exception):
    """Raised for an archive that holds other objects than those that are allowed. Its text names them, where that is known."""


def load_archive(
    path: Path, device: torch.device, allowed: str = TENSORS, functions: Sequence[Function | tuple[Function, str]] = (),
    mapped: bool = False,
) -> Any:
    """Return the content of an archive; no code in it can run, and it takes no more memory than the file has bytes.

    allowed: regular expression of the full names of functions that may make objects; functions: those of them that torch does
    not allow by itself, each alone or with another full name that it has. mapped: leave tensors in the file until they are used.
    Raises AutosegError where `path` is no file, DamagedArchiveError and MoreThanValuesError.
    """
    require_regular_file(path)
    try:
        _require_harmless(path, re.compile(allowed))
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(functions)):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except DAMAGED as error:
        raise DamagedArchiveError(str(error)) from error
    except UnpicklingError as error:  # torch refuses what is not a tensor or a plain value
        raise MoreThanValuesError from error


def _require_harmless(path: Path, allowed: re.Pattern[str]) -> None:
    """Raise MoreThanValuesError for objects that are not allowed, and ValueError where it is not such an archive as torch writes.

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
                stream = [(code.name, content) for code, content, _ in genops(archive.read(entry))]
                made = dict.fromkeys(str(content).replace(" ", ".") for name, content in stream if name == "GLOBAL")
                if others := [name for name in made if allowed.fullmatch(name) is None]:
                    raise MoreThanValuesError(", ".join(others))
