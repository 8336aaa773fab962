"""Files that come to be there whole: written beside their place under a temporary name, flushed, and renamed."""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel

from autoseg.errors import REASONS, AutosegError, system_error

TEMPORARY_PREFIX = ".tmp-"
LEFTOVER = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?P<host>[^.]+)\.(?P<process>\d+)\.[0-9a-f]+-")
OLD_AFTER_S = 24 * 3600
MOST_TEXT_BYTES = 256 * 2**20  # of a JSON file or table
DEEPEST_JSON = 100
SURROGATE = re.compile("[\ud800-\udfff]")
NOT_UTF8 = "{file} is not UTF-8, but probably UTF-16 or a local encoding such as Latin-1. Save it as UTF-8 in your editor."


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`, with the same name at its end, that becomes `target` when the block succeeds.

    Its name holds this host and process (see `remove_leftovers`). The file is flushed to the disk and renamed; on an exception
    it is removed and `target` is as it was before. Raises AutosegError where the disk is full or the folder cannot be written.
    """
    temporary = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty temporary folder beside `target` that becomes `target` when the block succeeds, all its files flushed.

    overwrite: take the place of what is there. Else raises AutosegError where anything but an empty folder is; also where the
    disk is full or the folder cannot be written. On an exception `target` is as it was before.
    """
    temporary, older = _beside(target), _beside(target)
    made = [folder for folder in target.absolute().parents if not folder.exists()]  # the innermost first
    try:
        if os.path.lexists(target) and not overwrite and not (target.is_dir() and not any(target.iterdir())):
            raise FileExistsError(errno.EEXIST, "", str(target))
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
        if os.path.lexists(target):
            os.rename(target, older)
        os.rename(temporary, target)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        with contextlib.suppress(OSError):
            if os.path.lexists(older) and not os.path.lexists(target):
                os.rename(older, target)
        for path in (temporary, older):
            _remove(path)
        with contextlib.suppress(OSError):
            for folder in made:  # where nothing came of it; a folder with files stays
                folder.rmdir()


def folder_of_this_process(name: str) -> Path:
    """Return a new folder in the system's place for temporary files that is removed when this process ends, Ctrl-C and SIGTERM
    included; what killed processes left there is removed now. name: for the end of the folder's own, letters and digits."""
    place = Path(tempfile.gettempdir())
    remove_leftovers(place, f"-autoseg-{name}-*")
    try:
        folder = Path(tempfile.mkdtemp("", _beside(place / f"autoseg-{name}-").name, place))
    except OSError as error:
        raise AutosegError(f"{disk_error(error, place)} $TMPDIR says where temporary files go.") from error
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and not in a process that was forked off it
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    if threading.current_thread() is threading.main_thread():
        _before_termination(remove)
    return folder


def _before_termination(remove: Callable[[], None]) -> None:
    """Call `remove` when SIGTERM comes, and then do what is done anyway."""
    usual = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        remove()
        if callable(usual):
            usual(number, frame)
        elif usual == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def remove_leftovers(folder: Path, ending: str = "") -> None:
    """Remove temporary files and folders in `folder` that a killed run left. ending: pattern of how their names go on.

    One is a leftover where this host wrote it and its process is gone, or where it is older than a day and not of a process that
    runs here. Other hosts that share the folder keep theirs.
    """
    for path in folder.glob(f"{TEMPORARY_PREFIX}*{ending}"):
        with contextlib.suppress(OSError):
            is_running = _is_running(path.name)
            if is_running is False or (is_running is None and time.time() - path.stat().st_mtime > OLD_AFTER_S):
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, as far as that can be done."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_running(name: str) -> bool | None:
    """Tell whether the process of this host that wrote the file runs; None where another host may have written it."""
    match = LEFTOVER.match(name)
    if match is None or match["host"] != _host():
        return None
    try:
        os.kill(int(match["process"]), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return None
    return True


def _beside(target: Path) -> Path:
    """Return a new temporary name beside a file or folder, with the same end; it holds this host and process."""
    return target.with_name(f"{TEMPORARY_PREFIX}{_host()}.{os.getpid()}.{secrets.token_hex(4)}-{target.name[-40:]}")


def _host() -> str:
    """Return this machine's name with nothing in it that separates the parts of a temporary name."""
    return re.sub(r"[^A-Za-z0-9-]", "_", socket.gethostname()) or "localhost"


def disk_error(error: OSError, target: Path) -> AutosegError:
    """Return the message for a write that failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AutosegError(
            f"The disk is full: {target} could not be written. Completed work was kept. "
            "Free some space, or choose another disk with --workspace or -o, and run the same command again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AutosegError(f"{target} cannot be written ({error.strerror}). Check the folder's permissions.")
    return AutosegError(f"{target} could not be written: {REASONS.get(error.errno or 0) or f'{error.strerror or error}.'}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises AutosegError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error


def require_regular_file(path: Path) -> None:
    """Raise AutosegError where a path is no file that can be read to its end: missing, a folder, a pipe or a device."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise AutosegError(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise AutosegError(f"{path} cannot be read: {system_error(error) or error}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"
        raise AutosegError(f"{path} is {kind}, but a file is expected.")


def read_text_file(path: Path) -> str:
    """Return the content of a UTF-8 file, with its line ends as they are, and without the mark that Windows puts at the start.

    Raises AutosegError where it is missing or no file, or larger than any that autoseg reads as text; UnicodeDecodeError where it
    is not UTF-8.
    """
    require_regular_file(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if (size := os.fstat(file.fileno()).st_size) > MOST_TEXT_BYTES:
                raise AutosegError(f"{path} has {size / 2**20:.0f} MiB; expected are {MOST_TEXT_BYTES // 2**20} at most.")
            return file.read()
    except OSError as error:
        raise AutosegError(f"{path} cannot be read: {error.strerror or error}.") from error


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds. Numbers may be NaN or infinite.

    Raises ValueError that says why where it is no JSON, is nested more than 100 deep, or holds whole numbers of more than 64 bits
    or texts that no UTF-8 file can hold.
    """
    text = text.decode() if isinstance(text, bytes) else text
    try:
        content = json.loads(text, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {DEEPEST_JSON} deep") from error
    level = [content]
    for _ in range(DEEPEST_JSON):
        level = [inner for outer in level if isinstance(outer, (dict, list))
                 for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, (dict, list))]
    if level:
        raise ValueError(f"it is nested more than {DEEPEST_JSON} deep")
    if "\\u" in text and SURROGATE.search(json.dumps(content, ensure_ascii=False)):
        raise ValueError("it holds half a letter: a surrogate without its other half")
    return content


def _whole_number(digits: str) -> int:
    if len(digits) > 20 or not -2**63 <= int(digits) < 2**64:
        raise ValueError(f"it holds a whole number of {len(digits.lstrip('-'))} digits")
    return int(digits)


def write_text(target: Path, text: str) -> None:
    """Write a complete file, or none."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise AutosegError(f"{target} could not be written: {system_error(error)}") from error
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_json(target: Path, content: BaseModel | dict[str, Any] | list[Any]) -> None:
    """Write a model or plain values as JSON that a person can read."""
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json")
    write_text(target, readable_json(content) + "\n")


def append_lines(target: Path, lines: list[str]) -> None:
    """Append lines to a file in one write, so that several processes can do so at the same time.

    A last line that a killed process left without its end stays a line of its own. Raises AutosegError as `atomic_path`.
    """
    if not lines:
        return
    try:
        with open(target, "ab+", buffering=0) as file:
            is_torn = file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
            file.write(("\n" * is_torn + "".join(f"{line}\n" for line in lines)).encode())
    except OSError as error:
        raise disk_error(error, target) from error


def readable_json(content: Any, indent: int = 0) -> str:
    """Return JSON with one line per entry, but lists and objects that fit into a line of 120 characters in one line."""
    flat = json.dumps(content, ensure_ascii=False)
    if len(flat) + indent <= 118 or not isinstance(content, (dict, list)) or not content:
        return flat
    pad = " " * (indent + 1)
    if isinstance(content, dict):
        entries = [f"{pad}{json.dumps(str(k), ensure_ascii=False)}: {readable_json(v, indent + 1)}" for k, v in content.items()]
        return "{\n" + ",\n".join(entries) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + readable_json(v, indent + 1) for v in content) + "\n" + " " * indent + "]"
