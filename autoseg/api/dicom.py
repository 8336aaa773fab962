"""verify_dicom: which series lie below a folder, which of them are volumes, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.errors import AutosegError, many
from autoseg.image_io.dicom.study import Study, scan
from autoseg.image_io.dicom.volume import Refused, Series
from autoseg.wording import plain_table

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class DicomResult:
    """The DICOM below a folder. study: its series. faults: those that were meant as volumes and are none. cases: the names that
    predictions of the volumes would have, in the order of `study.found`."""

    study: Study
    cases: tuple[str, ...]

    @property
    def faults(self) -> tuple[Refused, ...]:
        return tuple(refused for refused in self.study.refused if refused.is_fault)


def verify_dicom(folder: PathLike, repair: bool = False, quiet: bool = False) -> DicomResult:
    """Read the headers of all DICOM files below a folder, or of one file, and show each series with what becomes of it.

    repair: as prediction with `repair`. No voxels are read. Raises AutosegError where the folder does not exist, holds no DICOM
    file, or the libraries are missing.
    """
    path = Path(folder)
    if not path.exists():
        raise AutosegError(f"{path} does not exist. Give a folder with DICOM files.")
    study = scan(path, repair)
    if not study.found and not study.refused:
        raise AutosegError(f"{path} holds no DICOM file ({many(study.other, 'other file')}). Give a study's folder.")
    from autoseg.image_io.dicom.naming import case_names

    faults = [refused.series for refused in study.refused if refused.is_fault]
    names = case_names(path, [*(one.volume.series for one in study.found), *faults])
    result = DicomResult(study, tuple(names[:len(study.found)]))
    if not quiet:
        console.show(_table(result))
        console.show_all(f"{refused}" for refused in result.faults)
    return result


def _called(series: Series) -> str:
    return f"{series.description}{f' ({series.part})' * bool(series.part)}"


def _table(result: DicomResult) -> Table:
    count = len(result.study.found) + len(result.study.refused)
    table = plain_table(f"{count} series and {many(result.study.other, 'other file')}")
    for column in ("series", "description", "modality", "images", "what it is"):
        table.add_column(column, justify="right" if column == "images" else "left")
    for one, case in zip(result.study.found, result.cases, strict=True):
        volume, geometry = one.volume, one.volume.geometry
        shape, spacing = " × ".join(map(str, volume.shape)), " × ".join(f"{mm:.3g}" for mm in geometry.spacing_mm)
        repaired = f"; {', '.join(volume.repairs)}" * bool(volume.repairs)
        table.add_row(volume.series.number, _called(volume.series), volume.series.modality, str(len(volume.frames)),
                      f"case {case}: {shape} voxels of {spacing} mm, {geometry.orientation}{repaired}")
    for refused in result.study.refused:
        verdict = "REFUSED" if refused.is_fault else "left out"
        table.add_row(refused.series.number, _called(refused.series), refused.series.modality, str(refused.images),
                      f"{verdict}: {refused.reason}")
    return table
