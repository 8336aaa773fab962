"""Headers of DICOM files: of each frame, where it lies, and what tells it apart from other frames of the same place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.image_io.checks import damaged
from autoseg.image_io.dicom.library import dicom_library
from autoseg.image_io.dicom.volume import Frame, Series
from autoseg.image_io.opening import file_bytes, open_regular

PREAMBLE, MAGIC = 128, b"DICM"
DEFLATED = "1.2.840.10008.1.2.1.99"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
DIRECTORY = "1.2.840.10008.1.3.10"
# What may tell apart frames of one series that lie in the same place, in the order in which it is tried.
APART = ("EchoTime", "EchoNumbers", "DiffusionBValue", "TemporalPositionIdentifier", "ImageType", "InversionTime", "FlipAngle",
         "TriggerTime", "NominalPercentageOfCardiacPhase", "AcquisitionNumber", "AcquisitionTime", "FrameReferenceTime",
         "StackID")
TEXTS = {"SeriesNumber": "number", "SeriesDescription": "description", "Modality": "modality", "BodyPartExamined": "body_part",
         "PatientID": "patient", "StudyInstanceUID": "study", "StudyDate": "date", "FrameOfReferenceUID": "frame_of_reference"}
PIXELS = ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope",
          "RescaleIntercept", "ModalityLUTSequence")
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
PLACE = ("Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
         "GantryDetectorTilt", "NumberOfSlices")
TAGS = [*GROUPS, *PLACE, *PIXELS, *APART, *TEXTS, "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"]
MOST_FRAMES = 100_000
ITEMS, MOST_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"), 1_000_000  # how items of sequences begin
BYTES_AT_ONCE = 2**24
LOCALIZERS = ("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW")


@dataclass(frozen=True)
class Plane:
    """A frame, where it lies, and how its voxels are stored.

    size: rows and columns. row, column: unit vectors (x, y, z) along which the index in a row, and in a column, grows.
    spacing_mm: from row to row, and from column to column. apart: values of `APART`, and the instance where a file has several
    frames. colour: whether a voxel has three components.
    stored: NumPy's name of the type of stored voxels. bits: those of it that are used. slope, intercept: from stored values to
    those that are meant.
    localizer: whether it calls itself one. tilt_degrees: of the scanner's gantry, as the header says it. slices: how many the
    series has, as the header says it; 0 where it does not.
    """

    frame: Frame
    size: tuple[int, int]
    row: tuple[float, float, float]
    column: tuple[float, float, float]
    spacing_mm: tuple[float, float]
    apart: tuple[str, ...]
    colour: bool
    stored: str
    bits: int
    slope: float
    intercept: float
    localizer: bool
    original: bool
    tilt_degrees: float
    slices: int


@dataclass(frozen=True)
class FileHeader:
    """A DICOM file. planes: its frames; none where it is no image that lies in space, for which `problem` gives the reason.
    annotation: "SEG" or "RTSTRUCT", where it says what lies where in images."""

    path: Path
    instance: str
    series: Series
    planes: tuple[Plane, ...] = ()
    problem: str = ""
    annotation: str = ""


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its first bytes: with its preamble, or as old files are without one."""
    with open_regular(path) as file:
        start = file.read(PREAMBLE + len(MAGIC))
    return start[PREAMBLE:] == MAGIC or (len(start) > PREAMBLE and start[:2] == b"\x08\x00" and start[3:4] == b"\x00")


def read_header(path: Path) -> FileHeader | None:
    """Return what the header of a DICOM file says; None for a DICOMDIR. Raises AutosegError where it cannot be understood."""
    import pydicom

    with dicom_library(path):
        meta = meta_of(path)
        if meta.get("TransferSyntaxUID") == DEFLATED:
            return FileHeader(path, "", Series(path.parent, ""), problem="it is deflated as a whole, which is not read; dcmtk's "
                              "dcmconv +te unpacks it")
        if meta.get("MediaStorageSOPClassUID") == DIRECTORY:
            return None
        require_few_items(path)
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
        return _header(path, dataset)


def require_few_items(path: Path) -> None:
    """Raise AutosegError where a file holds more items of sequences than any real one: each takes some 700 bytes once it is read,
    and 8 in the file."""
    with open_regular(path) as file:
        if file_bytes(file) < 8 * MOST_ITEMS:
            return
        items, piece = 0, b""
        while following := file.read(BYTES_AT_ONCE):
            piece = piece[-3:] + following  # an item may begin in the one and end in the other
            items += sum(map(piece.count, ITEMS))
    if items > MOST_ITEMS:
        raise damaged(path, f"it holds {items} items of sequences, where at most {MOST_ITEMS} are expected")


def meta_of(path: Path) -> Any:
    """Return the elements that stand before a file's content, such as its transfer syntax; none of a file without a preamble."""
    import pydicom

    return pydicom.filereader.read_file_meta_info(path) if _has_preamble(path) else {}


def _has_preamble(path: Path) -> bool:
    with open_regular(path) as file:
        file.seek(PREAMBLE)
        return file.read(len(MAGIC)) == MAGIC


def _header(path: Path, dataset: Any) -> FileHeader:
    from pydicom.uid import UID

    texts = {field: _text(dataset, keyword) for keyword, field in TEXTS.items()}
    series = Series(path.parent, _text(dataset, "SeriesInstanceUID"), **texts)
    instance, sop_class = _text(dataset, "SOPInstanceUID"), UID(_text(dataset, "SOPClassUID"))
    header = FileHeader(path, instance, series)
    if not (_text(dataset, "Rows") and _text(dataset, "Columns")):
        return FileHeader(path, instance, series, problem=f"it is no image ({sop_class.name or 'of no known class'})",
                          annotation="RTSTRUCT" * (sop_class == STRUCTURES))
    if sop_class in SEGMENTS:
        return FileHeader(path, instance, series, problem=f"it holds segments, no image ({sop_class.name})", annotation="SEG")
    problem = _pixel_problem(dataset)
    planes = () if problem else tuple(_planes(header, sop_class, dataset))
    if not problem and not planes:
        problem = f"its images do not say where they lie in the patient ({sop_class.name})"
    return FileHeader(path, instance, series, planes, problem)


def _pixel_problem(dataset: Any) -> str:
    """Say why voxels cannot be used as they are stored; "" where they can."""
    kind = _text(dataset, "PhotometricInterpretation")
    if kind.startswith("PALETTE"):
        return "its voxels are entries of a colour palette"
    if dataset.get("ModalityLUTSequence"):
        return "its values come from a table (Modality LUT), which is not read"
    if _text(dataset, "BitsAllocated") not in ("8", "16", "32"):
        return f"its voxels have {_text(dataset, 'BitsAllocated') or 'no known number of'} bits, where 8, 16 and 32 are read"
    if not 1 <= int(dataset.get("BitsStored") or 1) <= int(dataset.BitsAllocated):
        return f"its header says that {dataset.BitsStored} bits of {dataset.BitsAllocated} are used"
    return ""


def _planes(header: FileHeader, sop_class: str, dataset: Any) -> Iterator[Plane]:
    """Yield the frames that say where they lie."""
    per_frame = dataset.get(GROUPS[1]) or ()
    shared = (dataset.get(GROUPS[0]) or (None,))[0]
    count = int(dataset.get("NumberOfFrames") or 1)
    if count > MOST_FRAMES or (per_frame and len(per_frame) != count):
        raise ValueError(f"it announces {count} frames and describes {len(per_frame)}")
    if count > 1 and not per_frame:
        return
    for number in range(count):
        found = _Groups([group for group in ((per_frame[number] if per_frame else None), shared) if group is not None], dataset)
        position, directions = found.numbers("ImagePositionPatient", 3), found.numbers("ImageOrientationPatient", 6)
        spacing = found.numbers("PixelSpacing", 2)
        if position is None or directions is None or spacing is None:
            return
        x, y, z = position
        image_type = [part.upper() for part in found.text("ImageType", "FrameType").split("\\")]
        yield Plane(
            Frame(header.path, number, header.instance, sop_class, (x, y, z)), (int(dataset.Rows), int(dataset.Columns)),
            _unit(directions[:3]), _unit(directions[3:]), (spacing[0], spacing[1]),
            (*(found.text(keyword) for keyword in APART), header.instance * (count > 1)),
            int(dataset.get("SamplesPerPixel") or 1) > 1, _stored(dataset),
            int(dataset.get("BitsStored") or dataset.BitsAllocated),
            found.number("RescaleSlope", 1.0), found.number("RescaleIntercept", 0.0), _is_localizer(image_type, header.series),
            "ORIGINAL" in image_type, found.number("GantryDetectorTilt", 0.0), int(found.number("NumberOfSlices", 0)))


class _Groups:
    """The places where an element of a frame may stand: its functional groups, the shared ones, the file itself."""

    SEQUENCES = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence",
                 "FrameContentSequence", "MREchoSequence", "MRDiffusionSequence", "MRTimingAndRelatedParametersSequence",
                 "MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
    OTHER_NAMES = {"EchoTime": "EffectiveEchoTime", "TemporalPositionIdentifier": "TemporalPositionIndex"}

    def __init__(self, groups: Sequence[Any], dataset: Any) -> None:
        self._places = [item for group in groups for name in self.SEQUENCES for item in (group.get(name) or ())] + [dataset]

    def value(self, keyword: str, other: str = "") -> Any:
        names = [name for name in (keyword, other or self.OTHER_NAMES.get(keyword, "")) if name]
        return next((place.get(name) for place in self._places for name in names if place.get(name) not in (None, "")), None)

    def text(self, keyword: str, other: str = "") -> str:
        value = self.value(keyword, other)
        if value is None:
            return ""
        return "\\".join(map(str, value)) if not isinstance(value, str) and isinstance(value, Sequence) else str(value)

    def numbers(self, keyword: str, count: int) -> list[float] | None:
        """Return so many finite numbers; None where they are not there. Raises ValueError for something else."""
        value = self.value(keyword)
        if value is None:
            return None
        found = [float(number) for number in value]
        if len(found) != count or not all(map(math.isfinite, found)):
            raise ValueError(f"its {keyword} is {found}")
        return found

    def number(self, keyword: str, default: float) -> float:
        value = self.value(keyword)
        found = default if value is None else float(value)
        if not math.isfinite(found):
            raise ValueError(f"its {keyword} is {found}")
        return found


def _unit(vector: Sequence[float]) -> tuple[float, float, float]:
    length = math.hypot(*vector)
    if not 0.9 < length < 1.1:
        raise ValueError(f"its ImageOrientationPatient has a vector of length {length:.3g}, where 1 is right")
    x, y, z = (value / length for value in vector)
    return x, y, z


def _stored(dataset: Any) -> str:
    return f"{'int' if dataset.get('PixelRepresentation') == 1 else 'uint'}{int(dataset.BitsAllocated)}"


def _is_localizer(image_type: Sequence[str], series: Series) -> bool:
    description = series.description.upper()
    return any(word in part for word in LOCALIZERS for part in (*image_type, description))


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
