"""Decisions about how a dataset's cases are seen: grid, size, network, batch, and how rare classes are learned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many
from autoseg.image import UNKNOWN, most_frequent_orientation
from autoseg.intensities import common_windows, window_in_words
from autoseg.plan import Topology
from autoseg.planners.classification.measuring import MeasuredView, common_format
from autoseg.planners.classification.request import Request
from autoseg.planners.request import Planned, Progress, measured_cases
from autoseg.preprocessing.store import stored_cases
from autoseg.tasks.classification import INFO
from autoseg.tasks.classification.options import PlanOptions
from autoseg.tasks.classification.plan import CONFIGURATION, ClassPlans, Loss, Sampling, Target, View
from autoseg.tasks.classification.pretrained import Pretrained
from autoseg.tasks.classification.store import open_view
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.training_images import pooled
from autoseg.verification.inspection import Inspection
from autoseg.versions import versions
from autoseg.wording import times
from autoseg.workspace import DatasetFolder

SUMMARIES = {INFO.planner: "whole cases for classifiers (-tr classifier): their classes, and how they are seen"}
FEWEST_CASES = 2  # of each of two classes: one to train on, one to validate on
LONGEST = {"picture": 128, "volume": 96, "slices": 128}  # voxels along the longest edge, by the view
FARTHER = 3.0  # times as far apart as their pixels: slices that are seen each alone
EXTENT = 90  # percentile of the cases' extents that is seen as a whole
MOST_STAGES, BASE_FEATURES, MOST_FEATURES = 5, 16, 128
MEMORY_VALUES = 8e7  # values of the finest stage that a batch may have, at 8 GB and about ten copies of each
LARGEST_BATCH, SMALLEST_BATCH = 16, 2
STEPS_PER_ROOT, FEWEST_STEPS, MOST_STEPS, STEPS_PER_EPOCH = 50, 300, 5000, 25
RARE = 3.0  # times as many cases of the most frequent class as of the rarest, from which on that is drawn more often


def plan(
    request: Request, usable: Dataset, inspections: Sequence[Inspection[MeasuredView]], workers: int | None = None,
    progress: Progress | None = None,
) -> Planned[ClassPlans]:
    """Decide how the training cases are seen. usable: the dataset without cases that have errors. workers, progress: not needed.

    Raises AutosegError where fewer than two classes have two cases.
    """
    common, of_case, options = common_format(request, inspections), measured_cases(usable, inspections), request.options
    cases = list(of_case.values())
    target = _target(request.known.target, of_case, usable)
    names = common.channel_names
    windows = common_windows(names, {name: case.samples for name, case in of_case.items() if case.samples is not None})
    view, about_view = _view(cases, common.pictures, options)
    spacing_mm, about_spacing = _spacing_mm(cases, view, options)
    size, about_size = _size(cases, view, spacing_mm, options)
    network, size, about_network = _network(size, view, spacing_mm, options)
    batch_size, about_batch = _batch_size(size, view, network, len(target.of_case))
    epochs, about_epochs = _epochs(len(target.of_case))
    sampling, loss, about_imbalance = _imbalance(target)
    counts = ", ".join(f"{count} {name}" for name, count in target.counts().items())
    source = usable.model_copy(update={"groups": request.dataset.groups})
    return Planned(ClassPlans(
        dataset=usable.name, versions=versions(), target=target, covariates=request.known.covariates,
        cells={case: cells for case, cells in request.known.cells.items() if case in target.of_case}, table=request.known.table,
        view=view, orientation=_orientation(cases), channel_names=names, windows=windows, spacing_mm=spacing_mm, size=size,
        roi=options.roi, network=network, batch_size=batch_size, epochs=epochs, sampling=sampling, loss=loss,
        images=pooled([case.image for case in cases]), source=source, options=options, reasons={
            "target": f"{counts}; from {request.known.where.name}", "covariates": _about_covariates(request),
            "view": about_view, "spacing_mm": about_spacing, "size": about_size, "network": about_network,
            "windows": "; ".join(window_in_words(name, window) for name, window in zip(names, windows, strict=True)),
            "roi": "as asked for" if options.roi else "the box of what is not zero", "batch_size": about_batch,
            "epochs": about_epochs, "sampling": about_imbalance, "loss": about_imbalance}))


def _target(target: Target, cases: dict[str, MeasuredView], usable: Dataset) -> Target:
    """Return the target of the usable cases. Raises AutosegError where fewer than two classes have two."""
    kept = target.model_copy(update={"of_case": {case: values for case, values in target.of_case.items() if case in cases}})
    counts = kept.counts()
    enough = [name for name, count in counts.items() if count >= FEWEST_CASES]
    needed = 1 if target.kind == "labels" else 2
    if len(enough) < needed or len(kept.of_case) < 2 * FEWEST_CASES:
        said = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise AutosegError(f"{usable.name} has too few cases of {target.name} ({said}). A classifier needs {FEWEST_CASES} of two "
                           "classes each at least, as it is validated on others than it is trained on. Add cases.")
    return kept


def _about_covariates(request: Request) -> str:
    known = request.known
    if known.table is None:
        return "there is no table"
    missing = {covariate.name: sum(not cells[index] for cells in known.cells.values())
               for index, covariate in enumerate(known.covariates)}
    parts = [f"{covariate.name}: {'a number' if covariate.kind == 'number' else f'{len(covariate.categories)} categories'}"
             + (f", missing in {many(missing[covariate.name], 'case')}" if missing[covariate.name] else "")
             for covariate in known.covariates]
    parts += [f"{name} is not used: {reason}" for name, reason in known.unused.items()]
    return "; ".join(parts) or ("none, as asked for" if request.options.covariates else "the table has no other column")


def _orientation(cases: Sequence[MeasuredView]) -> str | None:
    return most_frequent_orientation(Counter(case.orientation or UNKNOWN for case in cases))


def _view(cases: Sequence[MeasuredView], pictures: bool, options: PlanOptions) -> tuple[View, str]:
    if pictures:
        return "picture", "each image is one slice"
    if options.view != "auto":
        return options.view, "as asked for"
    z, y, x = np.median([case.spacing_mm for case in cases], axis=0)
    if z > FARTHER * max(y, x):
        return "slices", (f"slices lie {z:.3g} mm apart, more than {FARTHER:g} times their pixels' {max(y, x):.3g} mm: each is "
                          "seen alone, and attention weights them (Ilse et al. 2018)")
    return "volume", f"voxels are about as long along all axes ({z:.3g} × {y:.3g} × {x:.3g} mm in the median)"


def _spacing_mm(
    cases: Sequence[MeasuredView], view: View, options: PlanOptions
) -> tuple[tuple[float, float, float] | None, str]:
    """Return the voxels that volumes are seen with, and why: those of the median case, coarser where the extent asks for it."""
    if view == "picture":
        return None, "pictures are scaled as a whole, their aspect kept"
    median_mm = np.median([case.spacing_mm for case in cases], axis=0)
    if options.pretrained is not None and (its := Pretrained.at(options.pretrained).spacing_mm) is not None:
        first, second, third = its if len(its) == 3 else (float(median_mm[0]), *its)
        return (first, second, third), "those of the model that the training starts from"
    if options.spacing is not None:
        first = median_mm[0] if view == "slices" else options.spacing
        return (float(first), options.spacing, options.spacing), "as asked for"
    longest = options.edge or LONGEST[view]
    extent_mm = np.percentile([case.extent_mm for case in cases], EXTENT, axis=0)
    finest_mm = float(min(median_mm))
    wanted_mm = float(max(finest_mm, max(extent_mm[1:] if view == "slices" else extent_mm) / longest))
    z = max(float(median_mm[0]), float(extent_mm[0]) / longest) if view == "slices" else wanted_mm
    usual = times([float(mm) for mm in median_mm])
    why = (f"{wanted_mm:.3g} mm: no finer than the voxels of the median case ({usual} mm), and {EXTENT} % of the cases lie "
           f"within {longest} voxels along the longest edge")
    return (float(f"{z:.3g}"), float(f"{wanted_mm:.3g}"), float(f"{wanted_mm:.3g}")), why


def _size(
    cases: Sequence[MeasuredView], view: View, spacing_mm: tuple[float, float, float] | None, options: PlanOptions
) -> tuple[tuple[int, int, int], str]:
    longest = options.edge or LONGEST[view]
    asked = "as asked for" if options.edge else f"{longest} by default (--edge changes it)"
    if spacing_mm is None:
        rows, columns = np.median([case.extent_mm[1:] for case in cases], axis=0)
        scale = longest / max(rows, columns)
        finest = int(np.median([max(case.extent[1:]) for case in cases]))
        scale *= min(1.0, finest / longest)
        return (1, max(8, round(rows * scale)), max(8, round(columns * scale))), (
            f"the aspect of the median picture, its longer edge {asked}, no finer than it is")
    extent_mm = np.percentile([case.extent_mm for case in cases], EXTENT, axis=0)
    z, y, x = (max(1, min(longest, math.ceil(mm / by - 0.5))) for mm, by in zip(extent_mm, spacing_mm, strict=True))
    return (z, y, x), f"{EXTENT} % of the cases' foreground lie in it as a whole; the longest edge at most {asked}"


def _network(
    size: tuple[int, int, int], view: View, spacing_mm: tuple[float, float, float] | None, options: PlanOptions
) -> tuple[Topology, tuple[int, int, int], str]:
    """Return the topology whose encoder is used, and the size grown to what its strides divide."""
    first = 0 if view == "volume" else 1
    seen_mm, seen = list(spacing_mm or (1.0, 1.0, 1.0))[first:], size[first:]
    if options.pretrained is not None:
        return _pretrained_network(Pretrained.at(options.pretrained), size, view)
    most = options.depth or MOST_STAGES
    pooling = pool(seen_mm, [max(8, edge) for edge in seen])
    strides, kernels = pooling.strides[:most], pooling.kernel_sizes[:most]
    whole = topology_of("resunet", pooling, BASE_FEATURES)
    stages = len(strides)
    network = whole.model_copy(update={
        "features": tuple(min(MOST_FEATURES, of) for of in whole.features[:stages]), "strides": strides, "kernel_sizes": kernels,
        "convs_per_stage": (1,) * stages, "norm": "batch", "deep_supervision": False,
        "decoder_convs_per_stage": (1,) * (stages - 1)})
    about = "as asked for" if options.depth else f"halved while an axis has 8 voxels or more, {most} at most"
    return network, _grown(size, view, network), f"the encoder of a residual U-Net, a block each in {stages} stages, {about}"


def _grown(size: tuple[int, int, int], view: View, network: Topology) -> tuple[int, int, int]:
    """Return the size grown to what the network's strides divide."""
    seen = size if view == "volume" else size[1:]
    grown = [math.ceil(max(8, edge) / by) * by for edge, by in zip(seen, network.reduction, strict=True)]
    z, y, x = grown if view == "volume" else (size[0], *grown)
    return z, y, x


def _pretrained_network(model: Pretrained, size: tuple[int, int, int], view: View) -> tuple[Topology, tuple[int, int, int], str]:
    network = model.topology.model_copy(update={"deep_supervision": False})
    if network.dimensions != (3 if view == "volume" else 2):
        raise AutosegError(f"{model.model.shown} sees {network.dimensions} dimensions, but cases are seen as {view} here. Give "
                           "a model that sees the same, or choose with --view.")
    return network, _grown(size, view, network), f"the encoder of {model.model.shown}, as asked for"


def _batch_size(size: tuple[int, int, int], view: View, network: Topology, cases: int) -> tuple[int, str]:
    values = math.prod(size) * network.features[0] * 4
    batch = int(np.clip(MEMORY_VALUES / values, SMALLEST_BATCH, min(LARGEST_BATCH, max(SMALLEST_BATCH, cases // 4))))
    return batch, f"{batch} cases, at most {LARGEST_BATCH} and a quarter of the cases, that a network at 8 GB has room for"


def _epochs(cases: int) -> tuple[int, str]:
    steps = int(np.clip(STEPS_PER_ROOT * math.sqrt(cases), FEWEST_STEPS, MOST_STEPS))
    return math.ceil(steps / STEPS_PER_EPOCH), (
        f"{steps} steps: {STEPS_PER_ROOT} times the root of {many(cases, 'case')}, {FEWEST_STEPS} at least, {MOST_STEPS} at "
        f"most; {STEPS_PER_EPOCH} per epoch")


def _imbalance(target: Target) -> tuple[Sampling, Loss, str]:
    """Return how cases are drawn, and the loss, by the counts of the classes."""
    counts = [count for count in target.counts().values() if count]
    ratio = max(counts) / min(counts)
    if target.kind == "labels":
        rare = [count / len(target.of_case) for count in counts]
        return ("even", "weighted", f"the rarest label is in {min(rare):.0%} of the cases: yes and no weigh the same") \
            if min(rare) < 1 / (1 + RARE) else ("even", "cross_entropy", "each label is frequent enough")
    if target.kind == "ordered":
        return "even", "cross_entropy", "classes in an order share one direction, so that rare ones learn from their neighbours"
    if ratio >= RARE:
        return "balanced", "cross_entropy", (f"the most frequent class has {ratio:.1f} times as many cases as the rarest: each "
                                             "class is drawn equally often, and probabilities are brought back to the true "
                                             "frequencies")
    return "even", "cross_entropy", (f"the most frequent class has {ratio:.1f} times as many cases as the rarest, fewer than "
                                     f"{RARE:g} times")


@dataclass(frozen=True)
class ClassCounts:
    """The numbers of training cases by class or label. in_words: all of it, in a sentence."""

    of_class: dict[str, int]
    in_words: str


def chosen(plans: ClassPlans, options: PlanOptions) -> list[str]:
    """Return the configurations to be preprocessed: there is one."""
    return [CONFIGURATION]


def counts(plans: ClassPlans, folder: DatasetFolder) -> ClassCounts:
    """Return how many of the stored cases have each class or label."""
    stored = {case.name for case in stored_cases(folder.preprocessed(CONFIGURATION), plans.source.training, open_view)}
    target = plans.target
    kept = target.model_copy(update={"of_case": {case: of for case, of in target.of_case.items() if case in stored}})
    found = kept.counts()
    listed = ", ".join(f"{count} {name}" for name, count in found.items())
    covariates = ", ".join(covariate.name for covariate in plans.covariates)
    beside = f" Beside the image: {covariates}." if covariates else ""
    return ClassCounts(found, f"To be predicted for {many(len(stored), 'case')}: {target.name} ({listed}). Seen as {plans.view}, "
                       f"{times(plans.seen)} voxels.{beside}")
