"""Rules applied to files of labels, in each file's own grid and format."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from autoseg import image_io
from autoseg.best import Rule
from autoseg.errors import AutosegError
from autoseg.parallel import Outcome, run_parallel
from autoseg.postprocessing.rules import apply_rules

BYTES_PER_VOXEL = 16  # the labels, their reader's copy, the result, and the components
WORTH_A_PROCESS = 2**28  # voxels of all files below which further processes cost more than they save


def postprocess_files(
    inputs: Sequence[Path], output_folder: Path, rules: Sequence[Rule], workers: int | None = None
) -> Iterator[Outcome[Path]]:
    """Apply the rules to each label file and write the result under its name into `output_folder`.

    Yields the outcome of each input as it is finished, its value the file that was written: on the input's own grid, with
    its header and dtype; where its format is only read, in the one that is written instead (`image_io.label_ending`). A
    file that fails stops no other. Raises AutosegError where an input lies in `output_folder`, or two would become one file.
    """
    inside = [path for path in inputs if path.resolve().parent == output_folder.resolve()]
    if inside:
        raise AutosegError(f"{output_folder} holds the labels that are to be read ({inside[0].name}). Choose another folder "
                           "with -o: post-processing leaves its input as it is.")
    targets: dict[Path, Path] = {}
    for path in inputs:
        other = targets.setdefault(output_path(path, output_folder), path)
        if other != path:
            raise AutosegError(f"{other} and {path} would both become {output_path(path, output_folder)}. Leave only one.")
    voxels = [_voxels(path) for path in inputs]
    processes = workers if sum(voxels) > WORTH_A_PROCESS else 1
    clean = functools.partial(_clean_file, output_folder=output_folder, rules=tuple(rules))
    yield from run_parallel(clean, inputs, BYTES_PER_VOXEL * max(voxels, default=0), processes)


def output_path(path: Path, output_folder: Path) -> Path:
    """Where the post-processed labels of a file lie."""
    ending = image_io.file_ending(path)
    return output_folder / f"{path.name[:len(path.name) - len(ending)]}{image_io.label_ending(ending)}"


def _clean_file(path: Path, output_folder: Path, rules: Sequence[Rule]) -> Path:
    image = image_io.read_label(path)
    if image.array.shape[0] != 1:
        raise AutosegError(f"{path} has {image.array.shape[0]} channels. Expected labels: one channel of whole numbers.")
    if image.array.size and image.array.min() < 0:
        raise AutosegError(f"{path} holds the negative label value {image.array.min()}. Expected 0 and above.")
    cleaned = apply_rules(image.array[0], image.geometry.spacing_mm, rules)
    target = output_path(path, output_folder)
    if cleaned.dtype in (np.uint8, np.uint16):
        image_io.write_label(target, cleaned, image)
    else:
        image_io.write_image(target, cleaned[None], image)
    return target


def _voxels(path: Path) -> int:
    """From the header; a file that cannot be read is left to the reader."""
    try:
        return int(np.prod(image_io.read_geometry(path)[0]))
    except AutosegError:
        return 0
