"""CSV files with named columns, and with rows that are small models; read with an error that says where."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, TypeVar

from pydantic import PlainSerializer, ValidationError

from autoseg.errors import AutosegError
from autoseg.files import NOT_UTF8, read_text_file, write_text
from autoseg.plan import Frozen

YesNo = Annotated[bool, PlainSerializer(lambda value: "yes" if value else "no")]  # as written in a cell


class Row(Frozen, allow_inf_nan=False):
    """A row about a case. Its fields are columns, and so are the properties that `derived` names: written, not read."""

    derived: ClassVar[tuple[str, ...]] = ()

    case: str

    @property
    def about(self) -> str:
        """Return what the row is about, in words; no other row is about the same."""
        return f"case {self.case}"


RowType = TypeVar("RowType", bound=Row)


class Line(NamedTuple):
    """A row of a table. number: of the line in the file, from 1. cells: by column, without the spaces around them."""

    number: int
    cells: dict[str, str]


def columns_of(path: Path) -> list[str]:
    """Return the names in a file's first line; none where it cannot be read as a table."""
    try:
        return [column.strip() for column in next(csv.reader(io.StringIO(read_text_file(path), ""), strict=True), [])]
    except (AutosegError, UnicodeDecodeError, csv.Error):
        return []


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = (), remedy: str = "") -> list[Line]:
    """Return the rows below a line of column names, which may stand in any order; empty rows are left out.

    remedy: a sentence that ends every message. Raises AutosegError where the file is missing or cannot be read, lacks a
    required column or has one that is not expected, or where a row has another number of cells.
    """
    expected = f"Expected the columns {', '.join(required)}" + (f", and perhaps {', '.join(optional)}." if optional else ".")
    lines = []
    try:
        reader = csv.reader(io.StringIO(read_text_file(path), ""), strict=True)
        columns = [column.strip() for column in next(reader, [])]
        if not set(required) <= set(columns) <= {*required, *optional} or len(set(columns)) < len(columns):
            raise AutosegError(f"{path} has the columns {', '.join(columns) or '(none)'}. {expected} {remedy}".rstrip())
        for cells in reader:
            if len(cells) not in (0, len(columns)):
                raise AutosegError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells below {len(columns)} columns. {remedy}".rstrip())
            if any(map(str.strip, cells)):
                lines.append(Line(reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))))
    except UnicodeDecodeError as error:
        raise AutosegError(f"{NOT_UTF8.format(file=path)} {remedy}".rstrip()) from error
    except csv.Error as error:
        raise AutosegError(f"{path} cannot be read as a table ({error}). {expected} {remedy}".rstrip()) from error
    return lines


def write_rows(path: Path, kind: type[RowType], rows: Sequence[RowType]) -> None:
    """Write a CSV file with a line of columns, and a line for each row; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*kind.model_fields, *kind.derived])
    for row in rows:
        cells = [*row.model_dump().values(), *(getattr(row, name) for name in kind.derived)]
        writer.writerow("" if cell is None else cell for cell in cells)
    write_text(path, text.getvalue())


def read_rows(path: Path, kind: type[RowType]) -> list[RowType]:
    """Return what write_rows wrote, in the file's order. Raises AutosegError, which ends with the `remedy` of `kind`, where the
    file is missing or damaged, or holds two rows about the same."""
    rows: dict[str, RowType] = {}
    for line, cells in read_table(path, [*kind.model_fields, *kind.derived], remedy=kind.remedy):
        try:
            row = kind.model_validate({column: cells[column] or None for column in kind.model_fields})
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            told = f"{where}: {wrong['msg']}, not {wrong['input']!r}" if where else wrong["msg"]
            raise AutosegError(f"{path}, line {line}: {told}. {kind.remedy}") from error
        if rows.setdefault(row.about, row) is not row:
            raise AutosegError(f"{path}, line {line}: a second row of {row.about}. {kind.remedy}")
    return list(rows.values())
