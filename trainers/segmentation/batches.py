"""Patches for training: which ones are drawn, and how they are read in the background. Small datasets are kept in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from autoseg.distributed import Share
from autoseg.parallel import free_memory_bytes
from autoseg.preprocessing.pipeline import OUTSIDE
from autoseg.tasks.segmentation.store import ANNOTATED, StoredVolume
from autoseg.trainers.augmentation import Augmentation, SpatialDraw
from autoseg.trainers.augmentation.previous import change_previous

SHARE_OF_FREE_MEMORY = 0.25
LABEL_BYTES = 2  # most bytes of a label value


class CaseInMemory:
    """A case like `StoredVolume` whose arrays are read once, when they are first asked for. The arrays must not be written to."""

    def __init__(self, stored: StoredVolume) -> None:
        self._stored = stored
        self._arrays: dict[str, np.ndarray] = {}
        self._voxels: dict[int, np.ndarray] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (Z, Y, X) of the resampled grid."""
        return self._stored.shape

    @property
    def foreground_counts(self) -> dict[int, int]:
        """Return the counts of foreground voxels (see `StoredVolume`)."""
        return self._stored.foreground_counts

    @property
    def label_parts(self) -> tuple[str, ...]:
        """Return the parts that hold label values (see `StoredVolume`)."""
        return self._stored.label_parts

    def array(self, part: str = "") -> np.ndarray:
        """Return the image (C, Z, Y, X) float32, or the labels or the previous stage's (1, Z, Y, X) int8 or int16."""
        if part not in self._arrays:
            self._arrays[part] = self._stored.array(part)[:]
        return self._arrays[part]

    def voxels_of(self, key: int) -> np.ndarray:
        """Return (N, 3) int32 (z, y, x); see `StoredVolume`."""
        if key not in self._voxels:
            self._voxels[key] = self._stored.voxels_of(key)
        return self._voxels[key]


def kept_in_memory(
    cases: Sequence[StoredVolume], channels: int, processes: int = 0
) -> list[StoredVolume] | list[CaseInMemory]:
    """Return the cases in memory where together they take at most a quarter of what is free, else as they are on disk.

    processes: number that read them, each of which keeps its own; 0 for this one alone."""
    needed = sum(int(np.prod(case.shape)) * (4 * channels + len(case.label_parts) * LABEL_BYTES) for case in cases)
    if max(1, processes) * needed > SHARE_OF_FREE_MEMORY * free_memory_bytes():
        return list(cases)
    return [CaseInMemory(case) for case in cases]


ReadableCase = StoredVolume | CaseInMemory


@dataclass
class Sample:
    """A region of a case around a patch, not yet augmented.

    image: (C, *region) float32; label: (1, *region) int16, -1 outside of the mask; (2, *region) with the previous stage's labels
    behind it. spatial: how the patch lies in the region;
    None where the region is the patch. seed: that of all that is still to be drawn for this sample.
    """

    image: torch.Tensor
    label: torch.Tensor
    spatial: SpatialDraw | None
    seed: int


@dataclass
class Batch:
    """A batch of patches. image: (B, C, *patch) float32; label: (B, 1, *patch) int16, raw label values. Both on the device."""

    image: torch.Tensor
    label: torch.Tensor


def finished(
    samples: Sequence[Sample], augmentation: Augmentation | None, device: torch.device, values: Sequence[int] = ()
) -> Batch:
    """Return the batch of these samples on `device`, augmented there.

    values: labels of the previous stage, each of which makes a channel behind the image's."""
    images, labels = [], []
    for sample in samples:
        image, label = sample.image.to(device), sample.label.to(device)
        if augmentation is not None:
            image, label = augmentation.apply(image, label, sample.spatial, sample.seed)
        if values:
            previous = torch.stack([label[1] == value for value in values])
            if augmentation is not None:
                previous = change_previous(previous, np.random.default_rng((sample.seed, 1)))
            image = torch.cat((image, previous.to(image.dtype)))
        images.append(image)
        labels.append(label[:1].clamp_min(0))
    return Batch(torch.stack(images), torch.stack(labels))


class PatchSampler:
    """Draws the samples of a batch. The draw depends on `seed` and the batch's number alone, not on what came before.

    The last `foreground_share` of each batch is centred on a voxel of a class that is drawn evenly among those of the case, or
    (prefers_rare) in inverse proportion to its voxels there; the others lie evenly in the case (on an annotated voxel where the
    dataset has an ignore label). A patch that is larger than its case is centred on it and padded with zeros.
    """

    def __init__(
        self, cases: Sequence[ReadableCase], patch_size: tuple[int, ...], batch_size: int, foreground_share: float,
        augmentation: Augmentation | None, seed: int, prefers_rare: bool = False, values: Sequence[int] = (),
        share: Share | None = None,
    ) -> None:
        """values: labels of the previous stage that the network sees (see `finished`). share: of batches of `batch_size` that is
        drawn here; None for all."""
        self.cases = cases
        self.patch_size = np.array(patch_size)
        self.share = share or Share(range(batch_size))
        self.first_forced = round(batch_size * (1 - foreground_share))
        self.augmentation = augmentation
        self.seed = seed
        self.prefers_rare = prefers_rare
        self.values = values

    def draw(self, number: int) -> list[Sample]:
        """Return the samples of batch `number`."""
        return [self._sample(self.share.number(number), position) for position in self.share.positions]

    def make(self, number: int) -> dict[str, torch.Tensor]:
        """Return image and label of batch `number` (see `Batch`), augmented on the CPU."""
        batch = finished(self.draw(number), self.augmentation, torch.device("cpu"), self.values)
        return {"image": batch.image, "label": batch.label}

    def _sample(self, number: int, position: int) -> Sample:
        rng = np.random.default_rng((self.seed, number, position))
        case = self.cases[int(rng.integers(len(self.cases)))]
        low = self._patch_corner(case, position >= self.first_forced, rng)  # (z, y, x) also in 2D
        spatial = self.augmentation.draw_spatial(rng) if self.augmentation else None
        flat = len(self.patch_size) == 2
        size = np.array((1, *self.patch_size)) if flat else self.patch_size
        if spatial is not None:
            region = np.array((1, *spatial.region_size)) if flat else np.array(spatial.region_size)
            low = low - (region - size) // 2
            size = region
        outside = OUTSIDE if self.augmentation and self.augmentation.masked_channels else 0
        image, label = read_padded(case, low, size, outside)
        if flat:
            image, label = image[:, 0], label[:, 0]
        return Sample(torch.from_numpy(image), torch.from_numpy(label), spatial, int(rng.integers(2**31)))

    def _patch_corner(self, case: ReadableCase, force_foreground: bool, rng: np.random.Generator) -> np.ndarray:
        """Return the lowest voxel (z, y, x) of the patch; may be negative."""
        shape = np.array(case.shape)
        patch = np.array((1, *self.patch_size)) if len(self.patch_size) == 2 else self.patch_size
        missing = np.maximum(patch - shape, 0)
        lowest = -(missing // 2)
        highest = np.maximum(shape - patch, lowest)
        classes = [key for key in case.foreground_counts if key != ANNOTATED]
        key = ANNOTATED if ANNOTATED in case.foreground_counts else None
        if force_foreground and classes:
            key = classes[self._class_of(case, classes, rng)]
        if key is not None:
            voxels = case.voxels_of(key)
            return np.maximum(lowest, voxels[rng.integers(len(voxels))] - patch // 2)
        return rng.integers(lowest, highest + 1)

    def _class_of(self, case: ReadableCase, classes: Sequence[int], rng: np.random.Generator) -> int:
        """Return the place of the class that a patch is centred on."""
        if not self.prefers_rare:
            return int(rng.integers(len(classes)))
        rarity = 1 / np.array([max(1, case.foreground_counts[key]) for key in classes])
        return int(rng.choice(len(classes), p=rarity / rarity.sum()))


def read_padded(case: ReadableCase, low: np.ndarray, size: np.ndarray, outside: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return image (C, *size) float32 and label (1, *size) int16 of the box at `low`, which reaches into the case; (2, *size)
    where it has a previous stage's. Beyond it, the image is 0 and the label `outside`. They may be parts of arrays that are kept,
    which must not be written to."""
    from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd

    box = np.stack((low, low + size), axis=1).tolist()
    image = crop_and_pad_nd(case.array(), box)
    labels = [crop_and_pad_nd(case.array(part), box, outside, cast_cropped_to=np.int16) for part in case.label_parts]
    return image, labels[0] if len(labels) == 1 else np.concatenate(labels)


class BatchStream:
    """The batches in order, read by background threads and augmented on the device."""

    def __init__(
        self, sampler: PatchSampler, finish: Callable[[list[Sample]], Batch], threads: int, ahead: int = 2
    ) -> None:
        self.sampler = sampler
        self.finish = finish
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
        self.ahead = max(ahead, threads)

    def batches(self, first: int, count: int) -> Iterator[Batch]:
        """Yield batches number `first` to `first + count - 1`."""
        waiting: deque[Future[list[Sample]]] = deque()
        for number in range(first, first + count):
            waiting.append(self.pool.submit(self.sampler.draw, number))
            if len(waiting) > self.ahead:
                yield self.finish(waiting.popleft().result())
        while waiting:
            yield self.finish(waiting.popleft().result())

    def close(self) -> None:
        """Stop the threads; work that they have not begun is dropped."""
        self.pool.shutdown(wait=True, cancel_futures=True)
