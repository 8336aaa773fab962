"""Time that reading good images takes, against another checkout of the package, in turn in one run.

usage: python benchmarks/read_images.py --before CHECKOUT [--images FOLDER ...] [--rounds N] [--folder FOLDER]

--before: a checkout of the older package; it is run by the same python.
--images: folders of images to be read, one line for each folder. A CT-like volume of 512×512×200 in each format is built and
measured, too.
Each side is one process that reads everything once and then waits to be asked; a round asks one side after the other. What is
printed is the median over the rounds of each side's time, and of their ratio, and the ratio of the shortest times, of
the clock and of computing (children included), which other programs on the machine disturb less. Both must give the same voxels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from autoseg.image_io import ENDINGS, file_ending

CT_SHAPE = (200, 512, 512)


def main() -> None:
    arguments = _parse_arguments()
    if arguments.serve:
        serve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        groups = {f"{folder.parent.name}/{folder.name}": images_in(folder) for folder in arguments.images}
        for path in make_ct(arguments.folder or Path(temporary)):
            groups[f"CT {path.name}"] = [str(path)]
        sides = [start(arguments.before), start(Path(__file__).resolve().parents[1])]
        for name, paths in groups.items():
            digests = [ask(side, {"digest": paths})["digest"] for side in sides]
            times = np.array([turn(sides, paths, number) for number in range(arguments.rounds)])
            ratio = statistics.median(times[:, 1, 0] / times[:, 0, 0])
            shortest, computing = times[:, 1].min(axis=0) / times[:, 0].min(axis=0)
            same = "same voxels" if digests[0] == digests[1] else "DIFFERENT VOXELS"
            before, after = np.median(times[..., 0], axis=0) / len(paths) * 1000
            print(f"{name}: {len(paths)} images, before {before:.2f} ms, after {after:.2f} ms each, ratio {ratio:.3f}, "
                  f"of the shortest {shortest:.3f}, of computing {computing:.3f}, {same}", flush=True)


def images_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.iterdir() if file_ending(path) in ENDINGS)


def turn(sides: list[subprocess.Popen[str]], paths: list[str], number: int) -> list[list[float]]:
    """Return the seconds, and those of computing, of each side; the one that begins alternates."""
    seconds: list[list[float]] = [[], []]
    for side in (0, 1) if number % 2 else (1, 0):
        seconds[side] = ask(sides[side], {"time": paths})["seconds"]
    return seconds


def start(checkout: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", "--before", "."], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )


def ask(side: subprocess.Popen[str], question: dict[str, Any]) -> dict[str, Any]:
    assert side.stdin and side.stdout
    side.stdin.write(json.dumps(question) + "\n")
    side.stdin.flush()
    return json.loads(side.stdout.readline())  # type: ignore[no-any-return]


def serve() -> None:
    """Answer questions: the digest of all voxels and geometries, or the seconds that reading them takes."""
    from autoseg.image_io import read_image

    for line in sys.stdin:
        question = json.loads(line)
        if "digest" in question:
            digest = hashlib.sha256()
            for path in question["digest"]:
                image = read_image(Path(path))
                digest.update(f"{image.array.dtype.str} {image.array.shape} {image.geometry}".encode())
                digest.update(np.ascontiguousarray(image.array).data)
            print(json.dumps({"digest": digest.hexdigest()}), flush=True)
        else:
            begin, computed = time.perf_counter(), computing_s()
            for path in question["time"]:
                read_image(Path(path))
            print(json.dumps({"seconds": [time.perf_counter() - begin, computing_s() - computed]}), flush=True)


def computing_s() -> float:
    """Return the computing time of this process and its children."""
    children = psutil.Process().children()
    return time.process_time() + sum(times.user + times.system for times in (child.cpu_times() for child in children))


def make_ct(folder: Path) -> list[Path]:
    """Write a volume of int16 that packs about as well as CT, in each format; what is there already is kept."""
    import SimpleITK as sitk
    import tifffile

    paths = [folder / f"ct{ending}" for ending in
             (".nii.gz", ".nii", ".raw.nrrd", ".gzip.nrrd", ".raw.mha", ".zlib.mha", ".raw.tif", ".zlib.tif")]
    if all(path.exists() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:CT_SHAPE[0], :CT_SHAPE[1], :CT_SHAPE[2]]
    body = ((y - 256) / 180) ** 2 + ((x - 256) / 220) ** 2 + ((z - 100) / 400) ** 2 < 1
    array = np.where(body, rng.integers(-60, 120, CT_SHAPE, np.int16), np.int16(-1000))
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.7, 2.5))
    for path in paths:
        if path.suffix == ".tif":
            tifffile.imwrite(path, array, photometric="minisblack", compression="zlib" if "zlib" in path.name else None)
        else:
            sitk.WriteImage(image, str(path), "raw" not in path.name and path.suffix != ".nii", compressionLevel=1)
    return paths


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--images", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
