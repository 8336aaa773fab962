"""Segmentations of images by a trained model, or by an ensemble of several: in memory, or a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.best import Rule, rule_facts
from autoseg.bounds import Engine, Precision
from autoseg.console import show_unless_quiet
from autoseg.device import keep_large_blocks
from autoseg.errors import AutosegError
from autoseg.files import remove_leftovers
from autoseg.image import Image
from autoseg.inference.cases import Written, memory_errors_named, predict_cases
from autoseg.inference.checkpoints import origin_of
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.inference.prediction import CaseProgress
from autoseg.inference.shared_tiles import SharedTiles, alone
from autoseg.inference.sliding_window import Voxels
from autoseg.inference.unlike import MANY_TILES, axis_order_warnings, image_warnings
from autoseg.parallel import Outcome, free_memory_bytes
from autoseg.preprocessing.store import CaseProperties, Spacing
from autoseg.provenance import OutputFolder
from autoseg.tasks.segmentation.cascade import LabelsLater, PreviousStage, TileDone
from autoseg.tasks.segmentation.ensemble import Combination, label_volumes
from autoseg.tasks.segmentation.files import SUBFOLDERS, CaseFiles, DicomKind, Made
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel, ModelDescription
from autoseg.training_images import measure_image
from autoseg.ways import FULL, TILE_STEP, Way


def require_same_task(descriptions: Sequence[ModelDescription]) -> None:
    """Raise AutosegError that says what differs: labels, channels, or the order of axes in the plans."""
    first, *others = descriptions
    for other in others:
        names = f"{_name(first)} and {_name(other)} cannot be averaged"
        for what, ours, theirs in (
            ("labels", _labels(first), _labels(other)),
            ("channels", ", ".join(first.channel_names), ", ".join(other.channel_names)),
        ):
            if ours != theirs:
                raise AutosegError(f"{names}: their {what} differ ({ours} against {theirs}). Name models of one dataset.")
        ours, theirs = (f"{its.plans.orientation or 'as stored'}, {its.plans.transpose}" for its in (first, other))
        if ours != theirs:
            raise AutosegError(f"{names}: they were planned with different axis orders ({ours} against {theirs}). Train both "
                               "from the same plans.")


def require_same_grid(properties: Sequence[CaseProperties]) -> CaseProperties:
    """Return the first one's. Raises AutosegError where a case was cropped differently for the models: its image changed."""
    first, *others = properties
    for field in ("case", "shape_original", "spacing_mm", "transpose", "flipped", "crop_box", "shape_cropped"):
        for other in others:
            if getattr(first, field) != getattr(other, field):
                raise AutosegError(
                    f"case {first.case}: its preprocessed versions do not come from one image: {field} is "
                    f"{getattr(first, field)} for one model and {getattr(other, field)} for another. Run "
                    "autoseg_plan_and_preprocess again.")
    return first


def _name(description: ModelDescription) -> str:
    return f"{description.dataset} {description.configuration_name} {description.called}"


def _labels(description: ModelDescription) -> str:
    """Say which output means what."""
    labels = description.labels
    named = list(labels.foreground.items()) if labels.has_regions else sorted(labels.foreground.items(), key=lambda e: e[1])
    text = ", ".join(f"{name} {'+'.join(map(str, values))}" for name, values in named) or "none"
    return f"{text}; painted as {labels.regions_class_order}" if labels.has_regions else text


CASES_AT_ONCE, TILES_OF_A_SMALL_CASE = 4, 8  # on CUDA, whose cores the tiles of one small case leave idle
BYTES_BESIDE = 24  # per voxel and channel that the network sees: what the next case takes while it is read and preprocessed

Prepared = tuple[Voxels, CaseProperties]


@dataclass(frozen=True)
class _Case:
    """A case ready for the networks. like: the image's grid and header; its voxels are forgotten. warnings: see `Written`."""

    like: Image
    prepared: list[Prepared]
    warnings: tuple[str, ...]


class Predictor:
    """Sliding window, mean over folds and mirrored tiles, mean of the models' probabilities in the image's own grid.

    The models of an ensemble may differ in spacing, patch size and dimensions. They go through a case in lock-step, so
    that of each only the rows at hand are in memory.
    """

    def __init__(
        self, models: Sequence[LoadedModel], device: torch.device, precision: Precision = "auto", way: Way = FULL,
        postprocess: Callable[[np.ndarray, Spacing], np.ndarray] | None = None, rules: Sequence[Rule] = (),
        previous: Sequence[PreviousStage | None] = (), engine: Engine = "torch", cases_at_once: int | None = None,
    ) -> None:
        """models: one, or those of an ensemble; their networks lie on `device`.

        way: how far tiles lie apart, along which axes they are mirrored, and where they lie. postprocess: from label values
        (Z, Y, X) and spacing (z, y, x) in mm, on the image's own grid, to corrected ones; None for nothing. rules: what it does,
        for the record beside the segmentations. previous: for each model, what segments images before it, where it goes on from
        that (a cascade); may be left out where preprocessed images come with it. engine: of the networks, for the record.
        cases_at_once: how many small cases of a folder share batches of tiles; None for four on CUDA, and else one.
        Raises AutosegError where the models have other labels, channels or axis orders.
        """
        require_same_task([model.description for model in models])
        self.cases_at_once = cases_at_once or (CASES_AT_ONCE if device.type == "cuda" else 1)
        self.shared = SharedTiles() if self.cases_at_once > 1 else None
        self.members = [EnsembleMember(model, device, precision, way, len(models), before, self.shared or alone)
                        for model, before in zip(models, previous or [None] * len(models), strict=True)]
        self.device, self.precision, self.engine = device, precision, engine
        self.postprocess = postprocess
        self.rules = tuple(rules)
        if device.type == "cpu":
            keep_large_blocks()

    @property
    def description(self) -> ModelDescription:
        """Return the description of the first model; labels and channels are those of all."""
        return self.members[0].model.description

    def predict_combinations(
        self,
        prepared: Sequence[Prepared],
        combinations: Sequence[Combination],
        progress: CaseProgress | None = None,
        save_probabilities: Path | None = None,
    ) -> list[np.ndarray]:
        """Return label values (Z, Y, X), uint8 or uint16, on the image's own grid, for each combination of models.

        prepared: of one case, for each model, data (C, Z, Y, X) float32 on its preprocessed grid and what preprocessing
        did. combinations: indices of models, (0,) or (0, 1) and so on. All models that they name go through the case
        once, together; nothing is post-processed. progress: by tiles. save_probabilities: a
        .b2nd file to write those of the first combination to (see `probabilities.py`).
        Raises AutosegError where the case was cropped differently for the models, where memory runs out, or where
        probabilities cannot be written.
        """
        if len(prepared) != len(self.members):
            raise ValueError(f"{len(prepared)} prepared arrays for {len(self.members)} models")
        used = sorted({index for combination in combinations for index in combination})
        chosen = [(self.members[index], *prepared[index]) for index in used]
        properties = require_same_grid([of_member for _, _, of_member in chosen])
        counter = _tile_counter(progress, properties.case, sum(member.count_tiles(data) for member, data, _ in chosen))
        renumbered = [tuple(used.index(index) for index in combination) for combination in combinations]
        with memory_errors_named(properties.case, [data.shape for _, data, _ in chosen], self.device):
            rows = [member.rows(data, of_member, counter) for member, data, of_member in chosen]
            return label_volumes(rows, renumbered, properties, self.description.labels, save_probabilities)

    def predict_preprocessed(self, data: Voxels, properties: CaseProperties) -> np.ndarray:
        """Return label values (Z, Y, X) of the only model on the image's own grid, not post-processed."""
        return self.predict_combinations([(data, properties)], [(0,)])[0]

    def predict_image(
        self,
        image: Image,
        name: str = "image",
        save_probabilities: Path | None = None,
        progress: CaseProgress | None = None,
    ) -> np.ndarray:
        """Return label values (Z, Y, X), uint8 or uint16, on the grid of `image` (C, Z, Y, X), post-processed.

        save_probabilities: a .b2nd file to write (see `probabilities.py`); probabilities are not post-processed.
        Raises AutosegError where the image has not the channels that the models were trained on.
        """
        self._check_channels(image, name)
        return self._predict(self._preprocess(image, name), save_probabilities, progress)

    def predict_files(
        self,
        inputs: Iterable[PredictionInput],
        output_folder: Path,
        overwrite: bool = False,
        save_probabilities: bool = False,
        progress: CaseProgress | None = None,
        dicom: tuple[DicomKind, ...] | None = None,
        labelmap: bool = False,
    ) -> Iterator[Outcome[PredictionInput]]:
        """Predict cases one by one into `<output_folder>/<case><ending of its image>`; yield what became of each.

        An outcome's value is `Written`; a case that fails stops no other. Files that an earlier run of the same models wrote from
        the same files stay as they are, unless `overwrite`. save_probabilities: also write `<case>.b2nd`. dicom: files of DICOM
        series (see `file_names`). labelmap: a DICOM SEG is a label map. Raises AutosegError as `outputs`.
        """
        files = CaseFiles(self.outputs(output_folder, overwrite, labelmap), dicom, save_probabilities)
        under_way: list[Future[Written]] = []

        def predict(item: PredictionInput, prepare: Callable[[], _Case]) -> Future[Written]:
            files.require_own(item)
            case = prepare()
            lacking = files.begin(item, case.warnings)
            if self._shares_batches(case):
                under_way.append(crew.submit(lambda: predict_then_write(item, case, lacking).result()))
                return under_way[-1]
            wait(under_way)  # a large case has the device's memory to itself
            under_way.clear()
            return predict_then_write(item, case, lacking)

        def predict_then_write(item: PredictionInput, case: _Case, lacking: dict[DicomKind, str]) -> Future[Written]:
            labels = self._predict(case.prepared, files.probabilities(item), progress)
            return writer.submit(write, item, lacking, Made(labels, case.like, self.description, self.in_words, labelmap),
                                 case.warnings)  # but not the case, whose voxels are no longer needed

        def write(item: PredictionInput, lacking: dict[DicomKind, str], made: Made, warnings: tuple[str, ...]) -> Written:
            files.write(lacking, made)
            return Written(files.path(item), warnings=warnings)

        # a case is written while the next one is predicted, or several small ones are
        with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(self.cases_at_once) as crew:
            yield from predict_cases(
                inputs, files.outputs, files.main, files.earlier,
                lambda waiting: ((item, partial(predict, item, prepare)) for item, prepare in self._prepare_each(waiting)),
                self.cases_at_once)

    def outputs(self, output_folder: Path, overwrite: bool = False, labelmap: bool = False) -> OutputFolder:
        """Return the folder of segmentations. Raises AutosegError where it cannot be written or holds other predictions."""
        for name in SUBFOLDERS:
            remove_leftovers(output_folder / name)
        facts = [member.model.facts(
            mirror_axes=member.mirroring.axes, **({"swap_axes": member.mirroring.swap_axes} if member.mirroring.swapped else {}),
            **({"step": member.step} if member.step != TILE_STEP else {}),
            **({"skip_empty": True} if member.skips_empty else {}),
            **({"precision": self.precision} if self.precision != "auto" else {}),
            **({"engine": self.engine} if self.engine != "torch" else {}),
            **({"previous_stage": member.previous.facts} if member.previous is not None else {}))
                 for member in self.members]
        return OutputFolder(output_folder, origin_of(
            facts, **{"post-processing": rule_facts(self.rules)}, **({"DICOM SEG": "labelmap"} if labelmap else {})), overwrite)

    def labels_later(self, image: Image, name: str) -> LabelsLater:
        """Preprocess an image, and return its labels yet to be made: as by the first stage of a cascade, without
        post-processing."""
        prepared = self._preprocess(image, name)

        def make(tile_done: TileDone | None) -> np.ndarray:
            count = None if tile_done is None else lambda case, share: tile_done()
            return self.predict_combinations(prepared, [tuple(range(len(self.members)))], count)[0]

        return LabelsLater(make, sum(member.count_tiles(data) for member, (data, _) in zip(self.members, prepared, strict=True)))

    def expected_tiles(self, image: Image) -> int:
        """Return how many tiles an image takes at most."""
        return sum(member.expected_tiles(image) for member in self.members)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the segmentations of the first model depend on, as plain values; also how, where not in full."""
        member = self.members[0]
        is_full = member.mirroring.axes == member.model.description.mirroring.axes
        return member.model.facts(**({} if is_full else {"mirror_axes": member.mirroring.axes}),
                                  **({"step": member.step} if member.step != TILE_STEP else {}),
                                  **({"skip_empty": True} if member.skips_empty else {}))

    @property
    def in_words(self) -> str:
        """Return the models in words."""
        return "; ".join(member.model.in_words for member in self.members)

    def _predict(
        self, prepared: list[Prepared], save_probabilities: Path | None, progress: CaseProgress | None
    ) -> np.ndarray:
        """Run all models together, then post-process their labels. `prepared` is emptied before the latter."""
        properties, shapes = prepared[0][1], [data.shape for data, _ in prepared]
        everyone = tuple(range(len(self.members)))
        with self.shared.case() if self.shared else nullcontext():
            labels = self.predict_combinations(prepared, [everyone], progress, save_probabilities)[0]
        if self.postprocess is None:
            return labels
        prepared.clear()
        with memory_errors_named(properties.case, shapes, self.device):
            return self.postprocess(labels, properties.spacing_mm)

    def _prepare_each(self, items: Iterable[PredictionInput]) -> Iterator[tuple[PredictionInput, Callable[[], _Case]]]:
        """Yield cases with the function that gives them preprocessed. While one is predicted, the next is under way, where memory
        allows."""
        with ThreadPoolExecutor(1) as pool:
            following: Future[_Case] | None = None

            def ready(item: PredictionInput, under_way: Future[_Case] | None, then: PredictionInput | None) -> _Case:
                nonlocal following
                case = self._prepare(item) if under_way is None else under_way.result()
                if then is not None and self._has_memory_beside(case):
                    following = pool.submit(self._prepare, then)
                return case

            for item, then in pairwise(chain(items, [None])):
                if item is not None:
                    under_way, following = following, None
                    yield item, partial(ready, item, under_way, then)

    def _shares_batches(self, case: _Case) -> bool:
        """Tell whether a case has so few tiles that others can share their batches."""
        return self.shared is not None and all(member.count_tiles(data) <= TILES_OF_A_SMALL_CASE
                                               for member, (data, _) in zip(self.members, case.prepared, strict=True))

    def _has_memory_beside(self, case: _Case) -> bool:
        """Tell whether another case like this one, just preprocessed, can be too while this one is predicted."""
        voxels = max(prod(case.like.array.shape),
                     sum(data.shape[0] * prod(its.shape_resampled) for data, its in case.prepared))
        of_network = 0 if self.device.type == "cuda" else max(member.cost for member in self.members)
        return free_memory_bytes() > BYTES_BESIDE * voxels + 4 * of_network

    def _prepare(self, item: PredictionInput) -> _Case:
        image = read_input(item)
        self._check_channels(image, item.name)
        warnings = self.warnings_of(image, item.name)
        prepared = self._preprocess(image, item.name)
        no_voxels = np.broadcast_to(np.zeros((), image.array.dtype), image.array.shape)
        return _Case(replace(image, array=no_voxels), prepared, tuple(warnings))

    def warnings_of(self, image: Image, name: str) -> list[str]:
        """Return what is unlike the training images; what may take very long is shown at once, before it is begun."""
        plans = self.description.plans
        tiles = self.expected_tiles(image)
        absolute = [scheme not in ("zscore", "rescale_0_1") for scheme in self.description.configuration.normalization]
        found = list(image_warnings(measure_image(image), plans.images, absolute, tiles))
        if tiles >= MANY_TILES and found:
            show_unless_quiet(f"Warning: case {name}: {found[0]}. It takes up to {tiles} tiles.")
        return [*axis_order_warnings(image.geometry, image.array.shape[1:], plans.orientation), *found]

    def _preprocess(self, image: Image, name: str) -> list[Prepared]:
        """Return the image as each model sees it; those that see the same share one array."""
        made: list[tuple[EnsembleMember, tuple[np.ndarray, CaseProperties]]] = []
        for member in self.members:
            twin = next((prepared for other, prepared in made if other.preprocessing == member.preprocessing), None)
            made.append((member, twin or member.preprocess(image, name)))
        return self.narrowed([(member.with_previous(data, properties, image, name), properties)
                              for member, (data, properties) in made])

    def narrowed(self, prepared: Sequence[Prepared]) -> list[Prepared]:
        """Return for each model the part of a case that may hold objects, where it skips what is empty."""
        return [(member.narrowed(data, properties), properties)
                for member, (data, properties) in zip(self.members, prepared, strict=True)]

    def _check_channels(self, image: Image, name: str) -> None:
        names, found = self.description.channel_names, image.array.shape[0]
        if found != len(names):
            raise AutosegError(f"case {name}: the image has {found} channel{'s' * (found != 1)}, but the model takes "
                               f"{len(names)} ({', '.join(names)}). Give images like those it was trained on.")


def _tile_counter(progress: CaseProgress | None, case: str, tiles_in_all: int) -> Callable[[], None] | None:
    """Return a function to be called after each tile of any model."""
    if progress is None:
        return None
    done = 0

    def tile_done() -> None:
        nonlocal done
        done += 1
        progress(case, done / tiles_in_all)

    return tile_done
