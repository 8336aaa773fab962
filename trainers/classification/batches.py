"""Batches of cases, all of which are in memory, each with what is to be told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from autoseg.errors import AutosegError
from autoseg.parallel import free_memory_bytes
from autoseg.tasks.classification.plan import ClassPlans
from autoseg.tasks.classification.store import StoredView
from autoseg.trainers.augmentation import AUGMENTATIONS, Augmentation, warp
from autoseg.trainers.classification.settings import ClassificationSettings

SHARE_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True)
class InMemory:
    """A case in memory. image: (C, *size) float32 in [0, 1]. covariates: (D,) float32 as encoded, nan where missing. target: (1,)
    the number of its class, or (L,) labels, int64."""

    image: torch.Tensor
    covariates: torch.Tensor
    target: torch.Tensor


@dataclass
class ClassBatch:
    """A batch on the device. image: (B, C, *size) float32. covariates: (B, D) float32. target: (B, 1) or (B, L) int64."""

    image: torch.Tensor
    covariates: torch.Tensor
    target: torch.Tensor


def read_views(cases: Sequence[StoredView], plans: ClassPlans, covariates: dict[str, np.ndarray]) -> list[InMemory]:
    """Return all of these cases. covariates: of each, as encoded. Raises AutosegError where they do not fit into memory."""
    needed = sum(4 * int(np.prod(case.description.shapes[""])) for case in cases)
    if needed > SHARE_OF_FREE_MEMORY * free_memory_bytes():
        raise AutosegError(f"{len(cases)} cases take {needed / 2**30:.1f} GiB of memory, more than half of what is free. Close "
                           "other programs, or plan fewer voxels with --edge.")
    return [InMemory(torch.from_numpy(image_of(case.read(), plans)), torch.from_numpy(covariates[case.name]),
                     torch.tensor(plans.target.of_case[case.name])) for case in cases]


def image_of(seen: np.ndarray, plans: ClassPlans) -> np.ndarray:
    """Return what a network takes of a case (C, z, y, x): a picture without the axis of its one slice."""
    return np.ascontiguousarray(seen[:, 0] if plans.view == "picture" else seen)


class ClassBatches:
    """Batches of cases. The draw depends only on `seed` and the batch's number.

    Cases are drawn evenly, or each class equally often; each is turned, scaled, mirrored and its intensities changed at random.
    """

    def __init__(
        self, cases: Sequence[InMemory], plans: ClassPlans, batch_size: int, settings: ClassificationSettings,
        device: torch.device, is_augmented: bool = True, balanced: bool = False,
    ) -> None:
        """Take cases in memory. is_augmented: else cases come one by one, as they are. balanced: each class equally often."""
        self.cases, self.plans, self.batch_size, self.settings = cases, plans, batch_size, settings
        self.device, self.is_augmented = device, is_augmented
        size = plans.seen
        self.augmentation = None if settings.augmentation == "none" else Augmentation(
            size, tuple(range(len(size))) if settings.mirror and plans.view != "slices" else
            (1, 2) if settings.mirror else (), transforms=AUGMENTATIONS[settings.augmentation])
        groups = {int(case.target[0]) for case in cases} if balanced else {0}
        self._groups = [[index for index, case in enumerate(cases) if not balanced or int(case.target[0]) == group]
                        for group in sorted(groups)]

    def batches(self, first: int, count: int) -> Iterator[ClassBatch]:
        """Yield batches number `first` to `first + count - 1`."""
        for number in range(first, first + count):
            yield self.finish(self.make(number))

    def make(self, number: int) -> dict[str, torch.Tensor]:
        """Return the parts of batch `number` (see `ClassBatch`), on the CPU."""
        drawn = [self._sample(number, index) for index in range(self.batch_size)]
        return {"image": torch.stack([image for image, _ in drawn]),
                "covariates": torch.stack([case.covariates for _, case in drawn]),
                "target": torch.stack([case.target for _, case in drawn])}

    def finish(self, made: dict[str, torch.Tensor]) -> ClassBatch:
        """Return what `make` made as a batch on the device."""
        return ClassBatch(**{name: values.to(self.device, non_blocking=True) for name, values in made.items()})

    @property
    def nbytes(self) -> int:
        """Return the bytes of a batch."""
        return 4 * self.batch_size * self.cases[0].image.numel()

    def _sample(self, number: int, index: int) -> tuple[torch.Tensor, InMemory]:
        if not self.is_augmented:
            case = self.cases[(number * self.batch_size + index) % len(self.cases)]
            return case.image, case
        rng = np.random.default_rng((self.settings.seed, number, index))
        group = self._groups[int(rng.integers(len(self._groups)))]
        case = self.cases[group[int(rng.integers(len(group)))]]
        return (case.image if self.augmentation is None else self._augmented(self.augmentation, case.image, rng)), case

    def _augmented(self, augmentation: Augmentation, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        label = torch.zeros(1, *image.shape[1:], dtype=torch.int16)
        spatial = augmentation.draw_spatial(rng)
        if spatial is not None:
            image = warp(image, label, spatial.matrix, augmentation.patch_size, spatial.elastic)[0]
        return augmentation.apply(image, label, None, int(rng.integers(2**31)))[0]
