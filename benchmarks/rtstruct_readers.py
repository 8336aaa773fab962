"""Readings by other programs of an RTSTRUCT that autoseg wrote: voxels of each structure that differ, and the right share.

    python benchmarks/rtstruct_readers.py --python OTHER/bin/python

OTHER is a virtual environment with `pip install plastimatch dcmrtstruct2nii platipy rt-utils`: what they need differs from ours.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from autoseg import image_io
from autoseg.image_io.dicom.rtstruct import write_rtstruct
from autoseg.image_io.dicom.structures import Maker, structures_of

VALUES = {"ring": 1, "core": 2, "thin": 3, "both": (1, 2)}
READERS = r'''
import logging, subprocess, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk

logging.disable(logging.CRITICAL)
series, structures, truth, out = Path(sys.argv[1]), Path(sys.argv[2]), dict(np.load(sys.argv[3])), Path(sys.argv[4])


def plastimatch(*flags):
    folder = out / f"plastimatch{len(flags)}"
    program = Path(sys.executable).parent / "plastimatch"
    subprocess.run([program, "convert", "--input", structures, "--referenced-ct", series, "--output-prefix", folder,
                    "--prefix-format", "nii.gz", *flags], check=True, capture_output=True)
    return lambda name: sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}.nii.gz")))


def dcmrtstruct2nii():
    from dcmrtstruct2nii import dcmrtstruct2nii
    dcmrtstruct2nii(str(structures), str(series), str(out / "d2n"))
    return lambda name: sitk.GetArrayFromImage(sitk.ReadImage(str(out / "d2n" / f"mask_{name}.nii.gz")))


def platipy():
    from platipy.dicom.io.rtstruct_to_nifti import convert_rtstruct
    (out / "platipy").mkdir()
    convert_rtstruct(str(series), str(structures), prefix="", output_dir=str(out / "platipy"), output_img=None)
    return lambda name: sitk.GetArrayFromImage(sitk.ReadImage(str(out / "platipy" / f"{name}.nii.gz")))


def rt_utils():
    from rt_utils import RTStructBuilder
    content = RTStructBuilder.create_from(dicom_series_path=str(series), rt_struct_path=str(structures))
    return lambda name: np.moveaxis(content.get_roi_mask_by_name(name), -1, 0)


for title, reader in (("plastimatch", plastimatch), ("plastimatch --xor-contours", lambda: plastimatch("--xor-contours")),
                      ("dcmrtstruct2nii", dcmrtstruct2nii), ("platipy", platipy), ("rt-utils", rt_utils)):
    mask = reader()
    wrong = {name: int(((mask(name) != 0) != its).sum()) for name, its in truth.items()}
    total = sum(int(its.sum()) for its in truth.values())
    differ = sum(wrong.values())
    print(f"RESULT {title:27} {differ:4} of {total} voxels differ {wrong}, ratio {1 - differ / total:.4f}")
'''


def labels() -> np.ndarray:
    """Return (Z, Y, X): a ring around a disc, single voxels, a pair, a diagonal and a row, on five of seven slices."""
    y, x = np.mgrid[:64, :64]
    radius, array = np.hypot(y - 32, x - 30), np.zeros((7, 64, 64), np.int16)
    for plane in array[1:6]:
        plane[radius < 25] = 1
        plane[(radius < 18) & (radius > 8)] = 0
        plane[radius < 4] = 2
        plane[2, 2] = plane[5, 5:7] = plane[58, 2:10] = 3
        plane[50:60, 50:60][np.eye(10, dtype=bool)] = 3
    return array


def write_series(folder: Path, array: np.ndarray) -> None:
    study, series, space = generate_uid(), generate_uid(), generate_uid()
    for z, plane in enumerate(array):
        image = pydicom.Dataset()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
        image.Modality, image.InstanceNumber = "CT", z + 1
        image.PatientName, image.PatientID, image.StudyInstanceUID, image.SeriesInstanceUID = "A", "A", study, series
        image.PatientBirthDate = image.PatientSex = image.StudyDate = image.StudyTime = image.StudyID = image.AccessionNumber = ""
        image.FrameOfReferenceUID, image.ImagePositionPatient = space, [-30, -40, 100 + 3 * z]
        image.ImageOrientationPatient, image.PixelSpacing, image.SliceThickness = [1, 0, 0, 0, 1, 0], [0.8, 0.8], 3
        image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = *plane.shape, 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleSlope, image.RescaleIntercept, image.PixelData = 1, 0, plane.astype("<i2").tobytes()
        image.save_as(folder / f"{z}.dcm", enforce_file_format=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="of an environment with the other programs")
    flags = parser.parse_args()
    with TemporaryDirectory() as name:
        folder, array = Path(name), labels()
        (folder / "series").mkdir()
        (folder / "out").mkdir()
        write_series(folder / "series", array)
        like = image_io.read_image(folder / "series")
        write_rtstruct(folder / "structures.dcm", array.astype(np.uint8), like, structures_of(VALUES), Maker())
        np.savez(folder / "truth.npz", **{structure: np.isin(array, value) for structure, value in VALUES.items()})
        done = subprocess.run([flags.python, "-c", READERS, folder / "series", folder / "structures.dcm", folder / "truth.npz",
                               folder / "out"], capture_output=True, text=True, check=False)
    print("\n".join(line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")))
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])


if __name__ == "__main__":
    main()
