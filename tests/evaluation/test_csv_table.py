"""Tables whose rows are small models, on disk."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import Row, YesNo, read_rows, write_rows


class Found(Row):
    remedy: ClassVar[str] = "Make it again."
    derived: ClassVar[tuple[str, ...]] = ("twice",)

    found: YesNo
    length: float | None = None

    @property
    def twice(self) -> float | None:
        return None if self.length is None else 2 * self.length


ROWS = [Found(case="a, b", found=True, length=1.5), Found(case="c", found=False)]


def test_what_is_derived_stands_behind_the_fields_and_booleans_are_words(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", Found, ROWS)
    assert (tmp_path / "rows.csv").read_text() == 'case,found,length,twice\n"a, b",yes,1.5,3.0\nc,no,,\n'
    assert read_rows(tmp_path / "rows.csv", Found) == ROWS


@pytest.mark.parametrize("text, message", [
    ("case,found,length\nc,no,\n", "Expected the columns case, found, length, twice. Make it again."),
    ("case,found,length,twice\nc,perhaps,,\n", "line 2: found: .*not 'perhaps'. Make it again."),
    ("case,found,length,twice\nc,no,,\nc,yes,,\n", "line 3: a second row of case c. Make it again."),
])
def test_damage_is_named_with_its_line_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(AutosegError, match=message):
        read_rows(tmp_path / "rows.csv", Found)
