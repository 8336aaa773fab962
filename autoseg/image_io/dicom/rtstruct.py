"""Writing DICOM RTSTRUCT: each structure of a segmentation as contours in the patient, on the planes of its image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.errors import AutosegError, many
from autoseg.files import atomic_path
from autoseg.image import Image
from autoseg.image_io.dicom.contours import closed_contours
from autoseg.image_io.dicom.headers import STRUCTURES
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.structure_sets import mask_of, read_structure_set
from autoseg.image_io.dicom.structures import Maker, Structure
from autoseg.image_io.dicom.volume import DicomVolume, Frame, frames_of_planes

if TYPE_CHECKING:
    from pydicom import Dataset

STUDY = "1.2.840.10008.3.1.2.3.1"  # class of objects that stand for a study (retired, and expected)
CONTOUR_DATA = 0x30060050
CARRIED_OVER = (  # of the patient and the study
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs",
    "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime",
    "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator",
)
MAY_BE_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
                "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator")
LONGEST_TEXT, LONGEST_LABEL, LONGEST_NUMBER = 64, 16, 16  # letters
PRECISION = 1e-4  # of a voxel, to which points are written


def write_rtstruct(path: Path, labels: np.ndarray, like: Image, structures: Sequence[Structure], maker: Maker) -> None:
    """Write the structures of a segmentation as DICOM RTSTRUCT: whole and compared with the segmentation, or not at all.

    labels: (Z, Y, X), integers from 0, on the grid of `like`. like: its header is the `DicomVolume` that it was read from, which
    says what the contours refer to; patient and study come from its first file. Structures may share voxels; one that has none is
    listed without contours. Raises AutosegError where the file cannot be written, or where what is read again from it is not the
    segmentation.
    """
    volume: DicomVolume = like.header
    with atomic_path(path) as temporary:
        with dicom_library(volume.frames[0].path):
            source = _source(volume.frames[0].path)
        with dicom_library(path):
            content = _content(source, volume, structures, maker)
            content.ROIContourSequence = list(_drawn(labels, like, structures))
            content.save_as(temporary, enforce_file_format=True)
        _verify(temporary, path, labels, like, structures)


def _source(path: Path) -> Dataset:
    import pydicom

    return pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=[*CARRIED_OVER, "FrameOfReferenceUID"])


def _content(source: Dataset, volume: DicomVolume, structures: Sequence[Structure], maker: Maker) -> Dataset:
    """Return all of the file but the contours."""
    import pydicom
    from pydicom.uid import ImplicitVRLittleEndian, generate_uid

    content, model = pydicom.Dataset(), (maker.model or maker.algorithm)[:LONGEST_TEXT]
    content.file_meta = pydicom.dataset.FileMetaDataset()
    content.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # explicit ones have no room for contours of more than 64 KiB
    content.SpecificCharacterSet = "ISO_IR 192"
    content.SOPClassUID, content.SOPInstanceUID, content.SeriesInstanceUID = STRUCTURES, generate_uid(), generate_uid()
    for keyword in CARRIED_OVER:
        if keyword in source or keyword in MAY_BE_EMPTY:
            value = source.get(keyword)
            setattr(content, keyword, "" if value is None else str(value) if keyword.endswith("Name") else value)
    content.Modality, content.SeriesNumber, content.InstanceNumber, content.OperatorsName = "RTSTRUCT", 1, 1, ""
    content.Manufacturer, content.ManufacturerModelName, content.SoftwareVersions = maker.algorithm, model, maker.version
    content.SeriesDescription = content.StructureSetName = f"Structures by {model}"[:LONGEST_TEXT]
    content.StructureSetLabel, content.ApprovalStatus = maker.algorithm[:LONGEST_LABEL], "UNAPPROVED"
    date, time = datetime.now().strftime("%Y%m%d %H%M%S").split()
    for keyword in ("InstanceCreation", "Series", "StructureSet"):
        setattr(content, f"{keyword}Date", date)
        setattr(content, f"{keyword}Time", time)
    content.FrameOfReferenceUID = source.get("FrameOfReferenceUID") or generate_uid()
    content.ReferencedFrameOfReferenceSequence = [_item(
        FrameOfReferenceUID=content.FrameOfReferenceUID, RTReferencedStudySequence=[_item(
            ReferencedSOPClassUID=STUDY, ReferencedSOPInstanceUID=content.StudyInstanceUID, RTReferencedSeriesSequence=[_item(
                SeriesInstanceUID=volume.series.uid, ContourImageSequence=_images(volume.frames))])])]
    content.StructureSetROISequence = [_item(
        ROINumber=number, ReferencedFrameOfReferenceUID=content.FrameOfReferenceUID, ROIName=_name(structure),
        ROIGenerationAlgorithm="AUTOMATIC", ROIGenerationDescription=f"{maker.algorithm} {maker.version}"[:LONGEST_TEXT])
        for number, structure in enumerate(structures, 1)]
    content.RTROIObservationsSequence = [_item(
        ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="ORGAN", ROIInterpreter="",
        RTROIIdentificationCodeSequence=[
            _item(CodeValue=code.value, CodingSchemeDesignator=code.scheme, CodeMeaning=code.meaning)])
        for number, code in enumerate((structure.coding.type for structure in structures), 1)]
    return content


def _item(**elements: Any) -> Dataset:
    import pydicom

    item = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _images(frames: Sequence[Frame]) -> list[Dataset]:
    """Return references to the files of frames, each once."""
    return [_item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance)
            for instance, sop_class in {frame.instance: frame.sop_class for frame in frames}.items()]


def _name(structure: Structure) -> str:
    """Return the name as the element holds it: a backslash would separate two."""
    return structure.name.replace("\\", "/")[:LONGEST_TEXT]


def _drawn(labels: np.ndarray, like: Image, structures: Sequence[Structure]) -> Iterator[Dataset]:
    """Yield the contours of each structure, from the first slice to the last."""
    images = _images_of_planes(like)
    values_on = [np.flatnonzero(np.bincount(plane.ravel())) for plane in labels]
    affine, decimals = like.geometry.affine(), math.ceil(-math.log10(PRECISION * min(like.geometry.spacing_mm)))
    for number, structure in enumerate(structures, 1):
        drawn = []
        for z in (z for z, values in enumerate(values_on) if np.isin(structure.values, values).any()):
            for points in closed_contours(np.isin(labels[z], structure.values)):
                contour = _item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(points))
                if z in images:
                    contour.ContourImageSequence = [images[z]]
                in_voxels = np.column_stack([points, np.full(len(points), z)])
                # as bytes, which are written as they are: of decimal strings pydicom would make an object each
                contour.add_new(CONTOUR_DATA, "OB", _text(in_voxels @ affine[:3, :3].T + affine[:3, 3], decimals))
                drawn.append(contour)
        item = _item(ROIDisplayColor=list(structure.rgb), ReferencedROINumber=number)
        if drawn:
            item.ContourSequence = drawn
        yield item


def _images_of_planes(like: Image) -> dict[int, Dataset]:
    """Return the image that each slice of the volume is; slices that a repair made have none."""
    count_in_file = Counter(frame.instance for frame in like.header.frames)
    found = {}
    for z, frame in frames_of_planes(like).items():
        (found[z],) = _images([frame])
        if count_in_file[frame.instance] > 1:
            found[z].ReferencedFrameNumber = frame.number + 1
    return found


def _text(points: np.ndarray, decimals: int) -> bytes:
    """Return points (N, 3) as an element of decimal strings, each of 16 letters at most."""
    numbers = [repr(number) for number in (points.round(decimals) + 0.0).ravel().tolist()]
    text = "\\".join(number if len(number) <= LONGEST_NUMBER else f"{float(number):.9e}" for number in numbers)
    return (text + " " * (len(text) % 2)).encode()


def _verify(written: Path, path: Path, labels: np.ndarray, like: Image, structures: Sequence[Structure]) -> None:
    """Raise AutosegError where the file as it is read again is not the segmentation."""
    volume = replace(like.header, shape=labels.shape, geometry=like.geometry)
    regions = {region.number: region for region in read_structure_set(written).regions}
    for number, structure in enumerate(structures, 1):
        region = regions.get(number)
        there = None if region is None or region.name != _name(structure).strip() else mask_of(region, written, volume)[0]
        wrong = -1 if there is None else sum(
            int(np.count_nonzero(np.isin(plane, structure.values) != mask)) for plane, mask in zip(labels, there, strict=True))
        if wrong:
            found = "is not there" if wrong < 0 else f"differs in {many(wrong, 'voxel')}"
            raise AutosegError(f'{path}: the structure "{structure.name}", read again from what was written, {found}. The file '
                               "was not kept. This is a fault of autoseg: please report it, and write DICOM SEG or NIfTI until "
                               "it is mended.")
