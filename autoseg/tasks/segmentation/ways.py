"""Cheaper ways to predict, on the validation cases: what each changes in Dice and NSD, and how often the networks run.

Each case is predicted by the fold that did not train on it. For each step of the tiles, over all of an image and, where plans
know what is empty, over the part that is not, there is one pass through a case, in which a tile that is mirrored one way is
computed once for all sets of mirrored axes. Each set has logits of its own, which leave row by row:

    flips of a tile  none  0  1  2  01  02  12  012
    no mirroring      x
    axis 2            x          x
    axes 0, 2         x    x     x      x
    all axes          x    x  x  x  x   x   x   x

What was measured of a case is written as soon as it is known, and stays for the next run with the same weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations
from math import prod
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from autoseg.best import Member, Rule, rule_facts
from autoseg.console import Shares, ShowProgress
from autoseg.dataset import Case, Dataset
from autoseg.device import resolve_device
from autoseg.evaluation.case import BYTES_PER_VOXEL, overlap
from autoseg.evaluation.summary import TOLERANCE_MM
from autoseg.files import remove_leftovers, write_json
from autoseg.image import Image
from autoseg.image_io import read_label
from autoseg.inference.cases import memory_errors_named
from autoseg.inference.export import Row
from autoseg.inference.sliding_window import band_depth, starts_of
from autoseg.parallel import Work, attempt, free_memory_bytes, number_of_workers, on_places
from autoseg.plan import Frozen
from autoseg.preprocessing.store import Spacing
from autoseg.provenance import MADE_FROM, Origin
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation.cascade import TileDone
from autoseg.tasks.segmentation.ensemble import label_volumes
from autoseg.tasks.segmentation.ensembles import prepare, previous_predictions, reference_of
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel, ModelDescription, load_model
from autoseg.tasks.segmentation.predictor import Predictor, Prepared, require_same_grid
from autoseg.tasks.segmentation.previous_stage import StoredPrediction, weights_of
from autoseg.tasks.segmentation.store import described_volume
from autoseg.ways import STEPS, Axes, OnCase, Way
from autoseg.workspace import DatasetFolder, ModelFolder, read_model

SHARE_OF_FREE_MEMORY = 0.3  # that the logits of the sets of axes of one pass may take

Postprocess = Callable[[np.ndarray, Spacing], np.ndarray]


class CaseWays(Frozen):
    """The measures of one case: the full way, then the others."""

    measured: tuple[OnCase, ...]


def measure_ways(
    folder: DatasetFolder, dataset: Dataset, validated: Sequence[Sequence[str]], members: Sequence[Member],
    rules: Sequence[Rule], postprocess: Postprocess, references: str, devices: Sequence[str], report: ShowProgress,
    workers: int | None = None,
) -> dict[str, tuple[OnCase, ...]]:
    """Return of each validation case what every way to predict gives, the full one first. What an earlier run measured stays.

    validated: the cases that each fold did not train on. members: the models whose probabilities are averaged. rules: which
    `postprocess` applies to labels (Z, Y, X) on a grid with a spacing (z, y, x) in mm, before they are compared. references:
    digest of the labels that they are compared with. devices: a process for each, to which `postprocess` is sent where there are
    several. report: gets the share that is done. Writes `ways/cases/<case>.json`.
    Raises AutosegError where a case is not preprocessed for one of the models, or memory runs out.
    """
    models = [folder.model(member.configuration, member.recipe) for member in members]
    cases = {case.name: case for case in dataset.training}
    shares, first = Shares(report, sum(map(len, validated))), resolve_device(devices[0])
    _keep_only_what_was_made_so(folder.ways, Origin.of(
        members=members, post_processing=rule_facts(rules), references=references, steps=STEPS, device=first.type,
        skip_empty=True,
        stages=[weights_of(model, stage) for model in models if (stage := _described(model).configuration.previous_stage)]))
    for fold, names in enumerate(validated):
        waiting = [cases[name] for name in names if not _path(folder, name).exists()]
        for name in {*names} - {case.name for case in waiting}:
            shares.finish(name)
        if not waiting:
            continue
        previous = [previous_predictions(folder, waiting, model, first, report) for model in models]
        begin = partial(_measuring, folder, models, str(fold), previous, postprocess, workers)
        for outcome in on_places(begin, devices, waiting, lambda told: None if isinstance(told, Exception) else shares.progress(
                *told)):
            if outcome.error is not None:
                raise outcome.error
            shares.finish(outcome.item.name)
    return {name: read_model(_path(folder, name), CaseWays).measured for names in validated for name in names}


def _measuring(
    folder: DatasetFolder, models: Sequence[ModelFolder], fold: str, previous: Sequence[Mapping[str, StoredPrediction]],
    postprocess: Postprocess, workers: int | None, device: str,
) -> Work[Case]:
    """Load a fold of all models onto a device, and return what measures cases with it, and tells case and share."""
    place = resolve_device(device)
    networks = _Networks.of([load_model(model, [fold], device=place) for model in models], place, postprocess, workers)

    def measure(tell: Callable[[tuple[str, float]], None], case: Case) -> None:
        prepared = prepare(folder, case, models, networks.members, previous)
        measured = networks.measure(case, prepared, _stages_before(folder, case, models, place),
                                    lambda share: tell((case.name, share)))
        write_json(_path(folder, case.name), CaseWays(measured=tuple(measured)))

    return lambda cases, tell: (attempt(partial(measure, tell), case) for case in cases)


@dataclass(frozen=True)
class _Networks:
    """The networks of one fold of all models, placed on a case with each step of the tiles."""

    predictors: Mapping[Way, Predictor]
    device: torch.device
    postprocess: Postprocess
    workers: int | None

    @classmethod
    def of(cls, loaded: Sequence[LoadedModel], device: torch.device, postprocess: Postprocess, workers: int | None) -> _Networks:
        places = [Way(step=step, skip_empty=skip) for skip in (False, True) for step in STEPS]
        predictors = {way: Predictor(loaded, device, way=way) for way in places}
        return cls({way: its for way, its in predictors.items()
                    if not way.skip_empty or any(member.skips_empty for member in its.members)}, device, postprocess, workers)

    @property
    def members(self) -> Sequence[EnsembleMember]:
        """Return the models with the smallest step, over all of an image."""
        return next(iter(self.predictors.values())).members

    def measure(
        self, case: Case, prepared: Sequence[Prepared], before: tuple[int, int], report: Callable[[float], None]
    ) -> Iterator[OnCase]:
        """Yield what each way gives for a case; steps that place its tiles alike are computed once.

        prepared: the case for each model. before: evaluations and cost of what segments it first, for models that go on from
        that. report: gets the share of the case that is done.
        """
        reference = read_label(reference_of(case), case.images[0])
        placed: dict[str, list[OnCase]] = {}
        for number, (way, predictor) in enumerate(self.predictors.items()):
            seen = predictor.narrowed(prepared)
            places = str([(getattr(data, "box", None), starts_of(
                data.shape, member.model.description.configuration.patch_size, way.step))
                for member, (data, _) in zip(predictor.members, seen, strict=True)])
            if places not in placed:
                share = partial(_report_part, report, number, len(self.predictors))
                tile_done = _counter(share, predictor, seen)
                placed[places] = [one for group in _groups(predictor, seen)
                                  for one in self._measure_group(predictor, seen, group, reference, before, tile_done)]
            yield from (one.model_copy(update={"way": way.model_copy(update={"axes": one.way.axes})}) for one in placed[places])

    def _measure_group(
        self, predictor: Predictor, prepared: Sequence[Prepared], group: Sequence[Axes], reference: Image,
        before: tuple[int, int], tile_done: TileDone,
    ) -> list[OnCase]:
        """Return what some sets of mirrored axes give, in one pass through a case."""
        start = perf_counter()
        volumes = _predict(predictor, prepared, group, tile_done)
        seconds = perf_counter() - start
        overlaps = self._overlaps(predictor.description, prepared[0][1].spacing_mm, volumes, reference)
        _, whole = _evaluations(predictor.members, prepared, group)
        found = []
        for axes, (dice, nsd) in zip(group, overlaps, strict=True):
            evaluations, cost = _evaluations(predictor.members, prepared, [axes])
            found.append(OnCase(
                way=Way(step=predictor.members[0].step, axes=axes), evaluations=evaluations + before[0], cost=cost + before[1],
                seconds=seconds * cost / whole, dice=dice, nsd=nsd))
        return found

    def _overlaps(
        self, description: ModelDescription, spacing_mm: Spacing, volumes: Sequence[np.ndarray], reference: Image
    ) -> list[tuple[float, float]]:
        """Return Dice and NSD of label volumes (Z, Y, X), post-processed; of equal ones once."""
        def compare(volume: np.ndarray) -> tuple[float, float]:
            return overlap(reference.array[0], self.postprocess(volume, spacing_mm), description.labels,
                           reference.geometry.spacing_mm, TOLERANCE_MM)

        first = [next(index for index, other in enumerate(volumes) if np.array_equal(volume, other)) for volume in volumes]
        threads = number_of_workers(BYTES_PER_VOXEL * reference.array.size, self.workers)
        with ThreadPoolExecutor(threads) as pool:
            different = sorted(set(first))
            found = dict(zip(different, pool.map(compare, [volumes[index] for index in different]), strict=True))
        return [found[index] for index in first]


def sets_of_axes(members: Sequence[EnsembleMember]) -> list[Axes]:
    """Return every set of the axes of the volume that any model's training mirrored, the largest first."""
    every = sorted({axis for member in members for axis in member.mirrored_in_training})
    return list(chain.from_iterable(combinations(every, count) for count in range(len(every), -1, -1)))


def _predict(
    predictor: Predictor, prepared: Sequence[Prepared], group: Sequence[Axes], tile_done: TileDone
) -> list[np.ndarray]:
    """Return label values (Z, Y, X) on the image's own grid for each set of mirrored axes of the volume, in one pass."""
    properties = require_same_grid([of_member for _, of_member in prepared])
    rows: list[Iterator[Row]] = []
    of_set = []
    with memory_errors_named(properties.case, [data.shape for data, _ in prepared], predictor.device):
        for member, (data, its) in zip(predictor.members, prepared, strict=True):
            mirrored = [member.mirrored(axes) for axes in group]
            different = list(dict.fromkeys(mirrored))
            of_set.append([len(rows) + different.index(axes) for axes in mirrored])
            rows += member.rows_of_each(data, its, different, tile_done)
        return label_volumes(rows, list(zip(*of_set, strict=True)), properties, predictor.description.labels)


def _evaluations(
    members: Sequence[EnsembleMember], prepared: Sequence[Prepared], group: Sequence[Axes]
) -> tuple[int, int]:
    """Return how often the networks run in one pass for sets of mirrored axes of the volume, and the cost of that."""
    counts = [member.evaluations(data.shape, [member.mirrored(axes) for axes in group])
              for member, (data, _) in zip(members, prepared, strict=True)]
    return sum(counts), sum(count * member.cost for count, member in zip(counts, members, strict=True))


def _groups(predictor: Predictor, prepared: Sequence[Prepared]) -> list[list[Axes]]:
    """Return the sets of mirrored axes in groups, the logits of each of which fit into memory together: as a rule all in one."""
    per_set, on_device = 0, 0
    for member, (data, properties) in zip(predictor.members, prepared, strict=True):
        its = member.model.description
        patch = its.configuration.patch_size
        tile = band_depth(patch) * prod(patch[-2:])
        on_device += 8 * its.labels.output_channels * tile
        per_set += 4 * its.labels.output_channels * (
            band_depth(patch) * prod(data.shape[2:]) + 2 * tile + 4 * prod(properties.shape_cropped[1:]))
    sets = sets_of_axes(predictor.members)
    at_once = int(SHARE_OF_FREE_MEMORY * free_memory_bytes() / (per_set + prod(prepared[0][1].shape_original)))
    if predictor.device.type == "cuda":
        at_once = min(at_once, int(SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(predictor.device)[0] / on_device))
    at_once = max(1, at_once)
    return [sets[start:start + at_once] for start in range(0, len(sets), at_once)]


def _report_part(report: Callable[[float], None], number: int, parts: int, share: float) -> None:
    report((number + share) / parts)


def _counter(report: Callable[[float], None], predictor: Predictor, prepared: Sequence[Prepared]) -> TileDone:
    """Return a function to be called after each tile. report: gets the share of them that is done."""
    tiles = len(_groups(predictor, prepared)) * sum(
        member.count_tiles(data) for member, (data, _) in zip(predictor.members, prepared, strict=True))
    done = 0

    def tile_done() -> None:
        nonlocal done
        done += 1
        report(min(1.0, done / tiles))

    return tile_done


def _stages_before(folder: DatasetFolder, case: Case, models: Sequence[ModelFolder], device: torch.device) -> tuple[int, int]:
    """Return evaluations and cost of the stages that segment a case before the models: in full, whatever the way."""
    evaluations = cost = 0
    for model in models:
        stage = _described(model).configuration.previous_stage
        if stage is not None:
            first = EnsembleMember(LoadedModel(_described(model.beside(stage)), [], ()), device)
            count = first.evaluations(
                described_volume(folder.preprocessed(INFO.stored_as(stage)), case.name).shape, [first.mirroring.axes])
            evaluations, cost = evaluations + count, cost + count * first.cost
    return evaluations, cost


def _described(model: ModelFolder) -> ModelDescription:
    return read_model(model.model_json, ModelDescription)


def _path(folder: DatasetFolder, case: str) -> Path:
    return folder.ways / "cases" / f"{case}.json"


def _keep_only_what_was_made_so(folder: Path, origin: Origin) -> None:
    """Remove what was measured with other weights, rules or labels, and note with which ones what follows is measured."""
    if folder.exists() and not origin.holds_for(folder / MADE_FROM):
        shutil.rmtree(folder)
    remove_leftovers(folder)
    origin.write(folder / MADE_FROM)
