"""Series of DICOM files as cases: those below a folder, and those that are none."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from autoseg.image_io import holds_dicom
from autoseg.image_io.dicom.naming import case_names
from autoseg.image_io.dicom.study import Study, is_dicom_file, scan, series_path


class Searched:
    """An image, or a folder of images, in which series of DICOM files are looked for once, whatever is asked of them."""

    def __init__(self, path: Path, repair: bool = False) -> None:
        """repair: fill gaps of whole slices, and undo the tilt of a gantry."""
        self.path, self._repair = path, repair

    @cached_property
    def _study(self) -> Study | None:
        """The series below a folder, or those that one file belongs to; None where there are none. Raises AutosegError where
        there is DICOM, but no library to read it."""
        path = self.path
        if path.is_dir():
            return scan(path, self._repair) if holds_dicom(path) else None
        if not is_dicom_file(path):
            return None
        alone = scan(path)
        mine = {one.volume.series.uid for one in alone.found} | {refused.series.uid for refused in alone.refused}
        study = scan(path.parent, self._repair)
        return Study(tuple(one for one in study.found if one.volume.series.uid in mine),
                     tuple(refused for refused in study.refused if refused.series.uid in mine), 0)

    def series(self) -> list[tuple[str, Path, str | None]]:
        """Return name, path and problem (or None) of each series that is, or was meant as, a volume: below a folder, or of one
        file."""
        if (study := self._study) is None:
            return []
        faults = [refused for refused in study.refused if refused.is_fault]
        folder = self.path if self.path.is_dir() else self.path.parent
        names = case_names(folder, [*(one.volume.series for one in study.found), *(refused.series for refused in faults)])
        paths = [*(one.path for one in study.found),
                 *(series_path(refused.series.folder, refused.series.uid) for refused in faults)]
        problems = [None] * len(study.found) + [str(refused) for refused in faults]
        return list(zip(names, paths, problems, strict=True))

    def notes(self) -> list[str]:
        """Return one sentence for each series that was not meant as a volume: localizers, single images, documents."""
        study = self._study
        return [] if study is None else [f"Left out: {refused}" for refused in study.refused if not refused.is_fault]

    def files(self) -> list[Path]:
        """Return the DICOM files that belong to images."""
        study = self._study
        return [] if study is None else sorted({frame.path for one in study.found for frame in one.volume.frames})
