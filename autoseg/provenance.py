"""Provenance: what an artefact was made from, whether that still holds, and what became of each case; one way for all files.

An `Origin` says what something was made from: files and weights (their digests, see `autoseg.digests`), plans, labels, settings.
It is written beside the artefact, or its digest in it; the artefact holds as long as the same is true today.

An `OutputFolder` is a folder of outputs, one or more per case, with a record of lines of JSON that is only ever appended to:

    {"origin": {...}, "versions": {...}}                                   what makes the outputs that follow
    {"output": "a.nii.gz", "origin": "<digest>", "inputs": [...], ...}     what became of a case; its last line counts
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from autoseg.errors import AutosegError
from autoseg.files import append_lines, make_folder, parse_json, remove_leftovers, require_regular_file, write_json
from autoseg.image_io import files_of, is_series
from autoseg.plan import Frozen
from autoseg.versions import versions
from autoseg.workspace import read_json, read_model

PREDICTIONS, GATED, POSTPROCESSED = "autoseg_prediction.jsonl", "autoseg_gate.jsonl", "autoseg_postprocessing.jsonl"
NOTHING: tuple[Any, ...] = (None, [], {}, "")  # values that mean the same
MADE_FROM = "made_from.json"  # lies beside an artefact that has a folder of its own


def digest_of(content: Any) -> str:
    """Return 32 hexadecimal digits (BLAKE2b) of plain values."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def file_stamp(path: Path, with_folder: bool = False) -> str:
    """Return a text that changes when a file does: its name, size in bytes and time of change; of a missing file its name alone.

    It is for what costs less to be made again in vain than large files to be read; else see `autoseg.digests`.

    with_folder: the resolved path in place of the name, where files of one name in different folders must be told apart.
    """
    name = str(path.resolve()) if with_folder else path.name
    try:
        status = path.stat()
    except OSError:
        return name
    return f"{name}, {status.st_size}, {status.st_mtime_ns}"


def file_stamps(paths: Iterable[Path | None], with_folder: bool = False) -> tuple[str, ...]:
    """Return the stamps of those files that are not None; of a series of files, one for all of them."""
    return tuple(_series_stamp(path) if is_series(path) else file_stamp(path, with_folder) for path in paths if path is not None)


def _series_stamp(path: Path) -> str:
    return f"{path.parent.resolve() / path.name}, {digest_of([file_stamp(file, True) for file in files_of(path)])}"


class Origin(Frozen):
    """The facts that an artefact was made from. facts: plain values (texts, numbers, lists, objects) by name."""

    facts: dict[str, Any]

    @classmethod
    def of(cls, **facts: Any) -> Origin:
        """Return an origin whose facts are given as models, tuples, paths or plain values."""
        return cls(facts=_plain(facts))

    @property
    def digest(self) -> str:
        """Return the digest of the facts (see `digest_of`); equal for equal facts."""
        return digest_of(self.facts)

    def differences(self, now: Origin) -> list[str]:
        """Return what differs from another origin, such as "folds 0 (now 1)"; the names of inner facts stand alone."""
        return _differences(self.facts, now.facts)

    def write(self, path: Path) -> None:
        """Write the origin as a JSON file."""
        write_json(path, self)

    def holds_for(self, path: Path) -> bool:
        """Tell whether the file at `path` says this same origin; False where it is missing or damaged."""
        return read_origin(path) == self


def read_origin(path: Path) -> Origin | None:
    """Return what `Origin.write` wrote; None where the file is missing or damaged."""
    try:
        return read_model(path, Origin) if path.exists() else None
    except AutosegError:
        return None


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for key in dict.fromkeys([*before, *now]):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            are_named = all(isinstance(value, dict) for value in [*one.values(), *other.values()])
            if are_named and one.keys() != other.keys():  # the things themselves differ: their names are enough
                found.append(f"{key} {', '.join(one) or 'none'} (now {', '.join(other) or 'none'})")
            else:
                found += _differences(one, other)
        elif one != other and not (one in NOTHING and other in NOTHING):
            found.append(f"{key} {_in_words(one)} (now {_in_words(other)})")
    return found


def _in_words(value: Any) -> str:
    """Return a plain value as a message shows it: "keep_largest: labels 1 2, count 2"."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, list):
        return ("; " if any(isinstance(entry, dict) for entry in value) else " ").join(map(_in_words, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class Entry(Frozen):
    """One line of an output folder's record: the outcome of a case.

    output: the name of its file, or of the case where it has none. origin: digest of what made it. inputs: stamps of the files
    that it was made from. result: what is known of it, as plain values. failed: why nothing was made; then the output is not
    there. warnings: why the result may be wrong. replaces: the file that is there is still an earlier one, which this one will
    replace.
    """

    output: str
    origin: str
    inputs: tuple[str, ...] = ()
    result: dict[str, Any] | None = None
    failed: str | None = None
    warnings: tuple[str, ...] = ()
    replaces: bool = False


class Header(Frozen):
    """A line of the record that tells what made the outputs after it."""

    origin: dict[str, Any]
    versions: dict[str, str]


class OutputFolder:
    """A folder of outputs that models, rules or settings made. Every file that is there and in the record is complete.

    Several processes may write into the folder at the same time: the record is only appended to, and read anew as it grows.
    """

    def __init__(
        self, folder: Path, origin: Origin, overwrite: bool = False, record: str = PREDICTIONS, refuses_others: bool = True
    ) -> None:
        """Open the record. origin: what makes the outputs. overwrite: make every output again that is asked for. Outputs of the
        same origin stay in the record; those of others stay as files, but a later run refuses them. record: name of the record's
        file. refuses_others: whether outputs of another origin are an error without `overwrite`; else they count as not there.

        Raises AutosegError where the folder cannot be written.
        """
        make_folder(folder)
        remove_leftovers(folder)
        self.folder, self.origin, self.overwrite = folder, origin, overwrite
        self._path, self._offset = folder / record, 0
        self._headers: list[Header] = []
        self._entries: dict[str, Entry] = {}
        self._begun: set[str] = set()  # outputs that autoseg wrote, or began to write, by whatever origin
        self._read()
        there = self._headers[-1] if self._headers else None
        if there is not None and refuses_others and not overwrite:
            self._require_same(Origin(facts=there.origin))

    @property
    def is_new(self) -> bool:
        """Tell whether nothing of this origin is in the record."""
        return not any(entry.origin == self.origin.digest and not entry.failed for entry in self._entries.values())

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Return the results of this origin's outputs by the outputs' names, sorted, with those that other processes appended."""
        self._read()
        return {name: entry.result for name, entry in sorted(self._entries.items())
                if entry.origin == self.origin.digest and entry.result is not None and not entry.replaces}

    def made(self, output: str, inputs: Sequence[Path], is_file: bool = True, by: str = "this model") -> Entry | None:
        """Return the entry of an output that is there, made by this origin from these files as they are now; None where it is to
        be made.

        is_file: whether the output is a file of the folder. Raises AutosegError where a file of its name is there that is not in
        the record, or that another origin made and `overwrite` is off.
        """
        self._read()
        entry, is_there = self._entries.get(output), not is_file or (self.folder / output).exists()
        if is_file:
            self.require_own(output)
        if self.overwrite or not is_there:
            return None
        is_ours = entry is not None and entry.origin == self.origin.digest and entry.failed is None
        if is_file and not is_ours:
            raise AutosegError(f"{self.folder / output} is there, but {by} did not make it. Choose another folder with -o, or "
                               "replace it with --overwrite.")
        is_made = is_ours and entry is not None and not entry.replaces
        return entry if is_made and entry is not None and entry.inputs == file_stamps(inputs, with_folder=True) else None

    @contextmanager
    def writing(
        self, output: str, inputs: Sequence[Path], result: BaseModel | dict[str, Any] | None = None, warnings: Sequence[str] = ()
    ) -> Iterator[Path]:
        """Note that this origin makes an output, which the block writes, by renaming, to the path that it is given.

        An older file of that name stays until it is replaced; where the block fails, the next run makes the output again.
        Raises AutosegError where the path is an input, or a file that is not in the record.
        """
        self.begin_all({output: inputs}, result, warnings)
        yield self.folder / output
        self.finish(output)

    def begin_all(
        self, outputs: Mapping[str, Sequence[Path]], result: BaseModel | dict[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """Note that this origin makes several outputs; `finish` each of them. outputs: name to the files that it is made from.
        The rest as in `writing`."""
        for output, inputs in outputs.items():
            path = self.folder / output
            if path.resolve() in [file.resolve() for file in inputs]:
                raise AutosegError(f"{path} is what it would be made from. Choose another folder with -o.")
            self.require_own(output)
        self._append([self._entry(output, inputs, result, warnings).model_copy(
            update={"replaces": (self.folder / output).exists()}) for output, inputs in outputs.items()])

    def finish(self, output: str) -> None:
        """Note that an output that was begun has been written."""
        if (entry := self._entries[output]).replaces:
            self._append([entry.model_copy(update={"replaces": False})])

    def require_own(self, output: str, file: Path | None = None) -> None:
        """Raise AutosegError where a file is there though the record does not say that autoseg ever made, or began to make, the
        output: then the file is not autoseg's to replace. file: a further one of the output; None for the output itself."""
        path = file or self.folder / output
        self._read()  # another process may have begun it
        if path.exists() and output not in self._begun:
            raise AutosegError(f"{path} is there, but autoseg did not make it ({self._path.name} does not name {output}). Choose "
                               "another folder with -o: files of yours are not replaced.")

    def require_own_tables(self, *names: str) -> None:
        """Raise AutosegError where a table of all cases is there, but no record: then it is not autoseg's to replace."""
        for path in (self.folder / name for name in names):
            if path.exists() and not self._headers:
                raise AutosegError(f"{path} is there, but autoseg did not make it. Choose another folder with -o: files of yours "
                                   "are not replaced.")

    def remove_others(self, outputs: Collection[str]) -> None:
        """Remove what autoseg wrote, or began to write, and is none of these outputs, such as files of cases that are no more."""
        self._read()
        for path in (self.folder / name for name in self._begun - {*outputs}):
            if path.resolve().is_relative_to(self.folder.resolve()):
                path.unlink(missing_ok=True)

    def note(self, case: str, inputs: Sequence[Path], result: BaseModel | dict[str, Any]) -> None:
        """Note what is known of a case that has no file, or of an output that was begun and is finished now."""
        self._append([self._entry(case, inputs, result)])

    def fail(self, output: str, reason: str, result: BaseModel | dict[str, Any] | None = None) -> None:
        """Note why an output could not be made, and what is known of it nevertheless."""
        self._append([Entry(output=output, origin=self.origin.digest, result=_plain(result), failed=reason)])

    def claim_tables(self, *names: str, by: str = "this model") -> None:
        """Make sure that no table of all cases stays that something else made: with `overwrite` it is removed.

        Raises AutosegError where one is there though nothing of this origin is, and `overwrite` is off, or the folder has no
        record.
        """
        self.require_own_tables(*names)
        for path in (self.folder / name for name in names):
            if path.exists() and self.is_new and not self.overwrite:
                raise AutosegError(f"{path} is there, but {by} did not make it. Choose another folder with -o, or replace it "
                                   "with --overwrite.")
            if self.is_new:
                path.unlink(missing_ok=True)

    def _entry(
        self, output: str, inputs: Sequence[Path], result: BaseModel | dict[str, Any] | None, warnings: Sequence[str] = ()
    ) -> Entry:
        stamps = file_stamps(inputs, with_folder=True)
        return Entry(output=output, origin=self.origin.digest, inputs=stamps, result=_plain(result), warnings=tuple(warnings))

    def _append(self, entries: Sequence[Entry]) -> None:
        is_said = bool(self._headers) and self._headers[-1].origin == self.origin.facts
        header = [] if is_said or not entries else [Header(origin=self.origin.facts, versions=versions())]
        append_lines(self._path, [_line(content) for content in (*header, *entries)])
        self._headers += header
        for entry in entries:
            self._know(entry)

    def _know(self, entry: Entry) -> None:
        self._entries[entry.output] = entry
        if entry.failed is None:
            self._begun.add(entry.output)

    def _read(self) -> None:
        """Take in the lines that came since the last reading. A last line without its end is left for later, or for nobody."""
        if not self._path.exists():
            return
        require_regular_file(self._path)
        if self._path.stat().st_size <= self._offset:
            return
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            lines = file.read()
        end = lines.rfind(b"\n") + 1
        self._offset += end
        for line in filter(None, lines[:end].split(b"\n")):
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            content = parse_json(line)
            if "output" in content:
                self._know(Entry.model_validate(content))
            else:
                self._headers.append(Header.model_validate(content))
        except (ValueError, TypeError, ValidationError) as error:
            if self.overwrite or not line.rstrip().endswith(b"}"):
                return  # the rest of a line that a killed process did not finish
            raise AutosegError(f"{self._path} is damaged: it holds a line that does not fit ({_short(error)}). Choose another "
                               "folder with -o, or replace what is there with --overwrite.") from error

    def _require_same(self, there: Origin) -> None:
        is_used = any(entry.origin == there.digest and not entry.failed for entry in self._entries.values())
        if there == self.origin or not is_used:
            return
        raise AutosegError(f"{self.folder} holds outputs that another model or other options made: "
                           f"{', '.join(there.differences(self.origin))}. Choose another folder with -o, or replace them with "
                           "--overwrite.")


def require_replaceable(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise AutosegError where a file is there that autoseg did not make. is_ours: tells it by the file's content."""
    if path.exists() and not is_ours(path):
        raise AutosegError(f"{path} is there, but autoseg did not make it. Move it, or choose another name with -o where the "
                           "command has that flag: files of yours are not replaced.")


def holds_model(path: Path, model: type[BaseModel]) -> bool:
    """Tell whether a file is a JSON object with every entry of a model, as autoseg writes it: other programs may write some."""
    try:
        content = read_json(path)
    except AutosegError:
        return False
    return isinstance(content, dict) and content.keys() >= model.model_fields.keys()


def remove_recorded(output: Path, record: str = PREDICTIONS) -> None:
    """Remove a file that the record of its folder names, and leave any other."""
    path = output.parent / record
    if output.exists() and path.exists() and any(
            json.dumps(output.name, ensure_ascii=False).encode() in line for line in path.read_bytes().splitlines()):
        output.unlink(missing_ok=True)


def _line(content: BaseModel) -> str:
    return json.dumps(content.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        wrong = error.errors()[0]
        return f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
    return str(error)
