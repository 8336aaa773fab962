"""Networks as another engine took them over, in the user's cache: written whole, read with their digests, removed when unused."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from autoseg.console import show_unless_quiet
from autoseg.errors import AutosegError
from autoseg.files import atomic_folder, remove_leftovers, write_json
from autoseg.plan import Frozen
from autoseg.workspace import read_model

ENTRY = "entry.json"
UNUSED_S, MOST_BYTES = 30 * 24 * 3600, 10 * 2**30  # what was not used for so long, or is beyond so much, is removed


class Entry(Frozen):
    """The content of `entry.json`. made_of: what the files depend on. digests: of the files, by name."""

    made_of: list[str]
    digests: dict[str, str]


class Agreement(Frozen):
    """The distance of an engine's logits on a machine from torch's in float32, as shares of their standard deviation; and what is
    accepted, of both."""

    root_mean_square: float
    largest: float
    accepted: tuple[float, float]


def cache_folder() -> Path:
    """Return the folder of what can be made again: `$XDG_CACHE_HOME/autoseg`, by default `~/.cache/autoseg`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoseg"


class ConvertedFiles:
    """The files of one network. They are used only where they are this user's own, and are what was written there."""

    def __init__(self, engine: str, made_of: tuple[object, ...]) -> None:
        """made_of: what the files depend on; equal where str() is."""
        self.made_of = [str(part) for part in made_of]
        self.folder = cache_folder() / engine / _digest("\n".join(self.made_of).encode())

    def read(self) -> dict[str, np.ndarray] | None:
        """Return the bytes (uint8) of each file by name; None where they are not there, not this user's, or damaged."""
        try:
            if hasattr(os, "getuid") and self.folder.stat().st_uid != os.getuid():
                return None
            entry = read_model(self.folder / ENTRY, Entry)
            files = {name: np.fromfile(self.folder / Path(name).name, np.uint8) for name in entry.digests}
        except (OSError, AutosegError):
            return None
        if entry.made_of != self.made_of or any(_digest(files[name].data) != its for name, its in entry.digests.items()):
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder / ENTRY)  # when it was used last
        return files

    def keep(self, write: Callable[[Path], None]) -> bool:
        """Write the files by `write`, which is given a folder, and remove what is unused. Returns whether they could be kept."""
        try:
            with atomic_folder(self.folder, overwrite=True) as folder:
                write(folder)
                digests = {path.name: _digest(path.read_bytes()) for path in sorted(folder.iterdir())}
                write_json(folder / ENTRY, Entry(made_of=self.made_of, digests=digests))
        except (RuntimeError, AutosegError) as error:  # the former is a library's own, such as for a full disk
            show_unless_quiet(f"Warning: the converted network could not be kept, so that the next command converts it again: "
                              f"{error}")
            return False
        self._clean()
        return True

    def agreement(self, on: tuple[object, ...]) -> Agreement | None:
        """Return what a comparison on this machine found before; None where there was none. on: all that it depends on."""
        try:
            return read_model(self._agreement(on), Agreement)
        except AutosegError:
            return None

    def keep_agreement(self, on: tuple[object, ...], agreement: Agreement) -> None:
        """Keep what a comparison found, beside the network where that is kept."""
        with contextlib.suppress(AutosegError):
            if (self.folder / ENTRY).exists():
                write_json(self._agreement(on), agreement)

    def _agreement(self, on: tuple[object, ...]) -> Path:
        return self.folder / f"agreement_{_digest(' '.join(map(str, on)).encode())}.json"

    def _clean(self) -> None:
        """Remove networks that were not used for long, and those beyond the limit that were not used for longest."""
        remove_leftovers(self.folder.parent)
        used = {}
        for entry in self.folder.parent.glob(f"*/{ENTRY}"):
            with contextlib.suppress(OSError):
                used[entry.parent] = (entry.stat().st_mtime, sum(path.stat().st_size for path in entry.parent.iterdir()))
        total = 0
        for folder, (when, size) in sorted(used.items(), key=lambda its: -its[1][0]):
            total += size
            if folder != self.folder and (total > MOST_BYTES or time.time() - when > UNUSED_S):
                shutil.rmtree(folder, ignore_errors=True)


def _digest(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
