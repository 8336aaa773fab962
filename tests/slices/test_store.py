"""Cut cases on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.intensities import IntensityWindow
from autoseg.preprocessing.apart import is_complete
from autoseg.slices.plan import SlicePlans
from autoseg.slices.store import StoredSlicesDescription, open_slices, slices_digest, write_slices


def store(folder: Path, slices: np.ndarray, digest: str = "d") -> None:
    count, channels, size, _ = slices.shape
    write_slices(folder, StoredSlicesDescription(
        case="a", digest=digest, plans_digest="p", channels=channels, image_size=size, case_truth="abnormal",
        truths=("normal", "abnormal", None)[:count], blank=(False, True, False)[:count],
        normal=(True, False, False)[:count]), slices)


def test_slices_are_read_as_they_were_written_to_a_thousandth(tmp_path: Path) -> None:
    slices = np.random.default_rng(0).uniform(-1, 1, (3, 2, 64, 64)).astype(np.float32)
    store(tmp_path, slices)
    stored = open_slices(tmp_path, "a")
    read = stored.read()
    assert read.dtype == np.float32 and stored.shape == read.shape == (3, 2, 64, 64) and np.abs(read).max() <= 1
    np.testing.assert_allclose(read, slices, atol=1e-3)
    assert (stored.name, stored.digest, stored.plans_digest, stored.case_truth) == ("a", "d", "p", "abnormal")
    assert stored.truths == ("normal", "abnormal", None)
    assert (stored.blank, stored.normal) == ((False, True, False), (True, False, False))


def test_a_case_without_its_description_or_of_another_digest_is_not_complete(tmp_path: Path) -> None:
    store(tmp_path, np.zeros((1, 1, 64, 64), np.float32))
    assert is_complete(tmp_path, "a") and is_complete(tmp_path, "a", "d") and not is_complete(tmp_path, "a", "e")
    (tmp_path / "a.json").unlink()
    assert not is_complete(tmp_path, "a")
    with pytest.raises(AutosegError, match="case a: .* holds no complete slices of it. Run .* --planner slices again"):
        open_slices(tmp_path, "a")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store(tmp_path, np.zeros((1, 1, 64, 64), np.float32))
    (tmp_path / "a.b2nd").write_bytes(b"nothing of it")
    with pytest.raises(AutosegError, match=r"a\.b2nd cannot be read"):
        open_slices(tmp_path, "a")
    store(tmp_path, np.zeros((1, 1, 64, 64), np.float32))
    (tmp_path / "b.b2nd").write_bytes((tmp_path / "a.b2nd").read_bytes())
    store(tmp_path, np.zeros((2, 1, 64, 64), np.float32))
    (tmp_path / "b.b2nd").replace(tmp_path / "a.b2nd")
    with pytest.raises(AutosegError, match=r"shape \(1, 1, 64, 64\), but an array of shape \(2, 1, 64, 64\) is expected"):
        open_slices(tmp_path, "a")


@pytest.mark.parametrize("change", [
    {"axis": "axial"}, {"image_size": 128}, {"windows": (IntensityWindow(low=0, high=1),)}, {"normal_by": "foreground"},
    {"channel_names": ("T1",)}, {"labels": {"background": 0, "lesion": 1}},
])
def test_the_digest_changes_with_all_that_slices_depend_on_and_with_no_more(
    slice_plans: Callable[..., SlicePlans], change: dict[str, Any]
) -> None:
    assert slices_digest(slice_plans(**change)) != slices_digest(slice_plans())
    assert slices_digest(slice_plans(reasons={"axis": "other words"}, versions={"numpy": "9"})) == slices_digest(slice_plans())
