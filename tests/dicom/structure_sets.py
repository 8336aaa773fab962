"""Structure sets as other programs write them, by pydicom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid


def item(**elements: Any) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def write_structure_set(
    path: Path, images: Sequence[Path], regions: Mapping[str, Sequence[np.ndarray]],
    kinds: str | Sequence[str] | Mapping[str, str] = "CLOSED_PLANAR", **elements: Any,
) -> Path:
    """Write the contours, each (N, 3), mm, of regions by name. images: of the series that they were drawn on.

    kinds: the type of all contours, of the first, second, ... of each region, or of those of a region by name. elements: further
    ones of the file, in place of those made here.
    """
    source = pydicom.dcmread(images[0], stop_before_pixels=True)
    space = source.FrameOfReferenceUID
    drawn_on = [item(ReferencedSOPInstanceUID=pydicom.dcmread(image, stop_before_pixels=True).SOPInstanceUID) for image in images]
    def kind_of(name: str, index: int) -> str:
        return kinds if isinstance(kinds, str) else kinds[name] if isinstance(kinds, Mapping) else kinds[index]

    content = item(
        SOPClassUID=RTStructureSetStorage, SOPInstanceUID=generate_uid(), Modality="RTSTRUCT", PatientID=source.PatientID,
        StudyInstanceUID=source.StudyInstanceUID, SeriesInstanceUID=generate_uid(), StructureSetLabel="test",
        ReferencedFrameOfReferenceSequence=[item(FrameOfReferenceUID=space, RTReferencedStudySequence=[item(
            RTReferencedSeriesSequence=[item(SeriesInstanceUID=source.SeriesInstanceUID, ContourImageSequence=drawn_on)])])],
        StructureSetROISequence=[item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=space)
                                 for number, name in enumerate(regions, 1)],
        ROIContourSequence=[item(ReferencedROINumber=number, ContourSequence=[
            item(ContourGeometricType=kind_of(name, index), NumberOfContourPoints=len(points),
                 ContourData=[f"{value:.8g}" for value in np.ravel(points)]) for index, points in enumerate(contours)])
            for number, (name, contours) in enumerate(regions.items(), 1)])
    for keyword, value in elements.items():
        setattr(content, keyword, value)
    content.file_meta = FileMetaDataset()
    content.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    content.save_as(path, enforce_file_format=True)
    return path


def square(z_mm: float, left_mm: float, top_mm: float, size_mm: float) -> np.ndarray:
    """Return the corners (4, 3) of a square in an axial plane."""
    right, bottom = left_mm + size_mm, top_mm + size_mm
    return np.array([(left_mm, top_mm, z_mm), (right, top_mm, z_mm), (right, bottom, z_mm), (left_mm, bottom, z_mm)])
