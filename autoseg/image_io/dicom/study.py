"""Series below a folder: which are volumes, which are not and why. Files may lie in any order, between other files."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.errors import AutosegError, many, some
from autoseg.image_io.checks import not_an_image
from autoseg.image_io.dicom.headers import FileHeader, is_dicom, read_header
from autoseg.image_io.dicom.library import require_dicom
from autoseg.image_io.dicom.stack import stacks
from autoseg.image_io.dicom.volume import DicomVolume, Refused, Series
from autoseg.image_io.opening import open_regular

SERIES = re.compile(r"(?P<uid>[0-9.]*)\*(?P<part>\d*)(?P<repaired>~repaired)?\.dcm")  # a name that stands for many files
OTHER_FILES = (".gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".hdr", ".img", ".tif", ".tiff", ".png", ".bmp",
               ".jpg", ".jpeg", ".json", ".csv", ".txt", ".xml", ".html", ".pdf", ".md", ".b2nd", ".npz", ".npy", ".pkl", ".zip",
               ".safetensors", ".pt", ".pth", ".py", ".log", ".jsonl", ".exe", ".dll", ".inf", ".ini")
State = tuple[int, int]

_headers: dict[Path, tuple[State, FileHeader | None]] = {}  # of files that were read before by this process


@dataclass(frozen=True)
class Found:
    """A volume that was found. path: what `read_image` takes for it."""

    path: Path
    volume: DicomVolume


@dataclass(frozen=True)
class Study:
    """The series below a folder. other: number of files that are not DICOM. annotations: files of SEG and RTSTRUCT."""

    found: tuple[Found, ...]
    refused: tuple[Refused, ...]
    other: int
    annotations: tuple[Path, ...] = ()


def series_path(folder: Path, uid: str = "", part: int = 0, repaired: bool = False) -> Path:
    """Return the path that stands for a volume below a folder: of a series, or of the only one there is (no uid)."""
    return folder / f"{uid}*{part or ''}{'~repaired' * repaired}.dcm"


def is_series(path: Path) -> bool:
    """Tell whether a path stands for a volume of many files."""
    return SERIES.fullmatch(path.name) is not None


def holds_dicom(folder: Path) -> bool:
    """Tell whether a DICOM file lies in a folder or below."""
    return next(_dicom_files(folder), None) is not None


def scan(folder: Path, repair: bool = False) -> Study:
    """Return the series below a folder, sorted by number. repair: see `stacks`.

    Files that an earlier call has read are read again only where they changed. Raises AutosegError where libraries are missing.
    """
    require_dicom()
    headers, refused, other = _headers_below(folder)
    by_series: dict[str, list[FileHeader]] = defaultdict(list)
    for header in headers:
        by_series[header.series.uid].append(header)
    found = list[Found]()
    for uid, files in by_series.items():
        its_folder = Path(os.path.commonpath([header.path.parent for header in files]))
        planes = [plane for header in files for plane in header.planes]
        series = replace(next((header for header in files if header.planes), files[0]).series, folder=its_folder)
        for problem in dict.fromkeys(header.problem for header in files if header.problem):
            its = [header.path for header in files if header.problem == problem]
            refused.append(Refused(series, problem, images=len(its), files=tuple(its)))
        parts = list(stacks(series, planes, repair)) if planes else []
        volumes = [part for part in parts if isinstance(part, DicomVolume)]
        refused += [part for part in parts if isinstance(part, Refused)]
        for number, volume in enumerate(volumes, 1):
            path = series_path(its_folder, uid, number if len(volumes) > 1 else 0, bool(volume.repairs))
            found.append(Found(path, volume))
    found, doubtful = _without_doubtful(found, [path for one in refused if not one.series.uid for path in one.files])
    return Study(tuple(sorted(found, key=lambda one: (_by_number(one.volume.series), one.path.name))),
                 tuple(sorted((*refused, *doubtful), key=lambda one: (_by_number(one.series), one.reason))), other,
                 tuple(header.path for header in headers if header.annotation))


def _by_number(series: Series) -> tuple[str, int, str]:
    return series.study, int(series.number) if series.number.isdecimal() else 0, series.uid


def _without_doubtful(found: Sequence[Found], damaged: Sequence[Path]) -> tuple[list[Found], list[Refused]]:
    """Return the volumes beside whose files none is damaged, and the others: the damaged one may be their first or last slice."""
    kept, doubtful = list[Found](), list[Refused]()
    for one in found:
        files = tuple(dict.fromkeys(frame.path for frame in one.volume.frames))
        folders = {path.parent for path in files}
        if beside := [path.name for path in damaged if path.parent in folders]:
            doubtful.append(Refused(
                one.volume.series, f"{some(beside)} beside its files cannot be read, and may be a slice of it",
                "Copy or export it again, or take it away where it belongs to something else.", True, len(files), files))
        else:
            kept.append(one)
    return kept, doubtful


def volume_at(path: Path) -> DicomVolume:
    """Return the volume that a path stands for: as `series_path` gives it, or a DICOM file that holds several frames.

    Raises AutosegError where there is none, or more than one.
    """
    match = SERIES.fullmatch(path.name)
    folder, uid = (path.parent, match["uid"]) if match else (path, "")
    if not folder.exists():
        raise AutosegError(f"{folder} does not exist. Check the name, or copy it there.")
    if path.is_file() and not is_dicom(path):
        with open_regular(path) as file:
            raise not_an_image(path, "a DICOM file", file.read(12))
    study = scan(folder, repair=bool(match and match["repaired"]))
    found = [one for one in study.found if not uid or one.volume.series.uid == uid]
    if match and match["part"]:
        found = [one for one in found if one.path.name == path.name]
    if len(found) == 1:
        return found[0].volume
    if found:
        several = "; ".join(str(one.volume.series) for one in found[:4])
        raise AutosegError(f"{folder} holds {many(len(found), 'volume')} ({several}), where one was expected. Give each a folder "
                           "of its own.")
    reasons = [refused for refused in study.refused if not uid or refused.series.uid == uid]
    if path.is_file() and len(reasons) == 1 and reasons[0].images == 1 and not reasons[0].is_fault:
        raise AutosegError(f"{path}: {reasons[0].reason}. Where it is one slice of a series, give the folder: {path.parent}")
    faults = [str(refused) for refused in reasons if refused.is_fault] or [str(refused) for refused in reasons]
    raise AutosegError(" ".join(faults[:4]) or f"{folder} is a folder that holds no DICOM series. Give an image file, or a "
                         "folder with one series.")


def is_segments(path: Path) -> bool:
    """Tell whether a path is a file of DICOM segments."""
    return path.is_file() and is_dicom(path) and (header := _header(path)) is not None and header.annotation == "SEG"


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a path stands for; itself where it stands for no series. Empty where there is none."""
    match = SERIES.fullmatch(path.name)
    if match is None:
        return (path,)
    headers, _, _ = _headers_below(path.parent)
    return tuple(sorted(header.path for header in headers if not match["uid"] or header.series.uid == match["uid"]))


def _headers_below(folder: Path) -> tuple[list[FileHeader], list[Refused], int]:
    """Return headers of DICOM files without copies, files that cannot be understood, and the number of other files."""
    headers, refused, other = list[FileHeader](), list[Refused](), 0
    seen: dict[str, FileHeader] = {}
    for path in _files(folder):
        try:
            if not _is_known(path) and not is_dicom_file(path):
                other += 1
                continue
            header = _header(path)
        except AutosegError as error:
            refused.append(Refused(Series(path.parent, ""), f"{path.name}: {error}".removesuffix("."), is_fault=True, images=1,
                                   files=(path,)))
            continue
        if header is None:
            continue
        first = seen.setdefault(header.instance or str(path), header)
        if first is header or not _same_bytes(first.path, path):
            headers.append(header)
    return headers, refused, other


def _files(folder: Path) -> Iterator[Path]:
    """Yield files below a folder in a fixed order, links followed once; a file itself."""
    if folder.is_file():
        yield folder
        return
    visited = set[tuple[int, int]]()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (path := Path(root, name)).is_file():
                yield path


def _dicom_files(folder: Path) -> Iterator[Path]:
    for path in _files(folder):
        try:
            if is_dicom_file(path):
                yield path
        except AutosegError:
            continue


def is_dicom_file(path: Path) -> bool:
    """Tell whether a file is DICOM, by its first bytes; those that are known by their ending as something else are not."""
    return path.suffix.lower() not in OTHER_FILES and is_dicom(path)


def _header(path: Path) -> FileHeader | None:
    if not _is_known(path):
        _headers[path] = (_state(path), read_header(path))
    return _headers[path][1]


def _is_known(path: Path) -> bool:
    """Tell whether a file was read before as DICOM, and has not changed since."""
    known = _headers.get(path)
    return known is not None and known[0] == _state(path)


def _state(path: Path) -> State:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
