"""Reading a DICOM series, beside SimpleITK: seconds and peak memory for headers alone, and for the volume.

    python benchmarks/dicom.py [--slices 219] [--compressed]

Writes a CT-like series of 512 × 512 slices into a temporary folder first. Both read it from the page cache; each in a process of
its own. SimpleITK sorts by position and checks nothing; autoseg reads every header first, and checks what docs/dicom.md lists.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def write(folder: Path, slices: int, compressed: bool) -> None:
    import pydicom
    from pydicom.uid import JPEGLSLossless

    from autoseg.image import Geometry
    from tests.dicom.series import write_series

    random = np.random.default_rng(0)
    disk = np.hypot(*np.meshgrid(np.arange(512) - 256, np.arange(512) - 256)) < 200
    array = np.stack([np.where(disk, random.normal(40, 20, disk.shape), -1000) for _ in range(slices)]).astype(np.int16)
    order = random.permutation(slices)
    paths = write_series(folder, array, Geometry((1.5, 0.7, 0.7)), names=[f"{number:05d}" for number in order])
    for path in paths if compressed else ():
        image = pydicom.dcmread(path)
        image.compress(JPEGLSLossless)
        image.save_as(path)


def read_ours(folder: Path) -> float:
    from autoseg.image_io import read_geometry, read_image

    start = time.perf_counter()
    read_geometry(folder)
    print(f"autoseg, headers: {time.perf_counter() - start:.2f} s")
    return float(read_image(folder).array.sum(dtype=np.int64))


def read_peers(folder: Path) -> float:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return float(sitk.GetArrayViewFromImage(image).sum(dtype=np.int64))


READERS = {"autoseg": read_ours, "SimpleITK": read_peers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=219)
    parser.add_argument("--compressed", action="store_true", help="as JPEG-LS")
    parser.add_argument("--read", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.read:
        start = time.perf_counter()
        total = READERS[flags.read[0]](Path(flags.read[1]))
        print(f"{flags.read[0]}: {time.perf_counter() - start:.2f} s in all with imports, "
              f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB, sum {total:.0f}")
        return
    with TemporaryDirectory() as place:
        write(Path(place), flags.slices, flags.compressed)
        for _ in range(2):
            for who in READERS:
                subprocess.run([sys.executable, __file__, "--read", who, place], check=True)


if __name__ == "__main__":
    main()
