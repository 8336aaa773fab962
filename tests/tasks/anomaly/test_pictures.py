"""Panels and samples: whole PNG files for any number of slices and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from autoseg.tasks.anomaly.pictures import draw_panels, draw_samples


def pixels(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("count, channels", [(1, 1), (3, 3), (2, 2)])
def test_panels_show_real_generated_and_their_difference(tmp_path: Path, count: int, channels: int) -> None:
    real, generated = np.full((count, channels, 8, 8), -1.0), np.full((count, channels, 8, 8), -1.0)
    real[:, :, :4] = 1.0
    draw_panels(tmp_path / "panels.png", real, generated, [f"slice {i}" for i in range(count)], "case $x_, score 3")
    found = pixels(tmp_path / "panels.png")
    black = (found == 0).all(axis=-1).sum()
    assert found.shape[0] > 200 * count and black > count * 1.3 * 160**2  # half of the real, all of the generated
    assert [path.name for path in tmp_path.iterdir()] == ["panels.png"]


@pytest.mark.parametrize("count", [1, 5, 16])
def test_samples_are_laid_out_in_rows(tmp_path: Path, count: int) -> None:
    draw_samples(tmp_path / "samples.png", np.full((count, 1, 8, 8), -1.0), "epoch 3")
    found = pixels(tmp_path / "samples.png")
    assert (found == 0).all(axis=-1).sum() > count * 80**2


def test_colours_are_shown_as_they_are(tmp_path: Path) -> None:
    red = np.full((1, 3, 8, 8), -1.0)
    red[:, 0] = 1.0
    draw_samples(tmp_path / "samples.png", red, "")
    assert ((pixels(tmp_path / "samples.png") == (255, 0, 0)).all(axis=-1)).sum() > 80**2
