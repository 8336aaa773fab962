"""Projected cases on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.intensities import IntensityWindow
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.store import (
    ProjectionDescription,
    StoredLevel,
    open_projection,
    plans_digest,
    write_projection,
)

MakePlans = Callable[..., ProjectionPlans]
LEVEL = StoredLevel(row=4.5, top=3, bottom=6, column=2.0)


def store(folder: Path, channels: np.ndarray, digest: str = "d") -> None:
    write_projection(folder, ProjectionDescription(
        case="a", shapes={}, origin=digest, plans="p", is_known=True, level=LEVEL, first_slice=19.0, slices_per_row=-1.5,
        slice_mm=2.0), channels)


def test_a_projection_is_read_as_it_was_written_to_a_thousandth(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-1, 1, (3, 13, 7)).astype(np.float32)
    store(tmp_path, channels)
    stored = open_projection(tmp_path, "a")
    read = stored.read()
    assert read.dtype == np.float32 and read.shape == (3, 13, 7)
    np.testing.assert_allclose(read, channels, atol=1e-3)
    assert (stored.name, stored.origin, stored.description.plans) == ("a", "d", "p") and stored.is_known and stored.level == LEVEL
    assert [stored.slice_of(row) for row in (0, 2, 4.5)] == [19.0, 16.0, 12.25]


def test_a_damaged_file_is_named_when_a_case_is_opened(tmp_path: Path) -> None:
    store(tmp_path, np.zeros((3, 4, 4), np.float32))
    (tmp_path / "a.b2nd").write_bytes(b"nothing of it")
    with pytest.raises(AutosegError, match=r"a\.b2nd is damaged"):
        open_projection(tmp_path, "a")


@pytest.mark.parametrize("change", [
    {"axis": "y"}, {"project": "y"}, {"slab": 0.5}, {"pixel_mm": 2.0}, {"percentiles": (1, 99)}, {"channel_names": ("T1",)},
    {"windows": (IntensityWindow(low=0, high=1),)}, {"labels": {"background": 0, "L3": 2}},
    {"target": {"name": "L3", "labels": ("L3", "L4")}}, {"target": {"name": "L3"}},
])
def test_the_digest_changes_with_all_that_projections_depend_on(projection_plans: MakePlans, change: dict[str, Any]) -> None:
    assert plans_digest(projection_plans(**change)) != plans_digest(projection_plans())


@pytest.mark.parametrize("change", [
    {"reasons": {"axis": "other words"}}, {"versions": {"numpy": "9"}}, {"size": (32, 32)}, {"batch_size": 4}, {"epochs": 7},
    {"target": {"name": "another name", "labels": ("L3",)}},
])
def test_the_digest_stays_where_only_the_training_changes(projection_plans: MakePlans, change: dict[str, Any]) -> None:
    assert plans_digest(projection_plans(**change)) == plans_digest(projection_plans())
