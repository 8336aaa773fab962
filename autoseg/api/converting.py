"""convert: a dataset in nnU-Net's layout from patients' series of DICOM files and what was drawn on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.conversion.cases import (
    SeriesCase,
    channel_names,
    codes_of,
    described,
    groups_of,
    modalities,
    named,
    series_cases,
    with_annotations,
)
from autoseg.conversion.classes import Classes, alike, classes_of
from autoseg.conversion.writing import ENDING, FOLDERS, Overlap, convert_case, files_of
from autoseg.errors import AutosegError, many, some
from autoseg.files import remove_leftovers, write_json
from autoseg.image_io.dicom.annotations import Annotation, read_annotation
from autoseg.image_io.dicom.study import Study, scan
from autoseg.parallel import run_parallel
from autoseg.provenance import Origin, OutputFolder
from autoseg.wording import plain_table

if TYPE_CHECKING:
    from rich.table import Table

RECORD = "autoseg_conversion.jsonl"
LABEL_BYTES = 12  # per voxel, of labels and masks while they are made


@dataclass(frozen=True)
class ConvertResult:
    """The result of a conversion. folder: of the dataset. training, test: numbers of cases in it. written: how many of them this
    call wrote. classes: label values by name. failed: why cases, or files with something drawn, could not be converted, by name.
    left_out: why other files are of no case, by file. notes: what else to know, one sentence each."""

    folder: Path
    training: int
    test: int
    written: int
    classes: Mapping[str, int]
    failed: Mapping[str, str]
    left_out: Mapping[Path, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Sources:
    """The content of the source folder. cases: that are converted. failed, left_out: see `ConvertResult`. unlabelled: number of
    cases on which nothing was drawn."""

    cases: tuple[SeriesCase, ...]
    classes: Classes
    failed: Mapping[str, str]
    left_out: Mapping[Path, str]
    unlabelled: int


def convert(
    folder: PathLike, output: PathLike, labels: Sequence[str] = (), rename: Mapping[str, str] | None = None,
    channels: Sequence[str] = (), overlap: Overlap = "refuse", with_unlabelled: bool = False, repair: bool = False,
    only: Literal["seg", "rtstruct"] | None = None, overwrite: bool = False, dry_run: bool = False, workers: int | None = None,
    quiet: bool = False,
) -> ConvertResult:
    """Make a dataset of the series below a folder on which a SEG or RTSTRUCT was drawn, and show its classes.

    labels: names of classes in the order of their values; empty for all, by name. rename: from names to classes. channels: which
    series is the first, second, ... channel of a study, by a part of its description or its modality; empty for one channel.
    overlap: "later" gives voxels of several classes to the later one; "refuse" leaves such cases out. with_unlabelled: series on
    which nothing was drawn become test cases. repair: mend series that can be (see `scan`). only: the kind of files that are
    used, where there are both. overwrite: convert again what is there. dry_run: show what would be converted, write nothing.
    Cases that are there, made from the same files by the same options, are kept. Raises AutosegError where there is nothing to
    convert, a name is unknown, or the folder holds something else.
    """
    source, target = Path(folder), Path(output)
    _require_apart(source, target)
    study = _study(source, repair)
    sources = _sources(source, study, _annotations(study, only, quiet), labels, rename or {}, channels, with_unlabelled)
    if not quiet:
        console.show(_table(sources))
    if dry_run:
        return _result(target, sources, sources.failed, 0, ())
    values, of_name = sources.classes.values, sources.classes.of_name
    origin = Origin.of(made="conversion of DICOM", source=str(source.resolve()), labels=dict(values),
                       rename=dict(sorted((rename or {}).items())), channels=list(channels), overlap=overlap, repair=repair,
                       only=only)
    record = OutputFolder(target, origin, overwrite, RECORD)
    for name in FOLDERS:
        remove_leftovers(target / name)
    record.remove_others({name for case in sources.cases for name in files_of(case).all})
    waiting = [case for case in sources.cases if not _is_there(record, case)]
    for case in waiting:
        record.begin_all(dict.fromkeys(files_of(case).all, case.inputs))
    work = partial(convert_case, folder=target, values=values, of_name=of_name, overlap=overlap)
    failed, notes = _convert_all(work, waiting, record, of_name, workers, quiet)
    done = [case for case in sources.cases if case.name not in failed]
    if any(case.annotations for case in done):
        write_json(target / "dataset.json", _description(target.name, done, sources.classes, channels))
    else:
        (target / "dataset.json").unlink(missing_ok=True)
    return _result(target, sources, {**sources.failed, **failed}, len(waiting) - len(failed), notes)


def _is_there(record: OutputFolder, case: SeriesCase) -> bool:
    """Tell whether all files of a case are there, made from its files as they are now."""
    entries = [record.made(name, case.inputs, by="autoseg convert") for name in files_of(case).all]
    return all(entry is not None for entry in entries)


def _convert_all(
    work: Callable[[SeriesCase], tuple[str, ...]], cases: Sequence[SeriesCase], record: OutputFolder,
    of_name: Mapping[str, str], workers: int | None, quiet: bool,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Convert cases; return why some could not be, by name, and notes."""
    failed, notes = dict[str, str](), list[str]()
    with console.progress(f"Converting {many(len(cases), 'case')}", quiet) as report:
        finish = console.counted(report, len(cases))
        for outcome in run_parallel(work, cases, _memory(cases), workers):
            case = outcome.item
            if outcome.error is None:
                *others, last = files_of(case).all
                for name in others:
                    record.finish(name)
                record.note(last, case.inputs, described(case, of_name) | {"notes": list(outcome.value)})
                notes += outcome.value
            else:
                failed[case.name] = str(outcome.error)
                for name in files_of(case).all:
                    (record.folder / name).unlink(missing_ok=True)
                    record.fail(name, str(outcome.error))
            finish(case)
    return failed, tuple(notes)


def _require_apart(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise AutosegError(f"{source} is no folder. Give the folder that holds the patients' series.")
    if source.resolve() == target.resolve() or target.resolve() in source.resolve().parents:
        raise AutosegError(f"{source} lies in {target}, where the dataset would be written. Choose another folder with -o.")
    if target.is_dir() and any(target.iterdir()) and not (target / RECORD).exists():
        raise AutosegError(f"{target} is not empty, and autoseg convert did not make it. Choose another folder with -o.")


def _study(source: Path, repair: bool) -> Study:
    study = scan(source, repair)
    if not study.found and not study.annotations:
        raise AutosegError(f"{source} holds no series of DICOM files that is a volume ({many(study.other, 'other file')}). "
                           "autoseg verify-dicom says what lies there.")
    return study


def _sources(
    source: Path, study: Study, read: tuple[list[Annotation], dict[str, str]], labels: Sequence[str], rename: Mapping[str, str],
    channels: Sequence[str], with_unlabelled: bool,
) -> _Sources:
    """Return what is converted of a study. read: see `_annotations`."""
    annotations, failed = read
    cases, unusable, left_out = with_annotations(series_cases(source, study, channels), annotations, study)
    failed |= unusable
    names = [name for case in cases for annotation in case.annotations for name in annotation.parts.values()]
    if not names:
        reasons = " ".join([*left_out.values(), *failed.values()][:3])
        raise AutosegError(f"{source} holds {many(len(study.found), 'volume')} and {many(len(study.annotations), 'file')} of SEG "
                           f"or RTSTRUCT, but nothing was drawn on any of the volumes.{f' {reasons}' * bool(reasons)}")
    classes = classes_of(names, labels, rename)
    labelled = [case for case in cases if any(name in classes.of_name for one in case.annotations for name in one.parts.values())]
    others = [case for case in cases if not case.annotations]
    without = {one.path: f"{one} has none of the classes, but {some(one.parts.values()) or 'nothing that encloses a voxel'}."
               for case in cases if case not in labelled for one in case.annotations}
    if len(kinds := modalities(labelled)) > 1:
        counts = some(f"{kind} ({count})" for kind, count in sorted(kinds.items()))
        raise AutosegError(f"{source} holds labelled series of several modalities: {counts}. Choose one, or a channel each, with "
                           "--channels, such as --channels CT.")
    if with_unlabelled and not channels:
        others = [case for case in others if case.channels[0].volume.series.modality in kinds]
    used = named(source, [*labelled, *(others if with_unlabelled else ())])
    return _Sources(tuple(used), classes, failed, left_out | without, len(others))


def _annotations(study: Study, only: str | None, quiet: bool) -> tuple[list[Annotation], dict[str, str]]:
    """Return what files of SEG and RTSTRUCT say, or of one of these kinds only, and why some cannot be read."""
    found, damaged = [], {}
    with console.progress(f"Reading {many(len(study.annotations), 'file')} of SEG and RTSTRUCT", quiet) as report:
        finish = console.counted(report, len(study.annotations))
        for path in study.annotations:
            try:
                found.append(read_annotation(path))
            except AutosegError as error:
                damaged[str(path)] = str(error)
            finish(path.name)
    return [one for one in found if only in (None, one.kind.lower())], damaged


def _memory(cases: Sequence[SeriesCase]) -> int:
    """Return the bytes that the largest case takes."""
    voxels = [len(case.channels) * channel.volume.components * _voxels(channel.volume.shape) for case in cases
              for channel in case.channels[:1]]
    return max(voxels, default=0) * (8 + LABEL_BYTES)


def _voxels(shape: tuple[int, int, int]) -> int:
    z, y, x = shape
    return z * y * x


def _description(name: str, cases: Sequence[SeriesCase], classes: Classes, channels: Sequence[str]) -> dict[str, object]:
    """Return the content of dataset.json."""
    training = [case for case in cases if case.annotations]
    groups, codes = groups_of(training), codes_of(training, classes.of_name)
    return {
        "name": name, "channel_names": {str(index): channel for index, channel in enumerate(channel_names(training, channels))},
        "labels": {"background": 0, **classes.values}, "numTraining": len(training), "file_ending": ENDING,
        **({"groups": groups} if groups else {}), **({"dicom_codes": codes} if codes else {}),
    }


def _result(
    target: Path, sources: _Sources, failed: Mapping[str, str], written: int, notes: tuple[str, ...]
) -> ConvertResult:
    done = [case for case in sources.cases if case.name not in failed]
    training = sum(bool(case.annotations) for case in done)
    told = [*sources.classes.notes, *notes]
    if sources.unlabelled and len(done) == training:
        told.append(f"Nothing was drawn on {many(sources.unlabelled, 'other case')}; --with-unlabelled makes test cases of them.")
    return ConvertResult(target, training, len(done) - training, written, {"background": 0, **sources.classes.values}, failed,
                         sources.left_out, tuple(told))


def _table(sources: _Sources) -> Table:
    labelled = [case for case in sources.cases if case.annotations]
    table = plain_table(f"{many(len(labelled), 'case')} with labels")
    for column in ("value", "class", "cases", "as"):
        table.add_column(column, justify="right" if column in ("value", "cases") else "left")
    has: Counter[str] = Counter()
    for case in labelled:
        has.update({sources.classes.of_name[name] for one in case.annotations for name in one.parts.values()
                    if name in sources.classes.of_name})
    for name, value in sources.classes.values.items():
        spelled = sorted(given for given, its in sources.classes.of_name.items() if its == name and given != name)
        table.add_row(str(value), name, str(has[name]), some(spelled))
    unchosen = sorted({name for case in labelled for one in case.annotations for name in one.parts.values()}
                      - sources.classes.of_name.keys(), key=alike)
    if unchosen:
        table.add_row("", f"left out: {some(unchosen, 20)}", "", "")
    return table
