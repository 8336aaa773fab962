"""Series of DICOM files with a known volume, written by pydicom."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from autoseg.image import Geometry


def geometries_of_48() -> list[Geometry]:
    """Return the 48 ways in which the axes of an array can run along the world's: 6 orders and 8 signs; spacing 3, 0.7, 0.9."""
    found = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.zeros((3, 3))
        for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
            matrix[world, axis] = sign
        found.append(Geometry((3.0, 0.7, 0.9), (-31.5, 20.25, 7.0), tuple(matrix.ravel())))
    return found


def oblique(spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.8)) -> Geometry:
    """Return a doubly oblique grid: turned by 20 degrees about x, then by -35 about z."""
    a, b = np.radians(20), np.radians(-35)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return Geometry(spacing_mm, (12.0, -40.0, 100.0), tuple((about_z @ about_x).ravel()))


def write_series(
    folder: Path, array: np.ndarray, geometry: Geometry, modality: str = "CT", names: list[str] | None = None,
    order: list[int] | None = None, slopes: list[tuple[float, float]] | None = None, study: str = "", **tags: Any,
) -> list[Path]:
    """Write `array` (Z, Y, X), int16, as one file per slice z, and return the files in the order of z.

    geometry: of the array; its axes may have any sign (a left-handed one gives slices that run against row × column). order:
    instance number of each slice (default: 1, 2, ...). slopes: (slope, intercept) of each slice, of stored values. tags: further
    elements of every file by keyword, such as SeriesNumber=3; a list gives one for each slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series, frame_of_reference = generate_uid(), generate_uid()
    affine, directions = geometry.affine(), np.reshape(geometry.direction, (3, 3))
    paths = []
    for z, plane in enumerate(array):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Doe^Jane", "P1", "19700101", "F"
        image.StudyInstanceUID, image.SeriesInstanceUID = study or generate_uid(entropy_srcs=["study"]), series
        image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = "20240131", "120000", "1", "A1"
        image.ReferringPhysicianName, image.Manufacturer, image.Modality = "", "autoseg", modality
        image.SeriesNumber, image.SeriesDescription, image.BodyPartExamined = 5, "Test series", "HEAD"
        image.InstanceNumber = z + 1 if order is None else order[z]
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.FrameOfReferenceUID, image.PositionReferenceIndicator = frame_of_reference, ""
        image.ImagePositionPatient = [f"{value:.10g}" for value in (affine @ [0, 0, z, 1])[:3]]
        image.ImageOrientationPatient = [f"{value:.10g}" for value in (*directions[:, 0], *directions[:, 1])]
        image.PixelSpacing = [geometry.spacing_mm[1], geometry.spacing_mm[2]]
        image.SliceThickness, image.KVP, image.AcquisitionNumber = geometry.spacing_mm[0], 120, 1
        image.Rows, image.Columns = plane.shape
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleSlope, image.RescaleIntercept = (1, 0) if slopes is None else slopes[z]
        image.PixelData = np.ascontiguousarray(plane, "<i2").tobytes()
        for keyword, value in tags.items():
            setattr(image, keyword, value[z] if isinstance(value, list) and len(value) == len(array) else value)
        paths.append(folder / (names[z] if names else f"IM{z:04d}.dcm"))
        pydicom.dcmwrite(paths[-1], image, enforce_file_format=True)
    return paths
