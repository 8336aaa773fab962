"""Stored cases to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Labels
from autoseg.preprocessing.store import CaseProperties
from autoseg.tasks.segmentation.store import StoredVolume, open_volume, write_volume

LABELS = Labels(values={"background": 0, "cube": 1})


@pytest.fixture
def cases(tmp_path: Path) -> list[StoredVolume]:
    """Three cases with a bright cube that is the label."""
    stored = []
    rng = np.random.default_rng(0)
    for number in range(3):
        seg = np.zeros((1, 14, 18, 20), np.int8)
        z, y, x = rng.integers(2, 6, 3)
        seg[0, z:z + 6, y:y + 7, x:x + 8] = 1
        data = (rng.normal(size=seg.shape) * 0.3 + 2 * seg).astype(np.float32)
        name = f"case_{number}"
        properties = CaseProperties(
            case=name, shape_original=(14, 18, 20), spacing_mm=(1, 1, 1), transpose=(0, 1, 2),
            crop_box=((0, 14), (0, 18), (0, 20)), shape_cropped=(14, 18, 20), shape_resampled=(14, 18, 20),
            spacing_resampled_mm=(1, 1, 1), versions={},
        )
        write_volume(tmp_path, data, seg, properties, LABELS)
        stored.append(open_volume(tmp_path, name))
    return stored
