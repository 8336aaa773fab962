"""The fuzzer itself tells every way in which a reading can end, and goes on after each."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.image import Geometry
from tests.fuzz import pool
from tests.fuzz.attempt import Change
from tests.fuzz.formats import FORMATS, change
from tests.fuzz.images import Found, judged, read_twice
from tests.fuzz.pool import Job, carried_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
READER = "tests.fuzz.test_pool:misbehave"


def misbehave(path: Path) -> Found:
    """A reader whose misdeeds depend on the file's ending."""
    if path.suffix == ".nii":
        raise AutosegError("no")
    if path.suffix == ".tif":
        raise LookupError("no")
    if path.suffix == ".mgh":
        os.write(2, b"some library's words\n")
        raise AutosegError("no")
    if path.suffix == ".mha":
        np.ones(2**28, np.uint8)
        raise AutosegError("no")
    if path.suffix == ".png":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.suffix == ".mhd":
        time.sleep(60)
    return Found(np.zeros((1, 1, 1, 1), np.uint8), Geometry((1.0, 1.0, 1.0)))


def test_each_way_to_end_is_told_and_survived() -> None:
    expected = {
        "nii_text": "refused",
        "tif_text": "exception",
        "mgh_zeros": "noise",
        "mha_text": "memory",
        "png_text": "crash",
        "nrrd_too_long": "different",
        "nrrd_long_line": "ok",
    }
    jobs = [Job(case=name, reader=READER) for name in expected]
    assert {job.case: outcome.verdict for job, outcome in carried_out(jobs, 1)} == expected


@pytest.mark.parametrize("limits", [{"STANDSTILL_S": 0.4}, {"HANG_S": -1.5, "OVERTIME_S": 0.0}], ids=["clock", "processor"])
def test_what_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limits: dict[str, float]) -> None:
    for name, seconds in limits.items():
        monkeypatch.setattr(pool, name, seconds)
    job = Job(case="mhd_negative_dimensions", reader=READER)
    assert [outcome.verdict for _, outcome in carried_out([job], 1, tmp_path)] == ["hang"]
    kept = tmp_path / "hang" / job.case
    assert (kept / "image.mhd").is_file() and job.command in (kept / "outcome.txt").read_text()


def test_an_attempt_is_repeated_by_its_seed(tmp_path: Path) -> None:
    target = next(kind for kind in FORMATS if kind.name == "nrrd_gzip")
    made = []
    for number in range(2):
        path = tmp_path / f"{number}.nrrd"
        target.write(path, 0)
        words = change(target, Random("nrrd_gzip:17"), path, {".nrrd": path.read_bytes()}).words
        made.append((words.partition(":")[2], path.read_bytes()))
    assert made[0] == made[1]


def test_what_is_sealed_must_be_as_it_was_and_the_rest_must_fit_the_header(tmp_path: Path) -> None:
    good = Found(np.arange(120, dtype=np.int16).reshape(1, 4, 6, 5), Geometry((3.0, 2.0, 1.0)))
    other = Found(good.array.copy(), good.geometry)
    other.array[0, 1, 2, 3] = 7
    png = next(kind for kind in FORMATS if kind.name == "png_8")
    judge = partial(judged, png, lambda: good, good, tmp_path / "image.png")
    assert "1 of 120" in judge(other, Change("", is_sealed=True)) and not judge(good, Change("", is_sealed=True))
    raw = next(kind for kind in FORMATS if kind.name == "nii")
    path = tmp_path / "image.nii"
    raw.write(path, 0)
    whole = read_twice(path)
    assert not judged(raw, lambda: whole, whole, path, whole, Change(""))
    cut = Found(whole.array[:, :2], whole.geometry)
    assert "60 values were read, and 120 are announced" in judged(raw, lambda: whole, whole, path, cut, Change(""))
