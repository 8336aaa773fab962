"""Moving a projection: rotated, scaled, shifted, flipped; and where its level is then."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from autoseg.tasks.localization.projecting import position_of
from autoseg.tasks.localization.store import StoredLevel
from autoseg.trainers.localization.settings import MovingSettings


@dataclass(frozen=True)
class Motion:
    """A motion of a projection. matrix: (2, 2) that takes an offset (row, column) from the middle of the result to one from the
    middle of what is shown. shift: (rows, columns) by which the result is moved. is_flipped: whether columns are flipped."""

    matrix: tuple[tuple[float, float], tuple[float, float]]
    shift: tuple[float, float] = (0.0, 0.0)
    is_flipped: bool = False


STILL = Motion(((1.0, 0.0), (0.0, 1.0)))


def draw_motion(
    settings: MovingSettings, size: tuple[int, int], turns: bool, mirrors: bool, rng: np.random.Generator
) -> Motion:
    """Draw how a projection is moved.

    turns: whether it may be turned: where a level's column is not known, its row would not be any more either.
    """
    angle = math.radians(rng.uniform(-settings.rotation, settings.rotation)) if turns else 0.0
    zoom = math.exp(rng.uniform(-settings.scaling, settings.scaling))
    zoom_rows = zoom * math.exp(rng.uniform(-settings.stretching, settings.stretching))
    matrix = ((zoom_rows * math.cos(angle), -zoom * math.sin(angle)), (zoom_rows * math.sin(angle), zoom * math.cos(angle)))
    rows, columns = (float(rng.uniform(-settings.shift, settings.shift)) * n for n in size)
    return Motion(matrix, (rows, columns), mirrors and settings.mirror and bool(rng.random() < 0.5))


def moved(
    channels: torch.Tensor, rows: tuple[int, int], motion: Motion, size: tuple[int, int], position: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return some rows of a projection in the middle of `size` pixels, moved.

    channels: (C, H, W) float32. rows: half open. position: whether a further, last channel is to say how far each row that is
    shown is from the ends. Returns (C or C + 1, *size) float32, linearly interpolated, and (1, *size) bool: where the rows shown
    are, and not padding.
    """
    shown = channels[:, rows[0]:rows[1]]
    height, width = shown.shape[1:]
    if position:
        shown = torch.cat((shown, torch.from_numpy(position_of(height))[None, :, None].expand(1, height, width)))
    offsets = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 - shift for n, shift in zip(size, motion.shift, strict=True)),
                             indexing="ij")
    (a, b), (c, d) = motion.matrix
    row = a * offsets[0] + b * offsets[1] + (height - 1) / 2
    column = (c * offsets[0] + d * offsets[1]) * (-1 if motion.is_flipped else 1) + (width - 1) / 2
    grid = torch.stack(((2 * column + 1) / width - 1, (2 * row + 1) / height - 1), -1)[None].float()
    image = functional.grid_sample(shown[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    inside = (row >= -0.5) & (row <= height - 0.5) & (column >= -0.5) & (column <= width - 0.5)
    return image, inside[None]


def row_after(
    level: StoredLevel, rows: tuple[int, int], motion: Motion, shape: tuple[int, int], size: tuple[int, int]
) -> float:
    """Return the row of the level once its projection is moved: that of the point at its row and column; without a column, in the
    middle. shape: (H, W) of the projection, of which `rows` are shown."""
    height, width = rows[1] - rows[0], shape[1]
    column = (width - 1) / 2 if level.column is None else level.column
    offset_column = (column - (width - 1) / 2) * (-1 if motion.is_flipped else 1)
    offset = np.linalg.solve(np.array(motion.matrix), [level.row - rows[0] - (height - 1) / 2, offset_column])
    return float(offset[0] + (size[0] - 1) / 2 + motion.shift[0])
