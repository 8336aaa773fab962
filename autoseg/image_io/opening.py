"""Opening image files: regular files only, and only what the file and the free memory can hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from autoseg.errors import AutosegError
from autoseg.image_io.checks import truncated
from autoseg.parallel import free_memory_bytes

FROM_HERE_ON_BYTES = 1 << 26  # smaller arrays are not compared with the free memory
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading bytes, links followed; never waits. Raises AutosegError where it is no regular file."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise AutosegError(f"{path} does not exist. Check the name, or copy the file there.") from error
    except (OSError, ValueError) as error:
        kind = "a folder" if path.is_dir() else "a socket" if path.is_socket() else ""
        if kind:
            raise _not_a_file(path, kind) from error
        reason = getattr(error, "strerror", None) or error
        raise AutosegError(f"{path} cannot be read ({reason}). Check the disk and the file's permissions.") from error
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return open(number, "rb")
    os.close(number)
    raise _not_a_file(path, next((name for is_kind, name in KINDS if is_kind(mode)), "no file"))


def _not_a_file(path: Path, kind: str) -> AutosegError:
    return AutosegError(f"{path} is {kind}, but an image file was expected. Give a regular file.")


def file_bytes(file: BinaryIO) -> int:
    """Return the size of an open file."""
    return os.fstat(file.fileno()).st_size


def check_announced(path: Path, announced_bytes: int, held_bytes: int, ratio: int = 1, copies: int = 2) -> None:
    """Raise AutosegError, before memory is taken, where a header announces more than the file or the free memory can hold.

    held_bytes: the file's size. ratio: how many bytes one byte of it can become. copies: how often the array is held at most.
    """
    if announced_bytes > held_bytes * ratio:
        raise truncated(path, f"its header announces {announced_bytes} bytes of voxels, more than a file of {held_bytes} bytes "
                              "can hold")
    if announced_bytes > FROM_HERE_ON_BYTES and announced_bytes * copies > (free := free_memory_bytes()):
        raise AutosegError(
            f"{path}: its header announces {announced_bytes / 2**30:.1f} GiB of voxels, but {free / 2**30:.1f} GiB of memory are "
            "free. Close other programs, use a machine with more memory, or leave the case out."
        )
