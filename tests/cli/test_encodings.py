"""What commands print where the output is no UTF-8: Windows' code pages, ASCII, file names that cannot be decoded."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from autoseg import console
from autoseg.cli.main import COMMANDS, main
from autoseg.output import allow_any_encoding
from autoseg.wording import plain_table

MARKS = "→ × ∪ · – − … ∞ Müller \udce9"


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(to: io.TextIOWrapper) -> str:
    assert isinstance(to.buffer, io.BytesIO)
    return to.buffer.getvalue().decode(to.encoding)


@pytest.mark.parametrize(("encoding", "expected"), [
    ("ascii", "> x + - - - ~ inf M\\xfcller \\udce9"),
    ("cp1252", "> × + · – - … inf Müller \\udce9"),
    ("utf-8", "→ × ∪ · – − … ∞ Müller \\udce9"),
])
def test_text_tables_and_progress_are_written_in_any_encoding(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = stream(encoding), stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    table = plain_table(MARKS)
    table.add_column("kept →")
    table.add_row(MARKS)
    console.show(MARKS)
    console.show(table)
    with console.progress(MARKS) as report:
        report(1.0, MARKS)
    print(MARKS, file=sys.stderr)
    assert written(out).splitlines()[0] == expected and written(out).count(expected) == 5
    assert written(err).strip() == expected


def test_a_stream_that_is_no_file_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    allow_any_encoding()
    print(MARKS)
    assert sys.stdout.getvalue().strip() == MARKS  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_commands_help_and_the_work_on_names_outside_the_encoding(
    encoding: str, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    for command in COMMANDS:
        with pytest.raises(SystemExit, match="0"):
            main([command.name, "-h"])
    assert main(["recipes"]) == 0
    dataset = tiny_dataset.rename(tmp_path / "Dataset007_Łódź")
    place = ["-np", "1", "--workspace", str(tmp_path / "work")]
    assert main(["verify", str(dataset), *place]) == 0
    assert main(["plan_and_preprocess", str(dataset), "--planner", "slices", *place]) == 0
    said = written(out)
    assert "Dataset007_\\u0141\\xf3d\\u017a" in said or "Dataset007_\\u0141ód\\u017a" in said
