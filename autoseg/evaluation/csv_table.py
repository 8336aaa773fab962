"""CSV files with named columns, read with an error that says where."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoseg.errors import AutosegError


class Line(NamedTuple):
    """number: in the file, from 1. cells: by column, without the spaces around them."""

    number: int
    cells: dict[str, str]


def columns_of(path: Path) -> list[str]:
    """The names in a file's first line; none where it cannot be read as a table."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # Excel puts a mark at the start
            return [column.strip() for column in next(csv.reader(file, strict=True), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = (), remedy: str = "") -> list[Line]:
    """The rows below a line of column names, which may stand in any order; empty rows are left out.

    remedy: a sentence that ends every message. Raises AutosegError where the file is missing or cannot be read, lacks a
    required column or has one that is not expected, or where a row has another number of cells.
    """
    expected = f"Expected the columns {', '.join(required)}" + (f", and perhaps {', '.join(optional)}." if optional else ".")
    lines = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # Excel puts a mark at the start
            reader = csv.reader(file, strict=True)
            columns = [column.strip() for column in next(reader, [])]
            if not set(required) <= set(columns) <= {*required, *optional} or len(set(columns)) < len(columns):
                raise AutosegError(f"{path} has the columns {', '.join(columns) or '(none)'}. {expected} {remedy}".rstrip())
            for cells in reader:
                if len(cells) not in (0, len(columns)):
                    raise AutosegError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells below {len(columns)} columns. {remedy}".rstrip())
                if any(map(str.strip, cells)):
                    lines.append(Line(reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))))
    except FileNotFoundError as error:
        raise AutosegError(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AutosegError(f"{path} cannot be read as a table ({error}). {expected} {remedy}".rstrip()) from error
    return lines
