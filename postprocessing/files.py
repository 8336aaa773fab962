"""Rules applied to files of labels, in each file's own grid and format."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from autoseg import image_io, layouts
from autoseg.best import Rule, rule_facts
from autoseg.errors import AutosegError
from autoseg.parallel import Outcome, run_parallel
from autoseg.postprocessing.rules import apply_rules
from autoseg.provenance import POSTPROCESSED, Origin, OutputFolder

BYTES_PER_VOXEL = 16  # the labels, their reader's copy, the result, and the components
WORTH_A_PROCESS = 2**28  # voxels of all files below which further processes cost more than they save


def postprocess_files(
    inputs: Sequence[Path], output_folder: Path, rules: Sequence[Rule], workers: int | None = None
) -> Iterator[Outcome[Path]]:
    """Apply the rules to each label file and write the result under its name into `output_folder`.

    Yields the outcome of each input as it is finished, its value the file that was written: on the input's own grid, with
    its header and dtype (of 64-bit integers, the smallest that holds them); where its format is only read, in the one that is
    written instead (`image_io.label_ending`). A file that fails stops no other. Raises AutosegError where an input lies in
    `output_folder`, or two would become one file.
    """
    output_paths(inputs, output_folder)
    voxels = [image_io.number_of_voxels(path) for path in inputs]
    processes = workers if sum(voxels) > WORTH_A_PROCESS else 1
    clean = functools.partial(_clean_file, output_folder=output_folder, rules=tuple(rules))
    yield from run_parallel(clean, inputs, BYTES_PER_VOXEL * max(voxels, default=0), processes)


def begin(
    inputs: Sequence[Path], output_folder: Path, rules: Sequence[Rule], overwrite: bool = False
) -> tuple[list[Path], OutputFolder]:
    """Return the inputs that are still to be post-processed, and the folder, whose record notes them as begun: `finish` each.

    An output is done where it is there, made by these rules from its input as it is now; the files of the others
    stay until they are replaced. Raises AutosegError where an output's name is taken by a file of other
    rules, or of unknown origin, and `overwrite` is off.
    """
    outputs = output_paths(inputs, output_folder)
    origin = Origin.of(rules=rule_facts(rules))
    folder = OutputFolder(output_folder, origin, overwrite, POSTPROCESSED)
    waiting = [source for source, output in outputs.items() if not folder.made(output.name, [source], by="post-processing")]
    folder.begin_all({outputs[source].name: [source] for source in waiting})
    return waiting, folder


def output_paths(inputs: Sequence[Path], output_folder: Path) -> dict[Path, Path]:
    """Return for each input the file that its labels are written to. Raises AutosegError where `postprocess_files` does."""
    taken: dict[Path, Path] = {}
    for path in inputs:
        if output_folder.resolve() in (path.parent.resolve(), path.resolve().parent):
            raise AutosegError(f"{output_folder} holds the labels that are to be read ({path.name}). Choose another folder "
                               "with -o: post-processing leaves its input as it is.")
        output = _output_path(path, output_folder)
        other = taken.setdefault(output, path)
        if other != path:
            raise AutosegError(f"{other} and {path} would both become {output}. Leave only one of them.")
    return {path: output for output, path in taken.items()}


def _output_path(path: Path, output_folder: Path) -> Path:
    return output_folder / f"{layouts.stem(path)}{image_io.label_ending(image_io.file_ending(path))}"


def _clean_file(path: Path, output_folder: Path, rules: Sequence[Rule]) -> Path:
    image = image_io.read_label(path)
    if image.array.shape[0] != 1:
        raise AutosegError(f"{path} has {image.array.shape[0]} channels. Expected labels: one channel of whole numbers.")
    if image.array.size and image.array.min() < 0:
        raise AutosegError(f"{path} holds the negative label value {image.array.min()}. Expected 0 and above.")
    cleaned = apply_rules(image.array[0], image.geometry.spacing_mm, rules)
    target = _output_path(path, output_folder)
    image_io.write_image(target, cleaned[None], image)  # `write_label`, but for any integer that the file holds
    return target
