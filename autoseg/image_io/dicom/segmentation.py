"""Writing DICOM SEG by highdicom: one segment for each structure, on the planes that the volume was read from.

highdicom makes all but the pixels. Those are packed plane by plane, so that no array of structures × voxels exists, and what a
frame was made from is said by the volume's own frames: so one way does for single images, for files of several frames, and for
volumes that were repaired.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.image import Image
from autoseg.image_io.dicom.codes import Code
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.structures import Maker, Structure, voxels_by_plane
from autoseg.image_io.dicom.verified import require_as_written
from autoseg.image_io.dicom.volume import DicomVolume, Frame, frames_of_planes

if TYPE_CHECKING:
    import pydicom

Kind = Literal["binary", "labelmap"]
LONGEST_TEXT = 64  # letters of a text of one line (LO)
SERIES_NUMBER_FROM = 1000  # numbers of series that are made from others: the other's, and this
UTF8 = "ISO_IR 192"
SEXES = ("M", "F", "O")
PURPOSE = Code("121322", "DCM", "Source image for image processing operation")
DERIVATION = Code("113076", "DCM", "Segmentation")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
AGE = re.compile(r"\d{3}[DWMY]")
AS_THEY_ARE = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
               "StudyTime", "ReferringPhysicianName")  # as they are, right or wrong: by these it is found


def write_segmentation(
    path: Path, labels: np.ndarray, like: Image, structures: Sequence[Structure], maker: Maker, kind: Kind = "binary"
) -> None:
    """Write a segmentation as DICOM SEG, whole or not at all, and read it again by another way (see `verified`).

    labels: (Z, Y, X), uint8 or uint16, on the grid of `like`, whose header is a `DicomVolume`. structures: become segments 1, 2,
    ... in their order. kind: "binary", one frame for each plane that a structure is in; "labelmap", in which segments have the
    numbers of the label values.
    Raises AutosegError where the file cannot be written, is read otherwise, or where structures of a label map overlap.
    """
    if not isinstance(like.header, DicomVolume) or labels.shape != like.array.shape[1:]:
        raise ValueError(f"labels of shape {labels.shape} are not on the grid of a DICOM volume")
    if not structures:
        raise AutosegError(f"{path} cannot be written: a DICOM SEG needs a segment, but these labels name no structure.")
    if kind == "labelmap" and (joined := [structure.name for structure in structures if len(structure.values) != 1]):
        raise AutosegError(f"{path}: a label map has one number for each voxel, but {joined[0]} is a region of several label "
                           "values, which others share. Write binary segments.")
    with dicom_library(like.header.frames[0].path):
        content = _dataset(labels, like, structures, maker, kind)
        with atomic_path(path) as temporary:
            content.save_as(temporary, enforce_file_format=True)
            require_as_written(temporary, path, labels, like.geometry, structures)


def _dataset(
    labels: np.ndarray, like: Image, structures: Sequence[Structure], maker: Maker, kind: Kind
) -> pydicom.Dataset:
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian

    source, geometry = _header(like.header), like.geometry
    counts = voxels_by_plane(labels, structures)
    there = np.stack([counts[:, list(structure.values)].any(1) for structure in structures])
    kept = np.flatnonzero(there.any(0)).tolist() or [0]
    numbers = [structure.values[0] for structure in structures] if kind == "labelmap" else range(1, len(structures) + 1)
    affine, axes = geometry.affine(), np.reshape(geometry.direction, (3, 3))
    series = highdicom.UID()
    made = highdicom.seg.Segmentation(
        source_images=[_stand_in(source, like)], pixel_array=_placeholder(there[:, kept], numbers, kind),
        segmentation_type=kind.upper(),
        segment_descriptions=[_segment(*each, maker, series) for each in zip(structures, numbers, strict=True)],
        series_instance_uid=series, series_number=_series_number(source), sop_instance_uid=highdicom.UID(), instance_number=1,
        manufacturer=maker.algorithm, manufacturer_model_name=one_line(maker.model) or maker.algorithm,
        software_versions=one_line(maker.version), device_serial_number=one_line(maker.version),
        content_label="SEGMENTATION", content_description=one_line(maker.model) or None,
        series_description=one_line(f"{maker.algorithm} {maker.model}"), transfer_syntax_uid=ExplicitVRLittleEndian,
        pixel_measures=highdicom.PixelMeasuresSequence(
            geometry.spacing_mm[1:], _thickness(source, geometry.spacing_mm[0]), geometry.spacing_mm[0]),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", (*axes[:, 0], *axes[:, 1])),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", (affine @ [0, 0, z, 1])[:3].tolist()) for z in kept],
        specific_character_set=UTF8)
    _set_frames(made, source, labels, like, structures)
    made.SegmentsOverlap = _overlap(counts.sum(0), structures)
    made.ContentCreatorName = made.get("ContentCreatorName", "")
    for keyword in AS_THEY_ARE:
        if keyword in source:
            made[keyword] = source[keyword]
    return made


def _header(volume: DicomVolume) -> pydicom.Dataset:
    """Return the header of the volume's first frame, its texts decoded."""
    import pydicom

    header = pydicom.dcmread(volume.frames[0].path, stop_before_pixels=True, force=True)
    header.pop("PerFrameFunctionalGroupsSequence", None)
    header.decode()
    return header


def _stand_in(source: pydicom.Dataset, like: Image) -> pydicom.Dataset:
    """Return a header of one plane on the volume's grid, with all that the source says of patient, study and equipment; what is
    missing there is empty, and what highdicom would refuse is left out."""
    import highdicom
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage

    geometry, axes = like.geometry, np.reshape(like.geometry.direction, (3, 3))
    made = Dataset()
    for element in source:
        if element.tag.group not in (0x28, 0x5200) and not element.tag.is_private and element.keyword not in AS_THEY_ARE:
            made[element.tag] = copy(element)
    if not AGE.fullmatch(str(source.get("PatientAge", ""))):
        made.pop("PatientAge", None)  # scanners write such as "0Y", which no reader has to accept
    for keyword in AS_THEY_ARE:
        setattr(made, keyword, None if "Date" in keyword or "Time" in keyword else "")
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, like.header.frames[0].instance
    made.StudyInstanceUID = source.get("StudyInstanceUID") or highdicom.UID()
    made.SeriesInstanceUID = source.get("SeriesInstanceUID") or highdicom.UID()
    made.FrameOfReferenceUID = source.get("FrameOfReferenceUID") or highdicom.UID()
    made.PositionReferenceIndicator = source.get("PositionReferenceIndicator")
    made.LossyImageCompression = source.get("LossyImageCompression") or "00"
    made.Modality = source.get("Modality") or "OT"
    made.Rows, made.Columns = like.array.shape[2:]
    made.PixelSpacing, made.SpacingBetweenSlices = list(geometry.spacing_mm[1:]), geometry.spacing_mm[0]
    made.SliceThickness = _thickness(source, geometry.spacing_mm[0])
    made.ImageOrientationPatient, made.ImagePositionPatient = [*axes[:, 0], *axes[:, 1]], list(geometry.origin_mm)
    return made


def _segment(structure: Structure, number: int, maker: Maker, series: str) -> Any:
    """Return the description of a segment."""
    import highdicom

    name = one_line(structure.name) or f"segment {number}"
    algorithm = highdicom.AlgorithmIdentificationSequence(
        maker.algorithm, concept(ARTIFICIAL_INTELLIGENCE), one_line(maker.version),
        parameters={"model": maker.model} if maker.model else None)
    made = highdicom.seg.SegmentDescription(
        number, name, concept(structure.coding.category), concept(structure.coding.type), "AUTOMATIC", algorithm,
        tracking_uid=highdicom.UID(), tracking_id=f"{name} in {series}",
        display_color=highdicom.color.CIELabColor.from_rgb(*structure.rgb))
    if structure.coding.modifier is not None:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [concept(structure.coding.modifier)]
    return made


def concept(code: Code) -> Any:
    """Return a code as highdicom and pydicom take it."""
    import highdicom

    return highdicom.sr.CodedConcept(code.value, code.scheme, one_line(code.meaning))


def one_line(text: str) -> str:
    """Return a text as an element of one line (LO) may hold it: at most 64 letters, no backslash, which separates values."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text.replace("\\", "/"))
    return " ".join(printable.split())[:LONGEST_TEXT].strip()


def _series_number(source: pydicom.Dataset) -> int:
    """Return the number of the new series, which tells from which one it comes: 1005 of series 5."""
    number = source.get("SeriesNumber")
    return SERIES_NUMBER_FROM + (int(number) if number and 0 < number < 2**30 else 0)


def _thickness(source: pydicom.Dataset, spacing_mm: float) -> float:
    """Return how thick a plane is, mm; the distance of planes where the source does not say it."""
    value = source.get("SliceThickness")
    return float(value) if value and value > 0 else spacing_mm


def _placeholder(there: np.ndarray, numbers: Sequence[int], kind: Kind) -> np.ndarray:
    """Return planes of one pixel that make highdicom begin those frames that the object has, on (structures, planes that are
    kept); where there is nothing at all, one frame (see `_set_frames`)."""
    if kind == "labelmap":
        return np.full((there.shape[1], 1, 1), max(numbers) if there.any() else 0, np.uint16)
    array = there.T[:, None, None, :].astype(np.uint8)
    if not array.any():
        array[0, ..., 0] = 1
    return array


def _set_frames(
    made: pydicom.Dataset, source: pydicom.Dataset, labels: np.ndarray, like: Image, structures: Sequence[Structure]
) -> None:
    """Give each frame its pixels, and say what it was made from. Without any voxel, the only frame is an empty one of the first
    segment: a file without frames is no valid one, and readers accept this."""
    to_voxel = np.linalg.inv(like.geometry.affine())
    shared = made.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    preserved, several = not like.header.repairs, "NumberOfFrames" in source
    derivations = {z: [_derivation(frame, preserved, several)] for z, frame in frames_of_planes(like).items()}
    masks = []
    for frame in made.PerFrameFunctionalGroupsSequence:
        z = round((to_voxel @ [*map(float, frame.PlanePositionSequence[0].ImagePositionPatient), 1.0])[2])
        segment = frame.get("SegmentIdentificationSequence") or shared
        masks.append((z, structures if segment is None else [structures[segment[0].ReferencedSegmentNumber - 1]]))
        frame.DerivationImageSequence = derivations.get(z, [])
    made.Rows, made.Columns = labels.shape[1:]
    made.PixelData = _packed(labels, masks, made.BitsAllocated)
    _set_references(made, like.header)


def _overlap(voxels: np.ndarray, structures: Sequence[Structure]) -> str:
    """Say whether any voxel is of several structures. voxels: of each label value."""
    values = [value for structure in structures for value in structure.values]
    return "YES" if any(values.count(value) > 1 and voxels[value] for value in set(values)) else "NO"


def _packed(labels: np.ndarray, masks: Sequence[tuple[int, Sequence[Structure]]], bits: int) -> bytes:
    """Return the pixels of frames one after the other, each of a plane z and the structures in it: of 1 bit, or label values of 8
    or 16."""
    packed, tables = io.BytesIO(), dict[tuple[int, ...], np.ndarray]()
    for start in range(0, len(masks), 8):  # together they fill whole bytes
        frames = []
        for z, structures in masks[start:start + 8]:
            values = tuple(value for structure in structures for value in structure.values)
            if values not in tables:
                tables[values] = np.zeros(np.iinfo(labels.dtype).max + 1, labels.dtype)
                tables[values][list(values)] = 1 if bits == 1 else values
            is_one = bits == 1 and len(values) == 1  # which is faster without a table
            frames.append((labels[z] == values[0] if is_one else tables[values][labels[z]]).ravel())
        pixels = np.concatenate(frames)
        packed.write((np.packbits(pixels, bitorder="little") if bits == 1 else pixels.astype(f"<u{bits // 8}")).tobytes())
    return packed.getvalue() + b"\0" * (packed.tell() % 2)


def _derivation(frame: Frame, preserved: bool, of_several: bool) -> pydicom.Dataset:
    """Return from which image a frame was made. preserved: whether their pixels lie in the same places. of_several: whether
    images are files of several frames."""
    from pydicom.dataset import Dataset

    image = _reference(frame)
    image.PurposeOfReferenceCodeSequence = [concept(PURPOSE)]
    image.SpatialLocationsPreserved = "YES" if preserved else "NO"
    if of_several:
        image.ReferencedFrameNumber = frame.number + 1
    made = Dataset()
    made.SourceImageSequence, made.DerivationCodeSequence = [image], [concept(DERIVATION)]
    return made


def _reference(frame: Frame) -> pydicom.Dataset:
    from pydicom.dataset import Dataset

    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = frame.sop_class, frame.instance
    return made


def _set_references(made: pydicom.Dataset, volume: DicomVolume) -> None:
    """Name the images of the volume, which also says of which series they are."""
    from pydicom.dataset import Dataset

    files = {frame.instance: frame for frame in volume.frames}.values()
    series = Dataset()
    series.SeriesInstanceUID = made.ReferencedSeriesSequence[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = [_reference(frame) for frame in files]
    made.ReferencedSeriesSequence, made.SourceImageSequence = [series], [_reference(frame) for frame in files]
