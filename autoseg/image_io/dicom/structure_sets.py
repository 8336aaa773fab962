"""Reading DICOM RTSTRUCT: the regions of a structure set, and their masks on the grid of a volume."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError, many
from autoseg.image import Geometry
from autoseg.image_io.checks import damaged
from autoseg.image_io.dicom.filling import TooManyCrossings, cross, fill
from autoseg.image_io.dicom.headers import DEFLATED, STRUCTURES, meta_of, require_few_items
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.volume import DicomVolume
from autoseg.image_io.opening import check_announced, file_bytes, open_regular

OFF_THE_PLANE = 0.25  # of the distance of slices: so far from the centre of a slice a point may lie
MOST_BYTES, MOST_BYTES_EACH = 1 << 30, 1 << 24  # of the points of all contours, and of one; a point takes about 27
FARTHEST_MM = 1e6
TAGS = ["SOPClassUID", "SOPInstanceUID", "StructureSetROISequence", "ROIContourSequence", "ReferencedFrameOfReferenceSequence",
        "SpecificCharacterSet"]
MEMORY_PER_BYTE = 4  # of the file, that its content takes
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")


@dataclass(frozen=True)
class Region:
    """A region of interest. contours: the closed ones, each (N, 3) float64, (x, y, z) in mm, LPS. frame_of_reference: UID of the
    space that they are in; "" where the file does not say. notes: what was left out, one sentence each."""

    number: int
    name: str
    contours: tuple[np.ndarray, ...]
    frame_of_reference: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StructureSet:
    """The content of a file. regions: in its order. instance: its SOP Instance UID. series, images: UIDs of the series and images
    that it was drawn on, as far as it names them."""

    path: Path
    instance: str
    regions: tuple[Region, ...]
    series: frozenset[str]
    images: frozenset[str]


def read_structure_set(path: Path) -> StructureSet:
    """Read a file of DICOM RTSTRUCT. Raises AutosegError, naming the file, where it is something else, or damaged."""
    with dicom_library(path):
        content = _content(path)
        drawn = {int(item.ReferencedROINumber): item for item in content.get("ROIContourSequence") or ()}
        sizes = [len(contour.get_item("ContourData").value or b"") for item in drawn.values()
                 for contour in item.get("ContourSequence") or () if "ContourData" in contour]
        if sum(sizes) > MOST_BYTES or max(sizes, default=0) > MOST_BYTES_EACH:
            raise damaged(path, f"its contours take {sum(sizes) / 2**20:.0f} MiB, one of them {max(sizes) / 2**20:.1f} MiB; "
                                f"expected are at most {MOST_BYTES >> 20}, and {MOST_BYTES_EACH >> 20} for one")
        rois = content.get("StructureSetROISequence") or ()
        regions = tuple(_region(path, item, drawn.get(int(item.ROINumber))) for item in rois)
        if len({region.number for region in regions}) < len(regions):
            raise damaged(path, "several of its regions have the same number")
        series, images = _references(content)
        return StructureSet(path, str(content.get("SOPInstanceUID", "")), regions, series, images)


def _content(path: Path) -> Any:
    """Return pydicom's Dataset of a structure set. It is read into memory as a whole."""
    import pydicom

    if meta_of(path).get("TransferSyntaxUID") == DEFLATED:  # pydicom would unpack whatever size it has
        raise AutosegError(f"{path} is deflated as a whole, which is not read. dcmtk's dcmconv +te unpacks it.")
    with open_regular(path) as file:
        check_announced(path, file_bytes(file), file_bytes(file), copies=MEMORY_PER_BYTE)
        require_few_items(path)
        content = pydicom.dcmread(BytesIO(file.read()), force=True, stop_before_pixels=True, specific_tags=TAGS)
    if str(content.get("SOPClassUID", "")) != STRUCTURES:
        raise AutosegError(f"{path} was expected to be an RT structure set, but is of another kind: its SOP class is "
                           f"{content.get('SOPClassUID') or 'not given'}.")
    return content


def _region(path: Path, item: Any, drawn: Any) -> Region:
    name = str(item.get("ROIName") or f"ROI {item.ROINumber}").strip()
    contours, left_out = dict[bytes, np.ndarray](), Counter[str]()
    for contour in (drawn.get("ContourSequence") if drawn is not None else None) or ():
        kind = str(contour.get("ContourGeometricType") or "").strip() or "not given"
        points = _points(path, name, contour) if kind in CLOSED else np.empty((0, 3))
        if not len(points):
            left_out["without points" if kind in CLOSED else f"that enclose nothing (their type is {kind})"] += 1
        elif points.tobytes() in contours:
            left_out["that are there twice"] += 1
        else:
            contours[points.tobytes()] = points
    notes = tuple(f'region "{name}": contours {which} were left out ({count})' for which, count in left_out.items())
    space = str(item.get("ReferencedFrameOfReferenceUID") or "").strip()
    return Region(int(item.ROINumber), name, tuple(contours.values()), space, notes)


def _points(path: Path, name: str, contour: Any) -> np.ndarray:
    """Return the points (N, 3) of a contour. Its text is read as a whole: pydicom would make an object of each number."""
    raw = (contour.get_item("ContourData").value or b"") if "ContourData" in contour else b""
    texts = raw.rstrip(b"\0 ").split(b"\\")
    if texts == [b""]:
        return np.empty((0, 3))
    try:
        points = np.fromiter(map(float, texts), np.float64, len(texts)).reshape(-1, 3)
    except ValueError as error:
        raise damaged(path, f'region "{name}": the points of a contour are no triples of numbers') from error
    if not (np.abs(points) < FARTHEST_MM).all():
        raise damaged(path, f'region "{name}": a contour has a point farther than {FARTHEST_MM:g} mm away, or at no place')
    return points


def _references(content: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the UIDs of the series and images that a file says it was drawn on."""
    every = [series for space in content.get("ReferencedFrameOfReferenceSequence") or ()
             for study in space.get("RTReferencedStudySequence") or ()
             for series in study.get("RTReferencedSeriesSequence") or ()]
    drawn = [contour for item in content.get("ROIContourSequence") or () for contour in item.get("ContourSequence") or ()]
    images = {str(image.get("ReferencedSOPInstanceUID", "")).strip() for item in (*every, *drawn)
              for image in item.get("ContourImageSequence") or ()}
    return frozenset(str(series.get("SeriesInstanceUID", "")).strip() for series in every) - {""}, frozenset(images) - {""}


def mask_of(region: Region, path: Path, volume: DicomVolume) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a region's mask (Z, Y, X), bool, on the grid of a volume, and notes on what a reader should know, one sentence each.

    A voxel belongs to the region where its centre lies inside the contours of its slice (see `filling.fill`). A contour belongs
    to the slice whose centre it is nearest to, and may lie a quarter of the distance of slices from it. Slices without a contour
    stay empty. path: of the file, for messages. Raises AutosegError, naming file and region, where contours are in another frame
    of reference, not parallel to the slices, between slices, or outside the volume.
    """
    whose, ours = f'{path}: region "{region.name}"', volume.series.frame_of_reference
    if region.frame_of_reference and ours and region.frame_of_reference != ours:
        raise AutosegError(f"{whose} lies in the frame of reference {region.frame_of_reference}, but {volume.series} in {ours}: "
                           "it was drawn on images of another examination or session.")
    mask, on_slice = np.zeros(volume.shape, bool), dict[int, list[np.ndarray]]()
    for contour in region.contours:
        xyz = _in_voxels(contour, volume.geometry)
        on_slice.setdefault(_slice_of(xyz[:, 2], whose, volume), []).append(xyz[:, :2])
    crossing = 0
    for z, contours in on_slice.items():
        try:
            fill(mask[z], contours)
            crossing += cross(contours, mask[z].shape)
        except TooManyCrossings as error:
            raise damaged(path, f'region "{region.name}" has {error}, on one slice') from error
    notes = list(region.notes)
    if crossing:
        notes.append(f'region "{region.name}": contours cross each other on {many(crossing, "slice")}; what lies in two of them '
                     "counts as outside, as in a hole")
    if on_slice and (gaps := max(on_slice) - min(on_slice) + 1 - len(on_slice)):
        notes.append(f'region "{region.name}": {gaps} of the {gaps + len(on_slice)} slices from its first to its last have no '
                     "contour; they stay empty, as nothing is interpolated")
    return mask, tuple(notes)


def _in_voxels(points: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return world positions (N, 3), mm, in voxels (x, y, z) of a grid."""
    inverse = np.linalg.inv(geometry.affine())
    indices: np.ndarray = points @ inverse[:3, :3].T + inverse[:3, 3]
    return indices


def _slice_of(z: np.ndarray, whose: str, volume: DicomVolume) -> int:
    """Return the slice that a contour lies on. z: of its points, in slices."""
    nearest = int(np.rint(z.mean()))
    if np.ptp(z) > 2 * OFF_THE_PLANE:
        raise AutosegError(f"{whose} has a contour that is not parallel to the slices of {volume.series}: it reaches from slice "
                           f"{z.min():.2f} to {z.max():.2f} (counted from 0). It was drawn on another series; give that one.")
    if not 0 <= nearest < volume.shape[0]:
        raise AutosegError(f"{whose} has a contour outside {volume.series}: at slice {z.mean():.2f} (counted from 0), of "
                           f"{volume.shape[0]}. It was drawn on another series, or slices are missing.")
    if (off := float(np.abs(z - nearest).max())) > OFF_THE_PLANE:
        raise AutosegError(f"{whose} has a contour between two slices of {volume.series}: at slice {z.mean():.2f} (counted from "
                           f"0), {off:.2f} slices from the nearest one, expected at most {OFF_THE_PLANE}. It was drawn on "
                           "another series; give that one.")
    return nearest
