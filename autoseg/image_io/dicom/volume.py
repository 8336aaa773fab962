"""A volume that DICOM files hold: parallel planes of one series, equally far apart, in the order of their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.image import Geometry, Image

SAME_PLANE = 0.1  # of the slices' distance: so far from a plane a frame may lie that is its image


@dataclass(frozen=True)
class Frame:
    """One plane of voxels: an image of its own, or one frame of a file that holds several.

    path: of the file. number: of the frame in it, from 0. instance: the file's SOP Instance UID. sop_class: its SOP Class UID.
    position_mm: world position (x, y, z) of the centre of its first voxel, LPS.
    """

    path: Path
    number: int
    instance: str
    sop_class: str
    position_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Series:
    """The facts that headers give of a series, as text; "" where they say nothing.

    folder: where its files lie. uid: Series Instance UID. number, description: as the scanner calls it. date: of the study,
    YYYYMMDD. frame_of_reference: UID of the space that positions are in. part: what tells this part of the series from others,
    such as "EchoTime 4.6".
    """

    folder: Path
    uid: str
    number: str = ""
    description: str = ""
    modality: str = ""
    body_part: str = ""
    patient: str = ""
    study: str = ""
    date: str = ""
    frame_of_reference: str = ""
    part: str = ""

    def __str__(self) -> str:
        """Return what a person calls it, such as `series 4 "T1 axial" (MR) in study/A`."""
        number, description = f" {self.number}" * bool(self.number), f' "{self.description}"' * bool(self.description)
        modality = f" ({self.modality})" * bool(self.modality)
        part = f", {self.part}," * bool(self.part)
        return f"series{number}{description}{modality}{part} in {self.folder}"


@dataclass(frozen=True)
class DicomVolume:
    """A volume of one series; the header of images that are read from it.

    frames: sorted along the normal of their planes, which is row × column. Where nothing was repaired, frame i is plane z = i of
    the array, its rows are axis y, its columns axis x. shape: (Z, Y, X). geometry: of this grid.
    repairs: what was resampled, one clause each; then planes and frames need not coincide. dtype: of the array, NumPy's name.
    components: of each voxel; 3 for colours.
    """

    series: Series
    frames: tuple[Frame, ...]
    shape: tuple[int, int, int]
    geometry: Geometry
    repairs: tuple[str, ...] = ()
    dtype: str = "int16"
    components: int = 1


def frames_of_planes(like: Image) -> dict[int, Frame]:
    """Return the frame that each plane z of an image is, a volume or a part of one; planes that a repair made have none."""
    frames, geometry = like.header.frames, like.geometry
    away = np.array([frame.position_mm for frame in frames]) - geometry.origin_mm
    places = away @ np.reshape(geometry.direction, (3, 3))[:, 2] / geometry.spacing_mm[0]
    nearest = {z: int(np.abs(places - z).argmin()) for z in range(like.array.shape[1])}
    return {z: frames[index] for z, index in nearest.items() if abs(places[index] - z) <= SAME_PLANE}


@dataclass(frozen=True)
class Refused:
    """A series, or a part of one, that is not used as a volume.

    reason: what was found, a clause. remedy: what to do, a sentence. is_fault: whether it was meant as a volume; localizers,
    single images and documents are not. images: number of its frames. files: of them.
    """

    series: Series
    reason: str
    remedy: str = ""
    is_fault: bool = False
    images: int = 0
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        """Return one line that names the series."""
        return f"{self.series}: {self.reason}.{f' {self.remedy}' * bool(self.remedy)}"
