"""Tables of users: a row for each case, whatever separator a spreadsheet wrote; all that is wrong with one is told at once."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.digests import file_digest
from autoseg.errors import AutosegError, did_you_mean, some
from autoseg.files import NOT_UTF8, read_text_file
from autoseg.image_io import ENDINGS
from autoseg.plan import Frozen

CASE = "case"
SEPARATORS = (",", ";", "\t", "|")
MISSING = ("", "na", "n/a", "nan", "null", ".", "?")
SHOWN = 12


class Fault(Frozen):
    """A fault of a table. is_error: whether the table cannot be used with it."""

    text: str
    is_error: bool = True


@dataclass(frozen=True)
class Sheet:
    """A table. columns: all but that of the case. rows: case to its texts, in the order of the columns; "" where missing. lines:
    case to the line in the file. faults: what is wrong, in words."""

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]
    lines: dict[str, int]
    faults: list[Fault] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Return the digest of the file's content."""
        return file_digest(self.path)

    def column(self, name: str) -> dict[str, str]:
        """Return the text of each case in a column. Raises AutosegError that lists the columns."""
        if name not in self.columns:
            raise AutosegError(f'{self.path} has no column "{name}".{did_you_mean(name, self.columns)} There are: '
                               f"{', '.join(self.columns) or 'none but case'}.")
        index = self.columns.index(name)
        return {case: cells[index] for case, cells in self.rows.items()}


def read_sheet(path: Path, cases: Collection[str] = ()) -> Sheet:
    """Read a table with the column case. cases: names that rows may also give with the ending of a file.

    Commas, semicolons, tabs and bars separate cells, whichever the first line has most of. Texts such as "NA" count as missing.
    Rows that are there twice with the same cells count once; with others, they are faults. Raises AutosegError where the file
    cannot be read, or has no column case.
    """
    separator, lines = _lines(path)
    columns = [cell.strip() for cell in lines[0][1]] if lines else []
    named = [index for index, column in enumerate(columns) if column.lower() == CASE]
    if len(named) != 1:
        raise AutosegError(f"{path} has the columns {', '.join(columns) or '(none)'}, but one that is called {CASE} is expected, "
                           "with the names of the cases.")
    if twice := sorted({column for column in columns if columns.count(column) > 1 or not column}):
        raise AutosegError(f"{path} has a column without a name or two of the same name ({some(twice)!a}). Name each "
                           "differently.")
    rows, at, faults = dict[str, tuple[str, ...]](), dict[str, int](), list[Fault]()
    for number, cells in lines[1:]:
        texts = [cell.strip() for cell in cells]
        if len(texts) != len(columns):
            faults.append(Fault(text=f"line {number}: {len(texts)} cells below {len(columns)} columns"))
            continue
        case = _case(texts[named[0]], cases)
        others = tuple("" if text.lower() in MISSING else text for index, text in enumerate(texts) if index != named[0])
        if not case:
            faults.append(Fault(text=f"line {number}: no case is named"))
        elif case not in rows:
            rows[case], at[case] = others, number
        elif rows[case] == others:
            faults.append(Fault(text=f"line {number}: case {case} is there a second time, with the same cells", is_error=False))
        else:
            faults.append(Fault(text=f"line {number}: case {case} is there a second time, with other cells than in line "
                                     f"{at[case]}"))
    if separator != ",":
        written = {"\t": "tabs", ";": "semicolons", "|": "bars"}[separator]
        faults.append(Fault(text=f"its cells are separated by {written}; they are read so", is_error=False))
    names = tuple(column for index, column in enumerate(columns) if index != named[0])
    return Sheet(path, names, rows, at, faults)


def _lines(path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    try:
        text = read_text_file(path).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
        first = next(iter(text.splitlines()), "")
        separator = max(SEPARATORS, key=first.count)
        reader = csv.reader(io.StringIO(text, ""), delimiter=separator, strict=True)
        return separator, [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError as error:
        raise AutosegError(NOT_UTF8.format(file=path)) from error
    except csv.Error as error:
        raise AutosegError(f"{path} cannot be read as a table ({error}). Save it as CSV.") from error


def _case(text: str, cases: Collection[str]) -> str:
    """Return the name of a case, without the ending of its file where one was given and no case is called so."""
    if text in cases:
        return text
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if text.lower().endswith(ending)), "")
    return text.removesuffix(text[len(text) - len(ending):]) if ending else text


def number_of(text: str) -> float | None:
    """Return the number that a text is, with a point or a comma before its decimals; None for any other text."""
    for written in (text, text.replace(",", ".") if text.count(",") == 1 else text):
        try:
            value = float(written)
        except ValueError:
            continue
        return value if math.isfinite(value) else None
    return None


def require_without_errors(path: Path, faults: Sequence[Fault]) -> None:
    """Raise AutosegError that lists all that is wrong with a table."""
    errors = [fault.text for fault in faults if fault.is_error]
    if errors:
        more = f"; ... {len(errors)} faults in all" if len(errors) > SHOWN else ""
        raise AutosegError(f"{path} cannot be used as it is: {'; '.join(errors[:SHOWN])}{more}. Correct the file, and run the "
                           "command again.")
