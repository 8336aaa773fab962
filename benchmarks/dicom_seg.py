"""Time to write DICOM SEG and read it again, and its size: binary segments against a label map.

usage: python -m benchmarks.dicom_seg [--size 512] [--slices 400] [--classes 104]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from autoseg.image_io import read_image
from autoseg.image_io.dicom import verified
from autoseg.image_io.dicom.segmentation import Kind, write_segmentation
from autoseg.image_io.dicom.structures import Maker, structures_of
from tests.dicom.series import oblique, write_series


def boxes(slices: int, size: int, classes: int) -> np.ndarray:
    """Return labels (slices, size, size) uint8: a box for each class, an eighth of the volume long, some over others."""
    random, labels = np.random.default_rng(0), np.zeros((slices, size, size), np.uint8)
    for value in range(1, classes + 1):
        box = [slice(begin, begin + length // 8) for length in labels.shape for begin in [int(random.integers(0, length))]]
        labels[tuple(box)] = value
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("size", 512), ("slices", 400), ("classes", 104)):
        parser.add_argument(f"--{name}", type=int, default=default)
    flags = parser.parse_args()
    labels, program = boxes(flags.slices, flags.size, flags.classes), verified.dcmqi()
    structures = structures_of({f"class {value}": value for value in range(1, flags.classes + 1)})
    with TemporaryDirectory() as folder:
        write_series(Path(folder) / "series", labels.astype(np.int16), oblique())
        like = read_image(Path(folder) / "series")
        turned = like.array[0].astype(np.uint8)
        kinds: tuple[Kind, ...] = ("binary", "labelmap")
        for kind in kinds:
            for by, asked in (("by hand", None), ("by hand and dcmqi", program)):
                verified.dcmqi = lambda asked=asked: asked  # type: ignore[misc]
                path, begun = Path(folder) / f"{kind}.dcm", sum(os.times()[:4])
                write_segmentation(path, turned, like, structures, Maker(), kind)
                seconds = sum(os.times()[:4]) - begun
                print(f"{kind}, read again {by}: {seconds:.1f} s of a CPU, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
