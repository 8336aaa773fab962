"""Tables whose rows are small models, on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import YesNo, read_rows, write_rows
from autoseg.plan import Frozen


class Row(Frozen):
    name: str
    found: YesNo
    length: float | None = None

    @property
    def twice(self) -> float | None:
        return None if self.length is None else 2 * self.length


ROWS = [Row(name="a, b", found=True, length=1.5), Row(name="c", found=False)]


def test_what_is_derived_stands_behind_the_fields_and_booleans_are_words(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", Row, ROWS, ("twice",))
    assert (tmp_path / "rows.csv").read_text() == 'name,found,length,twice\n"a, b",yes,1.5,3.0\nc,no,,\n'
    assert read_rows(tmp_path / "rows.csv", Row, lambda row: row.name, "", ("twice",)) == ROWS


@pytest.mark.parametrize("text, message", [
    ("name,found,length\nc,no,\n", "Expected the columns name, found, length, twice. Make it again."),
    ("name,found,length,twice\nc,perhaps,,\n", "line 2: found: .*not 'perhaps'. Make it again."),
    ("name,found,length,twice\nc,no,,\nc,yes,,\n", "line 3: a second row of c. Make it again."),
])
def test_damage_is_named_with_its_line_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(AutosegError, match=message):
        read_rows(tmp_path / "rows.csv", Row, lambda row: row.name, "Make it again.", ("twice",))
