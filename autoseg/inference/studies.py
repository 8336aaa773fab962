"""Series of DICOM files as cases: those below a folder, and those that are none."""

from __future__ import annotations

from pathlib import Path

from autoseg.image_io import holds_dicom
from autoseg.image_io.dicom.naming import case_names
from autoseg.image_io.dicom.study import Study, is_dicom_file, scan, series_path


def series_in(path: Path, repair: bool = False) -> list[tuple[str, Path, str | None]]:
    """Return name, path and problem (or None) of each series that is, or was meant as, a volume: below a folder, or of one file.

    repair: fill gaps of whole slices, and undo the tilt of a gantry. Raises AutosegError where there is DICOM, but no library to
    read it.
    """
    study = _study(path, repair)
    if study is None:
        return []
    faults = [refused for refused in study.refused if refused.is_fault]
    names = case_names(path if path.is_dir() else path.parent, [*(one.volume.series for one in study.found),
                                                               *(refused.series for refused in faults)])
    paths = [*(one.path for one in study.found), *(series_path(refused.series.folder, refused.series.uid) for refused in faults)]
    problems = [None] * len(study.found) + [str(refused) for refused in faults]
    return list(zip(names, paths, problems, strict=True))


def notes_of_series(path: Path) -> list[str]:
    """Return one sentence for each series below a folder that was not meant as a volume: localizers, single images, documents."""
    study = _study(path, False)
    return [] if study is None else [f"Left out: {refused}" for refused in study.refused if not refused.is_fault]


def dicom_files(path: Path) -> list[Path]:
    """Return the DICOM files below a folder that belong to images."""
    study = _study(path, False)
    return [] if study is None else sorted({frame.path for one in study.found for frame in one.volume.frames})


def _study(path: Path, repair: bool) -> Study | None:
    """Return the series below a folder, or those that one file belongs to; None where there are none."""
    if path.is_dir():
        return scan(path, repair) if holds_dicom(path) else None
    if not is_dicom_file(path):
        return None
    mine = {one.volume.series.uid for one in scan(path).found} | {refused.series.uid for refused in scan(path).refused}
    study = scan(path.parent, repair)
    return Study(tuple(one for one in study.found if one.volume.series.uid in mine),
                 tuple(refused for refused in study.refused if refused.series.uid in mine), 0)
