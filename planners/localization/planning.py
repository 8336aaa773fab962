"""Decisions about how a dataset's volumes become projections: slab, intensities, pixels, and the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many
from autoseg.intensities import WINDOW_PERCENTILES, common_windows, window_in_words
from autoseg.plan import Topology
from autoseg.planners.localization.measuring import MeasuredProjection
from autoseg.planners.localization.request import Request
from autoseg.planners.request import Planned, Progress, measured_cases
from autoseg.preprocessing.store import stored_cases
from autoseg.tasks.localization.options import PlanOptions
from autoseg.tasks.localization.plan import CONFIGURATION, SEEN, ProjectionPlans, Seen, Target
from autoseg.tasks.localization.store import open_projection
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.topology.values import values_put_out
from autoseg.training_images import pooled
from autoseg.verification.inspection import Inspection
from autoseg.versions import versions
from autoseg.workspace import DatasetFolder

SUMMARIES = {
    CONFIGURATION: "2D projections for locators (-tr locator): which level is found, and in what picture of the volume"}
FEWEST_CASES = 2  # cases that hold the target: one to train on, one to validate on
SLAB_STEP, USUAL_SLAB = 0.05, 0.5
SLAB_PERCENTILE = 90  # percentile of the slabs that the cases need
ROWS_OF_TARGET = 16  # rows that the target covers, in the median case
LONGER = "the longer edge of the median projection"
FEWEST_PIXELS, MOST_PIXELS, USUAL_PIXELS = 64, 512, 128  # along that; the last where only points are known
ALIKE, FEWEST_FOR_POSITION = 0.1, 10  # standard deviation of where in the scan the level lies, as a share of it
SMALLEST, LARGEST = 4, 4096  # pixels that an edge may have
MOST_STAGES, BASE_FEATURES = 5, 16  # Huang et al. 2020
MOST_PER_BATCH, FEWEST_PER_BATCH = 8, 2
MEMORY_VALUES = 0.75 * 12 * 8.5e7  # values that a UNet 3+ may put out per batch at 8 GB (see segmentation's LEFT_BY_LOSS)
STEPS_PER_ROOT_OF_CASES, FEWEST_STEPS, MOST_STEPS, STEPS_PER_EPOCH = 90, 300, 3000, 25


def plan(
    request: Request, usable: Dataset, inspections: Sequence[Inspection[MeasuredProjection]], workers: int | None = None,
    progress: Progress | None = None,
) -> Planned[ProjectionPlans]:
    """Decide how the training cases are projected. usable: the dataset without cases that have errors. workers, progress: not
    needed.

    Raises AutosegError where fewer than two cases hold what is to be found, or projections would be too large or too small.
    """
    cases, options = measured_cases(usable, inspections), request.options
    measured = list(cases.values())
    _require_level(usable, cases, request.target)
    _require_pixels(measured, options)
    names = usable.channel_names or tuple(f"channel_{number}" for number in range(measured[0].channels))
    percentiles = options.window or WINDOW_PERCENTILES
    samples = {name: case.samples for name, case in cases.items() if case.samples is not None}
    windows = common_windows(names, samples, percentiles)
    slab, about_slab = _slab(measured, options.slab)
    pixel_mm, about_pixel = _pixel_mm(measured, len(request.target.labels), options.spacing)
    position, about_position = _position(measured)
    network, size, about_size, about_depth = _network(measured, pixel_mm, options)
    batch_size = _batch_size(size, network)
    epochs, about_epochs = _epochs(sum(case.known.is_known for case in measured))
    return Planned(ProjectionPlans(
        dataset=usable.name, versions=versions(), target=request.target, axis=request.axis, project=request.project, slab=slab,
        channel_names=names, seen=_seen(options), windows=windows, percentiles=percentiles, pixel_mm=pixel_mm, size=size,
        batch_size=batch_size, epochs=epochs, position=position, network=network,
        images=pooled([case.image for case in measured]), source=usable, options=options,
        reasons={
            **_general_reasons(request, measured),
            "slab": about_slab, "pixel_mm": about_pixel, "size": about_size, "network": about_depth,
            "windows": "; ".join(
                window_in_words(name, window, percentiles) for name, window in zip(names, windows, strict=True)),
            "position": about_position, "epochs": about_epochs,
            "batch_size": f"{batch_size} projections, at most {MOST_PER_BATCH}, that a network at 8 GB has room for"}))


def _general_reasons(request: Request, measured: Sequence[MeasuredProjection]) -> dict[str, str]:
    return {
        "target": _about_target(request.target, measured),
        "axis": "as asked for, or z; the header says which way it runs in each image",
        "project": "as asked for, or x (y where something is found along x)",
        "seen": f"{'as asked for' if request.options.channels else 'by default'}, along {request.project}, of each channel of "
                "the image; both is the mean of maximum and mean"}


def _epochs(known: int) -> tuple[int, str]:
    """Return the number of epochs, and why. known: number of cases of which it is known whether and where the level is."""
    steps = int(np.clip(STEPS_PER_ROOT_OF_CASES * math.sqrt(known), FEWEST_STEPS, MOST_STEPS))
    return math.ceil(steps / STEPS_PER_EPOCH), (
        f"{steps} steps: {STEPS_PER_ROOT_OF_CASES} times the root of {many(known, 'case')}, {FEWEST_STEPS} at least, "
        f"{MOST_STEPS} at most; {STEPS_PER_EPOCH} per epoch")


def _seen(options: PlanOptions) -> tuple[Seen, ...]:
    return SEEN if options.channels is None else tuple(name for asked in options.channels for name in SEEN if name == asked)


def _require_level(dataset: Dataset, cases: Mapping[str, MeasuredProjection], target: Target) -> None:
    """Raise AutosegError where it is seen in fewer than two cases."""
    having = [name for name, case in cases.items() if case.known.level is not None]
    if len(having) >= FEWEST_CASES:
        return
    found = f"is in case {having[0]} alone" if having else "is in none"
    remedy = "Add points to the list." if not target.labels else "Name another label with --find, or add labelled cases."
    raise AutosegError(
        f"{dataset.name}: {target.name} {found} of its {many(len(cases), 'training case')}. A locator needs it in at least "
        f"{FEWEST_CASES}, as it is validated on others than it is trained on. {remedy}")


def _about_target(target: Target, cases: Sequence[MeasuredProjection]) -> str:
    where = f"the middle of {target.name}'s extent" if len(target.labels) == 1 else target.name
    if not target.labels:
        where = "the points of a list"
    there = sum(case.known.level is not None for case in cases)
    unknown = sum(not case.known.is_known for case in cases)
    absent = len(cases) - there - unknown
    return (f"{where}, in {there} of {many(len(cases), 'case')}" + (f"; it is not in {absent}" if absent else "")
            + (f", and not known of {unknown}, which are neither trained nor validated on" if unknown else ""))


def _slab(cases: Sequence[MeasuredProjection], asked: float | None) -> tuple[float, str]:
    if asked is not None:
        return asked, "as asked for"
    needed = [case.slab for case in cases if case.slab is not None]
    if not needed:
        return USUAL_SLAB, "half of the extent: no label says how far to the sides lies what is found"
    share = math.ceil(float(np.percentile(needed, SLAB_PERCENTILE)) / SLAB_STEP - 1e-9) * SLAB_STEP
    return round(min(1.0, max(SLAB_STEP, share)), 2), (
        f"holds the middle half of what is found in {SLAB_PERCENTILE} % of the cases, in steps of {SLAB_STEP:.0%}")


def _pixel_mm(cases: Sequence[MeasuredProjection], labels: int, asked: float | None) -> tuple[float, str]:
    """Return the size of a pixel, and why. labels: the number of label values that are found together."""
    if asked is not None:
        return asked, "as asked for"
    longest_mm = max(np.median([case.extents_mm for case in cases], axis=0))
    finest_mm = float(min(np.median([case.spacings_mm for case in cases], axis=0)))
    heights_mm = [case.height_mm / max(labels, 1) for case in cases if case.height_mm is not None]
    wanted_mm = float(np.median(heights_mm)) / ROWS_OF_TARGET if heights_mm else longest_mm / USUAL_PIXELS
    why = (f"what is found is {np.median(heights_mm):.3g} mm high in the median case{' (each label)' if labels > 1 else ''}, and "
           f"covers {ROWS_OF_TARGET} rows" if heights_mm else f"{USUAL_PIXELS} pixels along {LONGER}")
    if wanted_mm > longest_mm / FEWEST_PIXELS:
        wanted_mm, why = longest_mm / FEWEST_PIXELS, f"at least {FEWEST_PIXELS} pixels along {LONGER}"
    if wanted_mm < finest_mm:
        wanted_mm, why = finest_mm, "no finer than voxels are"
    if wanted_mm < longest_mm / MOST_PIXELS:
        wanted_mm, why = longest_mm / MOST_PIXELS, f"at most {MOST_PIXELS} pixels along {LONGER}"
    return float(f"{wanted_mm:.3g}"), why


def _require_pixels(cases: Sequence[MeasuredProjection], options: PlanOptions) -> None:
    """Raise AutosegError where pixels or a size were asked for that make projections too large or too small."""
    sizes = {"These sizes": [options.size] if options.size else []}
    if options.spacing:
        sizes[f"Pixels of {options.spacing:g} mm"] = [
            (int(min(rows / options.spacing, 1e9)), int(min(columns / options.spacing, 1e9)))
            for rows, columns in (case.extents_mm for case in cases)]
    for asked, (rows, columns) in ((asked, size) for asked, those in sizes.items() for size in those):
        if not SMALLEST <= min(rows, columns) <= max(rows, columns) <= LARGEST:
            raise AutosegError(f"{asked} were asked for, but projections would have {rows} × {columns} pixels. Each edge must "
                               f"have {SMALLEST} to {LARGEST}. Choose others, or leave it to what is measured.")


def _position(cases: Sequence[MeasuredProjection]) -> tuple[bool, str]:
    """Tell, with the reason, whether a row's place in the scan says where the level is: its standard deviation is small."""
    places = [(case.placement.row_of(case.known.level.slice) + 0.5) / case.placement.pixels[0]
              for case in cases if case.known.level is not None]
    mean, spread = float(np.mean(places)), float(np.std(places))
    is_alike = len(places) >= FEWEST_FOR_POSITION and spread <= ALIKE
    return is_alike, (
        f"the level lies at {mean:.0%} of the scan's rows, with a standard deviation of {spread:.1%} over "
        f"{many(len(places), 'case')}: seen where that is at most {ALIKE:.0%}, and of {FEWEST_FOR_POSITION} cases at least")


def _network(
    cases: Sequence[MeasuredProjection], pixel_mm: float, options: PlanOptions
) -> tuple[Topology, tuple[int, int], str, str]:
    """Return a UNet 3+ (Huang et al. 2020), and (rows, columns) that its strides divide; with the reason for each."""
    median_mm = np.median([case.extents_mm for case in cases], axis=0)
    size = options.size or (max(8, round(median_mm[0] / pixel_mm)), max(8, round(median_mm[1] / pixel_mm)))
    most = options.depth or MOST_STAGES
    pooling = pool((pixel_mm, pixel_mm), size)
    strides, kernels = pooling.strides[:most], pooling.kernel_sizes[:most]
    divisors = [math.prod(stride[axis] for stride in strides) for axis in range(2)]
    rows, columns = (math.ceil(n / divisor) * divisor for n, divisor in zip(size, divisors, strict=True))
    whole = topology_of("unet3plus", pooling, BASE_FEATURES)
    stages = len(strides)
    network = whole.model_copy(update={
        "features": whole.features[:stages], "strides": strides, "kernel_sizes": kernels,
        "convs_per_stage": whole.convs_per_stage[:stages], "norm": "batch", "deep_supervision": False,
        "decoder_convs_per_stage": None if whole.decoder_convs_per_stage is None else whole.decoder_convs_per_stage[:stages - 1]})
    asked = "as asked for" if options.size else "the median projection"
    if options.depth:
        fitting = "" if options.depth == stages else f" (of {options.depth} no more fit)"
        about_depth = f"UNet 3+ with {stages} stages, as asked for{fitting}"
    else:
        about_depth = f"UNet 3+ with {stages} stages: halved while an axis has 8 pixels or more, {most} stages at most"
    return network, (rows, columns), f"{asked}, grown to a multiple of the network's strides", about_depth


def _batch_size(size: tuple[int, int], network: Topology) -> int:
    return int(np.clip(MEMORY_VALUES / values_put_out(size, network, 1), FEWEST_PER_BATCH, MOST_PER_BATCH))


@dataclass(frozen=True)
class LevelCounts:
    """The numbers of training cases: with the level, known to be without it, and not known. in_words: all of it, in a
    sentence."""

    there: int
    absent: int
    unknown: int
    in_words: str


def chosen(plans: ProjectionPlans, options: PlanOptions) -> list[str]:
    """Return the configurations to be preprocessed: there is one."""
    return [CONFIGURATION]


def counts(plans: ProjectionPlans, folder: DatasetFolder) -> LevelCounts:
    """Return in how many of the stored cases the level is."""
    stored = stored_cases(folder.preprocessed(CONFIGURATION), plans.source.training, open_projection)
    there, known = sum(bool(case.level) for case in stored), sum(case.is_known for case in stored)
    absent, unknown = known - there, len(stored) - known
    said = [f"It is in {there} cases", *([f"not in {absent}"] if absent else ()),
            *([f"and not known of {unknown}"] if unknown else ())]
    return LevelCounts(
        there, absent, unknown,
        f"To be found along {plans.axis}: {plans.target.name}. {', '.join(said)}. The middle {100 * plans.slab:.3g}% of each are "
        f"projected along {plans.project}, to pixels of {plans.pixel_mm:g} mm.")
