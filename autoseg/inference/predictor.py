"""Segmentations of images by a trained model: in memory, or a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import torch

from autoseg.device import Precision, autocast, keep_large_blocks, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.image import Image
from autoseg.image_io import write_label
from autoseg.inference.export import export_labels
from autoseg.inference.inputs import PredictionInput, list_inputs, read_input
from autoseg.inference.model import LoadedModel
from autoseg.inference.record import OutputFolder, origin_of
from autoseg.inference.sliding_window import Slab, band_depth, stream_logits
from autoseg.parallel import Outcome, free_memory_bytes
from autoseg.preprocessing.pipeline import preprocess_image
from autoseg.preprocessing.properties import CaseProperties
from autoseg.workspace import disk_error, remove_leftovers

__all__ = ["PredictionInput", "Predictor", "Written", "list_inputs"]

SHARE_OF_DEVICE_MEMORY = 0.3  # that the band of gathered logits may take; the network needs the rest
CaseProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Written:
    """A segmentation on disk. was_there: whether an earlier run of the same model had already finished it."""

    path: Path
    was_there: bool = False


@dataclass(frozen=True)
class _Prepared:
    """A case ready for the network. like: the image's grid and header; its voxels are forgotten."""

    like: Image
    data: np.ndarray
    properties: CaseProperties


class Predictor:
    """Sliding window, mean over folds and mirrored tiles, export into the image's own grid."""

    def __init__(
        self, model: LoadedModel, device: torch.device, precision: Precision = "auto", mirroring: bool = True
    ) -> None:
        """model: its networks lie on `device`. mirroring: average over all flips that the training used, too."""
        self.model = model
        self.device = device
        self.dtype = resolve_precision(precision, device)
        self.mirror_axes = model.description.mirror_axes if mirroring else ()
        if device.type == "cpu":
            keep_large_blocks()

    def predict_preprocessed(
        self,
        data: np.ndarray,
        properties: CaseProperties,
        save_probabilities: Path | None = None,
        progress: CaseProgress | None = None,
    ) -> np.ndarray:
        """Label values (Z, Y, X), uint8 or uint16, on the image's own grid.

        data: (C, Z, Y, X) float32 on the preprocessed grid. properties: what preprocessing did to it.
        save_probabilities: a .b2nd file to write (see `probabilities.py`). progress: (case, tiles done, tiles in all).
        Raises AutosegError where memory runs out or probabilities cannot be written.
        """
        try:
            slabs = self._slabs(data, partial(progress, properties.case) if progress else None)
            return export_labels(slabs, properties, self.model.description.labels, save_probabilities)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise _memory_error(properties.case, data.shape, self.device) from error

    def predict_image(
        self,
        image: Image,
        name: str = "image",
        save_probabilities: Path | None = None,
        progress: CaseProgress | None = None,
    ) -> np.ndarray:
        """Label values (Z, Y, X), uint8 or uint16, on the grid of `image` (C, Z, Y, X).

        Raises AutosegError where the image has not the channels that the model was trained on.
        """
        self._check_channels(image, name)
        data, properties = self._preprocess(image, name)
        return self.predict_preprocessed(data, properties, save_probabilities, progress)

    def predict_files(
        self,
        inputs: Sequence[PredictionInput],
        output_folder: Path,
        overwrite: bool = False,
        save_probabilities: bool = False,
        progress: CaseProgress | None = None,
    ) -> Iterator[Outcome[PredictionInput]]:
        """Predict cases one by one into `<output_folder>/<case><ending of its image>`; yield what became of each.

        An outcome's value is `Written`; a case that fails stops no other. Segmentations that an earlier run of the same
        model wrote from the same files stay as they are, unless `overwrite`. save_probabilities: also write
        `<case>.b2nd`. Raises AutosegError where the folder cannot be written or holds another model's segmentations.
        """
        try:
            output_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, output_folder) from error
        remove_leftovers(output_folder)
        outputs = OutputFolder(output_folder, origin_of(self.model, self.mirror_axes), overwrite, save_probabilities)
        waiting: list[PredictionInput] = []
        for item in inputs:
            earlier = _attempt(item, partial(_earlier_result, item, outputs))
            if earlier.error or earlier.value:
                yield earlier
            else:
                waiting.append(item)
        for item, prepare in self._prepare_each(waiting):
            yield _attempt(item, partial(self._predict_file, item, prepare, outputs, progress))

    def _predict_file(
        self, item: PredictionInput, prepare: Callable[[], _Prepared], outputs: OutputFolder,
        progress: CaseProgress | None,
    ) -> Written:
        case = prepare()
        labels = self.predict_preprocessed(case.data, case.properties, outputs.probabilities_path(item), progress)
        outputs.begin(item)
        write_label(outputs.label_path(item), labels, like=case.like)
        return Written(outputs.label_path(item))

    def _prepare_each(
        self, items: Sequence[PredictionInput]
    ) -> Iterator[tuple[PredictionInput, Callable[[], _Prepared]]]:
        """Cases with the function that gives them preprocessed; beside a CUDA device the next is under way."""
        if self.device.type != "cuda":
            for item in items:
                yield item, partial(self._prepare, item)
            return
        with ThreadPoolExecutor(1) as pool:
            following: Future[_Prepared] | None = None
            for index, item in enumerate(items):
                current = following or pool.submit(self._prepare, item)
                following = pool.submit(self._prepare, items[index + 1]) if index + 1 < len(items) else None
                yield item, current.result

    def _prepare(self, item: PredictionInput) -> _Prepared:
        image = read_input(item)
        self._check_channels(image, item.name)
        data, properties = self._preprocess(image, item.name)
        no_voxels = np.broadcast_to(np.zeros((), image.array.dtype), image.array.shape)
        return _Prepared(replace(image, array=no_voxels), data, properties)

    def _preprocess(self, image: Image, name: str) -> tuple[np.ndarray, CaseProperties]:
        description = self.model.description
        return preprocess_image(image, name, description.plans, description.configuration)

    def _check_channels(self, image: Image, name: str) -> None:
        names, found = self.model.description.channel_names, image.array.shape[0]
        if found != len(names):
            raise AutosegError(f"case {name}: the image has {found} channel{'s' * (found != 1)}, but the model takes "
                               f"{len(names)} ({', '.join(names)}). Give images like those it was trained on.")

    def _slabs(self, data: np.ndarray, progress: Callable[[int, int], None] | None) -> Iterator[Slab]:
        patch_size = self.model.description.configuration.patch_size
        classes = self.model.description.labels.output_channels
        band_bytes = 4 * classes * band_depth(patch_size) * data.shape[2] * data.shape[3]
        band_device = self._band_device(band_bytes)
        return stream_logits(self._predict_tile, data, patch_size, classes, band_device=band_device, progress=progress)

    def _band_device(self, band_bytes: int) -> torch.device:
        """The CUDA device where the gathered logits fit into it beside the network, else the CPU."""
        if self.device.type != "cuda":
            return torch.device("cpu")
        free, _ = torch.cuda.mem_get_info(self.device)
        return self.device if band_bytes < SHARE_OF_DEVICE_MEMORY * free else torch.device("cpu")

    @torch.inference_mode()
    def _predict_tile(self, tile: torch.Tensor) -> torch.Tensor:
        """(B, C, *patch) float32 -> (B, K, *patch) float32 on the device: mean over folds and mirrored tiles."""
        spatial = tile.dim() - 2
        tile = tile.to(self.device, memory_format=memory_format(self.device, spatial))
        flips = list(chain.from_iterable(combinations(self.mirror_axes, n) for n in range(len(self.mirror_axes) + 1)))
        total: torch.Tensor | None = None
        for axes in flips:
            dims = [axis + 2 for axis in axes]
            for network in self.model.networks:
                with autocast(self.device, self.dtype):
                    logits = network(tile.flip(dims) if dims else tile)[0]
                logits = logits.flip(dims) if dims else logits
                total = logits.float() if total is None else total.add_(logits)
        assert total is not None, "a model has at least one network"
        return total.div_(len(flips) * len(self.model.networks))


def _earlier_result(item: PredictionInput, outputs: OutputFolder) -> Written | None:
    """What an earlier run left of a case; None where it is to be predicted."""
    if item.problem is not None:
        raise AutosegError(f"{item}: {item.problem}")
    return Written(outputs.label_path(item), was_there=True) if outputs.is_done(item) else None


def _attempt(item: PredictionInput, function: Callable[[], Written | None]) -> Outcome[PredictionInput]:
    """The outcome of one case: its faults, and its disk's and memory's, stop no other case."""
    try:
        return Outcome(item, value=function())
    except AutosegError as error:
        return Outcome(item, error=error)
    except MemoryError:
        return Outcome(item, error=AutosegError(
            f"{item}: memory ran out while it was read or preprocessed ({_free_memory()}). Close other programs, or "
            "use a machine with more memory."))
    except OSError as error:
        return Outcome(item, error=AutosegError(f"{item}: {error}."))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; on the CPU, torch says so in the message only."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return "DefaultCPUAllocator" in str(error) or "out of memory" in str(error)


def _memory_error(case: str, shape: tuple[int, ...], device: torch.device) -> AutosegError:
    where = f"memory ran out ({_free_memory()})" if device.type == "cpu" else f"{device} ran out of memory"
    return AutosegError(f"case {case}: {where} while it was predicted (preprocessed shape {shape}). Close other "
                        "programs, or predict it on a machine with more memory.")


def _free_memory() -> str:
    return f"{free_memory_bytes() / 2**30:.1f} GiB are free"
