"""Batches of projections, all of which are in memory, each with the band that marks the level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from autoseg.distributed import Share
from autoseg.errors import AutosegError
from autoseg.parallel import free_memory_bytes
from autoseg.tasks.localization.answer import coverage
from autoseg.tasks.localization.projecting import PADDING
from autoseg.tasks.localization.store import StoredLevel, StoredProjection
from autoseg.trainers.augmentation import AUGMENTATIONS
from autoseg.trainers.augmentation.intensity import change_intensities
from autoseg.trainers.localization.augmentation import STILL, Motion, draw_motion, moved, row_after
from autoseg.trainers.localization.settings import LocalizationSettings

SHARE_OF_FREE_MEMORY = 0.5
SHORTEST_WINDOW = 0.25  # share of the rows
FEWEST_ROWS = 8
SPREAD = 0.06  # share of the rows: standard deviation of the gap between the end of a partial scan and the target


@dataclass(frozen=True)
class InMemory:
    """A projection in memory. channels: (C, rows, columns) float32 in [-1, 1]. level: None where it is not there."""

    channels: torch.Tensor
    level: StoredLevel | None


@dataclass
class LocatorBatch:
    """A batch of projections. image: (B, C, rows, columns) float32 in [-1, 1] and beyond where intensities were changed. target:
    (B, 1, rows, columns) float32, the share of each pixel that the band covers. Both on the device."""

    image: torch.Tensor
    target: torch.Tensor


def read_projections(cases: Sequence[StoredProjection]) -> list[InMemory]:
    """Return all of these cases. Raises AutosegError where they do not fit into memory."""
    needed = sum(4 * int(np.prod(case.shape)) for case in cases)
    if needed > SHARE_OF_FREE_MEMORY * free_memory_bytes():
        raise AutosegError(
            f"{len(cases)} projections take {needed / 2**30:.1f} GiB of memory, more than half of what is free. Close other "
            "programs, or plan larger pixels with --spacing MM.")
    return [InMemory(torch.from_numpy(case.read()), case.level) for case in cases]


class LocatorBatches:
    """Batches of projections that are drawn evenly from all. The draw depends only on `seed` and the batch's number.

    In each batch, `absent_share` show the rows before or after what is to be found, and `window_share` some rows from anywhere;
    the others are whole. Each lies in the middle of `size` pixels, moved and changed at random, and padded.
    """

    def __init__(
        self, cases: Sequence[InMemory], size: tuple[int, int], batch_size: int, settings: LocalizationSettings,
        mirrors: bool, device: torch.device, is_augmented: bool = True, position: bool = False, share: Share | None = None,
    ) -> None:
        """Take cases in memory.

        size: (rows, columns). mirrors: whether columns may be flipped. position: whether a further channel says how far each
        row is from the ends. is_augmented: else cases come whole, one by one. share: of the batches that is made here; None
        for all."""
        self.share = share or Share(range(batch_size))
        self.cases, self.size, self.batch_size, self.settings = cases, size, batch_size, settings
        self.mirrors, self.device, self.is_augmented, self.position = mirrors, device, is_augmented, position
        # Were only cases without the level turned, turning would tell them from the others
        self.turns = all(case.level is None or case.level.column is not None for case in cases)

    def batches(self, first: int, count: int) -> Iterator[LocatorBatch]:
        """Yield batches number `first` to `first + count - 1`."""
        for number in range(first, first + count):
            yield self.finish(self.make(number))

    def make(self, number: int) -> dict[str, torch.Tensor]:
        """Return image and target of batch `number` (see `LocatorBatch`), on the CPU."""
        samples = [self._sample(self.share.number(number), index) for index in self.share.positions]
        image, target = (torch.stack(parts) for parts in zip(*samples, strict=True))
        return {"image": image, "target": target}

    def finish(self, made: dict[str, torch.Tensor]) -> LocatorBatch:
        """Return what `make` made as a batch on the device."""
        return LocatorBatch(**{name: values.to(self.device, non_blocking=True) for name, values in made.items()})

    @property
    def nbytes(self) -> int:
        """Return the bytes of a batch."""
        channels = len(self.cases[0].channels) + self.position + 1
        return 4 * channels * len(self.share.positions) * self.size[0] * self.size[1]

    def _sample(self, number: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self.settings.seed, number, index))
        if not self.is_augmented:
            case = self.cases[(number * self.batch_size + index) % len(self.cases)]
            return self._placed(case, (0, case.channels.shape[1]), STILL)
        case = self.cases[int(rng.integers(len(self.cases)))]
        rows = draw_rows(case, self.settings, rng)
        if self.settings.augmentation == "none":
            return self._placed(case, rows, STILL)
        motion = draw_motion(self.settings.moving, self.size, self.turns, self.mirrors, rng)
        return self._placed(case, rows, motion, rng)

    def _placed(
        self, case: InMemory, rows: tuple[int, int], motion: Motion, rng: np.random.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows of a case as the network sees them: (C, rows, columns), and the band (1, rows, columns)."""
        image, inside = moved(case.channels, rows, motion, self.size, self.position)
        if rng is not None:
            seen = len(case.channels)  # further channels are no intensities
            image = torch.cat((change_intensities(image[:seen], rng, AUGMENTATIONS["default"]), image[seen:]))
        image = torch.where(inside, image, torch.tensor(PADDING))
        target = torch.zeros(1, *self.size)
        if case.level is not None and rows[0] - 0.5 <= case.level.row <= rows[1] - 0.5:
            row = row_after(case.level, rows, motion, (case.channels.shape[1], case.channels.shape[2]), self.size)
            target += torch.from_numpy(coverage(self.size[0], row, self.settings.band)).float()[:, None]
        return image, target


def draw_rows(case: InMemory, settings: LocalizationSettings, rng: np.random.Generator) -> tuple[int, int]:
    """Draw which rows of a case are shown, half open."""
    count = case.channels.shape[1]
    chance = rng.random()
    if chance < settings.absent_share and case.level is not None:
        parts = parts_without(case.level, count, settings.band, abs(rng.normal()) * SPREAD * count)
        if parts:
            return parts[int(rng.integers(len(parts)))]
    elif chance < settings.absent_share + settings.window_share:
        shown = max(min(FEWEST_ROWS, count), round(count * rng.uniform(SHORTEST_WINDOW, 1)))
        start = int(rng.integers(count - shown + 1))
        return start, start + shown
    return 0, count


def parts_without(level: StoredLevel, count: int, band: float, margin: float = 0.0) -> list[tuple[int, int]]:
    """Return the rows before and those after what is to be found, half open, without `margin` rows beside it.

    Parts of few rows are left out. What is found reaches as far as the band that marks it, at least: nothing else is known of a
    point.
    """
    top, bottom = min(level.top, level.row - band / 2), max(level.bottom, level.row + band / 2)
    before = (0, min(count, int(np.floor(top + 0.5 - margin))))
    after = (max(0, int(np.ceil(bottom + 0.5 + margin))), count)
    return [(start, stop) for start, stop in (before, after) if stop - start >= FEWEST_ROWS]
