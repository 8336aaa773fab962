"""Cut cases on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.intensities import IntensityWindow
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.store import SlicesDescription, open_slices, plans_digest, write_slices


def store(folder: Path, slices: np.ndarray, digest: str = "d") -> None:
    count = len(slices)
    write_slices(folder, SlicesDescription(
        case="a", shapes={}, origin=digest, plans="p", case_truth="abnormal",
        truths=("normal", "abnormal", None)[:count], blank=(False, True, False)[:count],
        normal=(True, False, False)[:count]), slices)


def test_slices_are_read_as_they_were_written_to_a_thousandth(tmp_path: Path) -> None:
    slices = np.random.default_rng(0).uniform(-1, 1, (3, 2, 64, 64)).astype(np.float32)
    store(tmp_path, slices)
    stored = open_slices(tmp_path, "a")
    read = stored.read()
    assert read.dtype == np.float32 and read.shape == (3, 2, 64, 64) and np.abs(read).max() <= 1
    np.testing.assert_allclose(read, slices, atol=1e-3)
    assert (stored.name, stored.origin, stored.description.plans, stored.case_truth) == ("a", "d", "p", "abnormal")
    assert stored.truths == ("normal", "abnormal", None)
    assert (stored.blank, stored.normal) == ((False, True, False), (True, False, False))


def test_a_damaged_file_is_named_when_a_case_is_opened(tmp_path: Path) -> None:
    store(tmp_path, np.zeros((1, 1, 64, 64), np.float32))
    (tmp_path / "a.b2nd").write_bytes(b"nothing of it")
    with pytest.raises(AutosegError, match=r"a\.b2nd is damaged"):
        open_slices(tmp_path, "a")


@pytest.mark.parametrize("change", [
    {"axis": "axial"}, {"image_size": 128}, {"windows": (IntensityWindow(low=0, high=1),)}, {"normal_by": "foreground"},
    {"channel_names": ("T1",)}, {"labels": {"background": 0, "lesion": 1}},
])
def test_the_digest_changes_with_all_that_slices_depend_on_and_with_no_more(
    slice_plans: Callable[..., SlicePlans], change: dict[str, Any]
) -> None:
    assert plans_digest(slice_plans(**change)) != plans_digest(slice_plans())
    assert plans_digest(slice_plans(reasons={"axis": "other words"}, versions={"numpy": "9"})) == plans_digest(slice_plans())
