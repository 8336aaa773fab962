"""What post-processed the files of a folder: a killed run goes on, and files of other rules or inputs are not taken over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.best import Rule
from autoseg.errors import AutosegError
from autoseg.plan import Frozen
from autoseg.postprocessing.files import output_paths
from autoseg.versions import versions
from autoseg.workspace import read_model, remove_leftovers, write_json

RECORD_NAME = "autoseg_postprocessing.json"


class Record(Frozen):
    """autoseg_postprocessing.json. cases: output file name to what its input was ("path, bytes, time of change")."""

    rules: tuple[Rule, ...]
    versions: dict[str, str]
    cases: dict[str, str] = {}


def begin(inputs: Sequence[Path], output_folder: Path, rules: Sequence[Rule], overwrite: bool = False) -> list[Path]:
    """The inputs that are still to be post-processed; notes in the folder's record that they are.

    An output is done where it is there, made by these rules from its input as it is now; every other file that has an
    output's name is removed before work begins, so that what is there is right. Raises AutosegError where an output's name
    is taken by a file of other rules, or of unknown origin, and `overwrite` is off.
    """
    outputs = output_paths(inputs, output_folder)
    remove_leftovers(output_folder)
    path = output_folder / RECORD_NAME
    there = read_model(path, Record) if path.exists() and not overwrite else Record(rules=tuple(rules), versions=versions())
    taken = [output for output in outputs.values() if output.exists()]
    if taken and there.rules != tuple(rules):
        raise AutosegError(f"{output_folder} holds labels that other rules made ({taken[0].name}). Choose another folder with "
                           "-o, or replace them with --overwrite.")
    unknown = [output for output in taken if output.name not in there.cases]
    if unknown and not overwrite:
        raise AutosegError(f"{unknown[0]} is there, but post-processing did not make it. Choose another folder with -o, or "
                           "replace it with --overwrite.")
    now = {outputs[source].name: _identity(source) for source in inputs}
    waiting = [
        source for source, output in outputs.items()
        if not output.exists() or there.cases.get(output.name) != now[output.name]
    ]
    for source in waiting:
        outputs[source].unlink(missing_ok=True)
    cases = {**there.cases, **now} if there.rules == tuple(rules) else now
    write_json(path, Record(rules=tuple(rules), versions=versions(), cases=cases))
    return waiting


def _identity(source: Path) -> str:
    stat = source.stat()
    return f"{source.resolve()}, {stat.st_size}, {stat.st_mtime_ns}"
