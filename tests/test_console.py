"""What is shown while commands work."""

from __future__ import annotations

import re

import pytest

from autoseg import console

TITLE, TEXT = "autoseg run Dataset900_SyntheticKidneys", "3d_fullres fold 2: epoch 12/20, loss 0.512, Dice 0.801"
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def screen(written: str) -> list[str]:
    """The lines of a terminal that erases a line at every return to its start."""
    return [CODES.sub("", line.split("\r")[-1]).rstrip() for line in written.replace("\r\n", "\n").split("\n")]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_on_a_terminal_what_is_told_stands_above_the_bar_and_the_text_beside_it_is_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    with console.progress(TITLE) as report:
        report(0.1, TEXT)
        console.show("2d fold 0: mean Dice 0.900")
        report(0.5, TEXT)
    console.show("after it")
    lines = screen(capsys.readouterr().out)
    assert lines.count("2d fold 0: mean Dice 0.900") == 1 and lines.count("after it") == 1
    shown = next(line for line in lines if "50%" in line)
    assert len(shown) <= width and "3d_fullres fold 2: epoch 12/20" in shown and "left" in shown
    assert sum(TITLE in line for line in lines) == 1


def test_in_a_log_there_are_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with console.progress("Work") as report:
        report(0.5, "half")
        console.show("told [between] them")
        report(1.0, "done")
    assert capsys.readouterr().out.splitlines() == ["told [between] them", "Work: 100%, 0 s  done"]


def test_the_time_left_follows_work_that_slows_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 pieces: 1 s each until the 40th, then 10 s each. After 80, 20 are left at 10 s: 200 s, not 440 / 80 * 20 = 110."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = console._Clock(None)
    assert clock.read(0.0) == "0 s"
    said = []
    for piece in range(1, 81):
        now += 1.0 if piece <= 40 else 10.0
        said.append(clock.read(piece / 100))
    assert said[0] == "1 s, 99 s left" and said[39] == "40 s, 60 s left"
    assert said[-1] == "7 min, 3 min left"
    steady = console._Clock(0.0)
    lefts = []
    for piece in range(1, 1001):
        now += 1.0
        lefts.append(steady.read(piece / 1001).split(", ")[1])
    assert lefts[0] == "17 min left" and lefts[-1] == "1 s left"


def test_a_quiet_job_prints_nothing_beside_its_work(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Work", quiet=True):
        console.show_unless_quiet("a note")
    console.show_unless_quiet("another")
    assert capsys.readouterr().out == "another\n"
