"""Enhanced multi-frame files with a known volume, written by pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from autoseg.image import Geometry


def write_multiframe(
    path: Path, array: np.ndarray, geometry: Geometry, order: Sequence[int] | None = None, echoes: Sequence[float] = (),
    series: str = "",
) -> Path:
    """Write `array` (Z, Y, X), int16, as one Enhanced MR file. order: slice z of each frame (default: 0, 1, ...). echoes: of each
    frame, ms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine, directions = geometry.affine(), np.reshape(geometry.direction, (3, 3))
    order = list(range(len(array))) if order is None else list(order)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = EnhancedMRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Doe^Jane", "P1", "19700101", "F"
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), series or generate_uid()
    image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = "20240131", "120000", "1", "A1"
    image.ReferringPhysicianName, image.Manufacturer, image.Modality = "", "autoseg", "MR"
    image.SeriesNumber, image.SeriesDescription, image.BodyPartExamined = 7, "Multi-frame", "HEAD"
    image.InstanceNumber, image.FrameOfReferenceUID, image.PositionReferenceIndicator = 1, generate_uid(), ""
    image.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    image.NumberOfFrames, (image.Rows, image.Columns) = len(order), array.shape[1:]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    shared, orientation, measures, scaling = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [f"{value:.10g}" for value in (*directions[:, 0], *directions[:, 1])]
    measures.PixelSpacing, measures.SliceThickness = list(geometry.spacing_mm[1:]), geometry.spacing_mm[0]
    scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = 1, 0, "US"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [scaling]
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number, z in enumerate(order):
        frame, position, content, echo = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [f"{value:.10g}" for value in (affine @ [0, 0, z, 1])[:3]]
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", z + 1, [z + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        if echoes:
            echo.EffectiveEchoTime = float(echoes[number])
            frame.MREchoSequence = [echo]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    image.PixelData = np.ascontiguousarray(array[order], "<i2").tobytes()
    pydicom.dcmwrite(path, image, enforce_file_format=True)
    return path
