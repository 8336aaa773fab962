"""Zip archives: unpacked whole and only where no entry can do harm, and packed into the same bytes each time."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.files import atomic_folder, atomic_path, require_regular_file
from autoseg.names import name_fault, on_disk

MOST_ENTRIES = 10_000
MOST_BYTES = 256 * 2**30  # of all files together
MOST_LISTED_BYTES = 64 * 2**20  # that the archive's own list of entries may take
LARGE_BYTES, MOST_RATIO = 16 * 2**20, 100  # of a large file, to its packed size: weights have 1.1, text 10
MOST_NAME_BYTES = 255  # of a file or folder, on the usual disks
LOCAL_HEADER_BYTES = 30  # before each entry, at least
BYTES_AT_ONCE = 2**20
IS_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags of an entry
DATE = (1980, 1, 1, 0, 0, 0)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error, OverflowError,
           LookupError)
AGAIN = "Nothing was unpacked. Get the archive again from where it comes from; if it is the same there, do not use it."


def unpack(archive: Path, into: Path) -> None:
    """Unpack a zip archive into the new folder `into`: all of it, or nothing.

    Raises AutosegError, and leaves nothing behind, where it is no zip archive, is damaged or encrypted, where an entry's name
    leads out of the folder or two entries have one name on some disk, where an entry is a link or no regular file, where it
    announces more than the disk has free or than any model has (`MOST_BYTES`, `MOST_ENTRIES`, `MOST_RATIO`), or holds something
    else than it announces. All entries are looked at before the first is written.
    """
    with _opened(archive) as opened:
        entries = opened.infolist()
        if fault := (_fault_of_sizes(opened, entries, into) or next(filter(None, map(_fault_of_entry, entries)), "")
                     or _fault_of_names(entries)):
            raise AutosegError(f"{archive} is not unpacked: {fault}. {AGAIN}")
        with atomic_folder(into) as folder:
            for entry in entries:
                target = folder / entry.filename
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "xb") as file:
                    for piece in _pieces(opened, entry, archive):
                        file.write(piece)


def pack(files: Mapping[str, Path | bytes], target: Path) -> None:
    """Write a zip archive of files, each a path or its content, by their names in it; equal files give equal bytes.

    Nothing is compressed: weights would shrink by a tenth. Raises AutosegError as `atomic_path`, or where a file cannot be read.
    """
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, source in sorted(files.items()):
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            if isinstance(source, bytes):
                archive.writestr(entry, source)
                continue
            require_regular_file(source)
            entry.file_size = source.stat().st_size  # so that zipfile knows whether 32 bits are enough
            with open(source, "rb") as file, archive.open(entry, "w") as packed:
                shutil.copyfileobj(file, packed, BYTES_AT_ONCE)


def is_archive(path: Path) -> bool:
    """Tell whether a path is meant as a zip archive: a file that ends or begins like one."""
    if not path.is_file():
        return path.suffix.lower() == ".zip" and not path.is_dir()
    with open(path, "rb") as file:
        return path.suffix.lower() == ".zip" or file.read(4) == b"PK\3\4"


class _Bounded(io.BufferedReader):
    """A file of which no more is read at once than an archive's list of entries may take."""

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if wanted > MOST_LISTED_BYTES:
            raise zipfile.BadZipFile(f"its list of entries takes more than {MOST_LISTED_BYTES // 2**20} MiB")
        return super().read(wanted)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    require_regular_file(archive)
    try:
        file = _Bounded(io.FileIO(archive))
    except OSError as error:
        raise AutosegError(f"{archive} cannot be read: {error.strerror or error}.") from error
    with file:
        is_begun = file.read(4) == b"PK\3\4"
        try:
            opened = zipfile.ZipFile(file)
        except (*DAMAGED, OSError) as error:
            reason = "" if str(error) == "File is not a zip file" else f" ({error})"
            what = f"a zip archive that is cut off or damaged{reason}" if is_begun else "no zip archive"
            raise AutosegError(f"{archive} is {what}. {AGAIN}") from error
        with opened:
            yield opened


def _fault_of_sizes(opened: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], into: Path) -> str:
    """Return in words what of the announced sizes and places cannot be true or is too much; "" for nothing."""
    if not entries:
        return "it holds nothing"
    if len(entries) > MOST_ENTRIES:
        return f"it has {len(entries)} entries, and {MOST_ENTRIES} are the most that are taken"
    total = sum(entry.file_size for entry in entries)
    if total > MOST_BYTES:
        return f"its files take {total / 2**30:.0f} GiB, and {MOST_BYTES // 2**30} are the most that is taken"
    free = shutil.disk_usage(next(folder for folder in into.absolute().parents if folder.exists())).free
    if total > free:
        return f"its files take {total / 2**30:.1f} GiB, but {into.parent} has only {free / 2**30:.1f} free"
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    ends = [entry.header_offset + LOCAL_HEADER_BYTES + entry.compress_size for entry in in_order]
    starts = [*(entry.header_offset for entry in in_order[1:]), opened.start_dir]
    return next((f"{_shown(entry)} overlaps with what lies behind it"
                 for entry, end, start in zip(in_order, ends, starts, strict=True) if end > start), "")


def _fault_of_names(entries: Sequence[zipfile.ZipInfo]) -> str:
    """Return in words why the entries do not all have names of their own on every disk; "" where they do."""
    seen: dict[str, str] = {}  # by the names as a disk sees them that tells neither capital letters nor Unicode forms apart
    files = dict[str, bool]()
    for entry in entries:
        name = entry.orig_filename.rstrip("/")
        if on_disk(name) in files:
            return f"two entries have the name {_shown(entry)} on some disks"
        files[on_disk(name)] = not entry.orig_filename.endswith("/")
        for above in _above(name):
            if seen.setdefault(on_disk(above), above) != above:
                return f"{ascii(above)[:200]} and {ascii(seen[on_disk(above)])[:200]} are one name on some disks"
    inside = next((name for name in seen for one, other in pairwise(_above(name)) if files.get(one)), None)
    return f"{ascii(inside)[:200]} lies in a file" if inside else ""


def _above(name: str) -> list[str]:
    """Return a name and those of all folders above it, outermost first."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _fault_of_entry(entry: zipfile.ZipInfo) -> str:
    """Return in words why an entry cannot be unpacked; "" where it can."""
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if "\0" in name or any(map(name_fault, parts)) or re.match("[A-Za-z]:", name) or any(":" in part for part in parts):
        return (f"the name {_shown(entry)} leads out of the folder, or is no name on every system (such as ../a, /a, C:/a, "
                "a\\b)")
    if any(len(part.encode()) > MOST_NAME_BYTES for part in parts):
        return f"the name {_shown(entry)} is longer than {MOST_NAME_BYTES} bytes"
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return f"{_shown(entry)} is a link or a special file, and only files are taken"
    if entry.flag_bits & IS_ENCRYPTED:
        return f"{_shown(entry)} is encrypted. Unpack it yourself, and give the folder"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{_shown(entry)} is packed by method {entry.compress_type}, and only stored and deflated files are taken"
    if entry.is_dir() and entry.file_size:
        return f"{_shown(entry)} is a folder with content of its own"
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        return f"{_shown(entry)} is stored as it is, but announces two sizes"
    if entry.file_size > LARGE_BYTES and entry.file_size > MOST_RATIO * entry.compress_size:
        return (f"{_shown(entry)} announces {entry.file_size / 2**20:.0f} MiB out of {entry.compress_size / 2**20:.2f}: no "
                "weights are packed so tightly")
    return ""


def _pieces(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, archive: Path) -> Iterator[bytes]:
    """Yield the content of an entry. Raises AutosegError where it is damaged, or another than announced."""
    left = entry.file_size
    try:
        with opened.open(entry) as file:
            while piece := file.read(BYTES_AT_ONCE):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
    except DAMAGED as error:
        raise AutosegError(f"{archive} is damaged: {_shown(entry)} cannot be read ({error}). {AGAIN}") from error
    except OSError as error:
        raise AutosegError(f"{archive} cannot be read: {error.strerror or error}. {AGAIN}") from error
    if left:
        raise AutosegError(f"{archive} is damaged: {_shown(entry)} has another size than it announces. {AGAIN}")


def _shown(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name for a message."""
    name = ascii(entry.orig_filename)
    return name if len(name) <= 200 else f"{name[:200]}..."
