"""autoseg convert: a dataset from patients' DICOM series and the SEG or RTSTRUCT that was drawn on them."""

from __future__ import annotations

import argparse
import sys

from autoseg import api
from autoseg.cli.command import Command, add_workers, add_workspace, command_like

MOST_NOTES = 12


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a folder with patients' DICOM files, anywhere below, in any order")
    parser.add_argument("-o", dest="dataset", metavar="DATASET", required=True,
                        help="the dataset's folder: new, or of an earlier run of this command")
    parser.add_argument("--labels", nargs="+", default=[], metavar="NAME",
                        help="classes in the order of their values 1, 2, ... (default: all names that are there, sorted)")
    parser.add_argument("--rename", nargs="+", default=[], metavar="NAME=CLASS",
                        help="what segments or regions become, such as GTV-1=tumor; several may become one class")
    parser.add_argument("--channels", nargs="+", default=[], metavar="PATTERN",
                        help="which series is the first, second, ... channel of a study: a part of its description, or its "
                             "modality (default: every series is a case of one channel)")
    parser.add_argument("--overlap", choices=("refuse", "later"), default="refuse",
                        help="where classes overlap: leave the case out, or give shared voxels to the later class (default: "
                             "refuse)")
    parser.add_argument("--only", choices=("seg", "rtstruct"), help="use files of this kind only, where patients have both")
    parser.add_argument("--with-unlabelled", action="store_true", help="series without anything drawn on them become test cases")
    parser.add_argument("--repair", action="store_true", help="fill gaps of missing slices, and undo the tilt of a gantry")
    parser.add_argument("--overwrite", action="store_true", help="convert again what other options or files made")
    parser.add_argument("--dry-run", action="store_true", help="show cases and classes, and write nothing")
    add_workers(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.convert(
        flags.folder, flags.dataset, labels=flags.labels, rename=_renamed(flags.rename), channels=flags.channels,
        overlap=flags.overlap, with_unlabelled=flags.with_unlabelled, repair=flags.repair, only=flags.only,
        overwrite=flags.overwrite, dry_run=flags.dry_run, workers=flags.workers)
    for note in result.notes[:MOST_NOTES]:
        print(f"Note: {note}")
    if len(result.notes) > MOST_NOTES:
        print(f"Note: {len(result.notes) - MOST_NOTES} more; the record in {result.folder} has those of each case")
    for reason in result.left_out.values():
        print(f"Left out: {reason}")
    for reason in result.failed.values():
        print(f"Failed: {reason}", file=sys.stderr)
    if flags.dry_run:
        print("Nothing was written. Leave out --dry-run to convert.")
        return int(bool(result.failed))
    test = f" and {result.test} for testing" * bool(result.test)
    print(f"Wrote {result.folder}: {result.training} cases for training{test}, {result.written} of them now.")
    if result.failed:
        print(f"Error: {len(result.failed)} could not be converted: {', '.join(result.failed)}. The same command tries them "
              "again.", file=sys.stderr)
        return 1
    print(f"Next: {command_like(flags, 'autoseg_plan_and_preprocess')}")
    return 0


def _renamed(words: list[str]) -> dict[str, str]:
    """Return NAME=CLASS words as a mapping. Raises AutosegError for a word of another form."""
    renamed = {}
    for word in words:
        old, equals, new = word.partition("=")
        if not (old and equals and new):
            raise api.AutosegError(f"--rename takes NAME=CLASS, such as GTV-1=tumor, not {word!r}.")
        renamed[old] = new
    return renamed


COMMAND = Command("convert", "Make a dataset from DICOM series with SEG or RTSTRUCT.", add_flags, run, goes_on=True)
