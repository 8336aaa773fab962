"""Slice plans for made datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import Dataset, Labels
from autoseg.slices.plan import SlicePlans


@pytest.fixture
def slice_plans() -> Callable[..., SlicePlans]:
    """Plans for gray images, 64 pixels, scaled image by image, with changes by keyword; `labels` are the dataset's."""

    def make(labels: dict[str, int] | None = None, **changes: Any) -> SlicePlans:
        source = Dataset(name="Made", folder=Path("made"), layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz",
                         labels=Labels(values=labels or {"background": 0}, ignore=(labels or {}).get("ignore")), training=())
        wanted = {"dataset": "Made", "versions": {}, "axis": None, "image_size": 64, "channel_names": ("MRI",),
                  "windows": (None,), "normal_by": "all", "source": source, **changes}
        return SlicePlans(**wanted)

    return make
