"""How a dataset's volumes become projections: slab, intensities, pixels, and a network that sees as much as it needs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from autoseg.dataset import Dataset, Labels
from autoseg.errors import AutosegError, many, some
from autoseg.intensities import WINDOW_PERCENTILES, common_windows, window_in_words
from autoseg.plan import Topology
from autoseg.planners.localization.measuring import Measured, ProjectionInspection, View
from autoseg.projections.plan import CONFIGURATION, SEEN, ProjectionPlans, Seen, Target, WorldAxis
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.topology.values import values_put_out
from autoseg.versions import versions

NAME = CONFIGURATION
SUMMARY = "2D projections for locators (-tr locator): which level is found, and in what picture of the volume"
PROJECTED: dict[WorldAxis, WorldAxis] = {"x": "y", "y": "x", "z": "x"}  # away, where nothing else is asked for
FEWEST_CASES = 2  # that hold what is to be found: one to train on, one to validate on
SLAB_STEP, USUAL_SLAB = 0.05, 0.5
SLAB_PERCENTILE = 90  # of what the cases need
ROWS_OF_TARGET = 16  # that what is found covers, in the median case
LONGER = "the longer edge of the median projection"
FEWEST_PIXELS, MOST_PIXELS, USUAL_PIXELS = 64, 512, 128  # along that; the last where only points are known
ALIKE, FEWEST_FOR_POSITION = 0.1, 10  # standard deviation of where in the scan the level lies, as a share of it
SMALLEST, LARGEST = 4, 4096  # pixels that an edge may have
MOST_STAGES, BASE_FEATURES = 5, 16  # Huang et al. 2020
MOST_PER_BATCH, FEWEST_PER_BATCH = 8, 2
MEMORY_VALUES = 0.75 * 12 * 8.5e7  # that a UNet 3+ may put out for a batch at 8 GB (see `autoseg.planners.LEFT_BY_LOSS`)
STEPS_PER_ROOT_OF_CASES, FEWEST_STEPS, MOST_STEPS, STEPS_PER_EPOCH = 90, 300, 3000, 25


@dataclass(frozen=True)
class Wishes:
    """What was asked for; None for what the fingerprint says. slab: share. percentiles: of the intensity window. pixel_mm: edge
    of the square pixels. size: (rows, columns) pixels. depth: stages of the network. seen: names of channels."""

    slab: float | None = None
    percentiles: tuple[float, float] | None = None
    pixel_mm: float | None = None
    size: tuple[int, int] | None = None
    depth: int | None = None
    seen: tuple[str, ...] | None = None


def require_wishes(axis: str, project: str | None, wishes: Wishes) -> tuple[WorldAxis, WorldAxis]:
    """The axis along which something is found, and the one that is projected away. Raises AutosegError where one of these, or a
    number, is none that can be."""
    known: dict[str, WorldAxis] = {name: name for name in get_args(WorldAxis)}
    for name in (axis, project):
        if name is not None and name not in known:
            raise AutosegError(f'There is no axis "{name}" to find something along, or to project along. There are: x (left to '
                               "right), y (front to back), z (feet to head).")
    away = project or PROJECTED[known[axis]]
    if away == axis:
        raise AutosegError(f"--axis and --project are both {axis}: what is found along an axis cannot be seen once that is "
                           "projected away. Choose another one of x, y, z with --project.")
    wrong = [
        (wishes.slab is not None and not 0 < wishes.slab <= 1, f"A slab of {wishes.slab} was asked for, but it is a share of the "
         "extent, more than 0 and at most 1."),
        (wishes.percentiles is not None and not 0 <= wishes.percentiles[0] < wishes.percentiles[1] <= 100,
         f"A window between the percentiles {wishes.percentiles} was asked for, but two rising numbers of 0 to 100 are needed."),
        (wishes.pixel_mm is not None and not 0 < wishes.pixel_mm < math.inf, f"Pixels of {wishes.pixel_mm} mm were asked for, "
         "but their edge must be longer than 0."),
        (wishes.size is not None and min(wishes.size) < 8, f"A size of {wishes.size} pixels was asked for, but 8 × 8 are needed "
         "at least."),
        (wishes.depth is not None and not 1 < wishes.depth <= 8, f"A depth of {wishes.depth} was asked for, but networks have 2 "
         "to 8 stages."),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise AutosegError(message)
    if unknown := [name for name in wishes.seen or () if name not in SEEN]:
        raise AutosegError(f"There is no channel {' and no channel '.join(unknown)} of a projection. There are: "
                           f"{', '.join(SEEN)} (both: the mean of maximum and mean).")
    if wishes.seen is not None and (not wishes.seen or len(set(wishes.seen)) < len(wishes.seen)):
        raise AutosegError(f"The channels {' '.join(wishes.seen) or '(none)'} were asked for. Name each of {', '.join(SEEN)} "
                           "once at most, and one at least.")
    return known[axis], known[away]


def target_of(labels: Labels, find: Sequence[str], points: dict[str, float | None] | None) -> Target:
    """What --find and --points ask for. find: names or values of one label or two; with points it only names what is found.

    Raises AutosegError that lists the labels there are.
    """
    if points is not None:
        return Target(name=" ".join(find) or "the point", points=points)
    by_value = {str(values[0]): name for name, values in labels.foreground.items() if len(values) == 1}
    named = [name if name in labels.foreground else by_value.get(name, name) for name in find]
    listed = some(labels.foreground, 30) or "none but background"
    if not named or len(named) > 2:
        asked = f"{len(named)} labels were asked for" if named else "It was not said what is to be found"
        raise AutosegError(f"{asked}. Name one label with --find, or two to find the middle between them, or give a list of "
                           f"points with --points. There are: {listed}.")
    if unknown := [name for name in named if name not in labels.foreground]:
        raise AutosegError(f"There is no label {' and no label '.join(unknown)} to be found. There are: {listed}.")
    if len(set(named)) < len(named):
        raise AutosegError(f"{named[0]} was named twice. Name one label, or two different ones.")
    return Target(name=named[0] if len(named) == 1 else f"the middle between {named[0]} and {named[1]}", labels=tuple(named))


def plan(dataset: Dataset, inspections: Sequence[ProjectionInspection], view: View, wishes: Wishes) -> ProjectionPlans:
    """Decide how the training cases of `dataset`, all without errors, are projected.

    Raises AutosegError where fewer than two cases hold what is to be found, or its channels are not known.
    """
    training = set(dataset.training)
    cases = {entry.case.name: entry.measured for entry in inspections if entry.measured and entry.case in training}
    _require_level(dataset, cases, view)
    measured = list(cases.values())
    names = dataset.channel_names or tuple(f"channel_{number}" for number in range(measured[0].channels))
    percentiles = wishes.percentiles or WINDOW_PERCENTILES
    samples = {name: case.samples for name, case in cases.items() if case.samples is not None}
    windows = common_windows(names, samples, percentiles)
    _require_pixels(measured, wishes)
    slab, about_slab = _slab(measured, wishes.slab)
    pixel_mm, about_pixel = _pixel_mm(measured, len(view.target.labels), wishes.pixel_mm)
    position, about_position = _position(measured)
    network, size, about_size, about_depth = _network(measured, pixel_mm, wishes)
    batch_size = _batch_size(size, network)
    known = sum(case.known.is_known for case in measured)
    steps = int(np.clip(STEPS_PER_ROOT_OF_CASES * math.sqrt(known), FEWEST_STEPS, MOST_STEPS))
    return ProjectionPlans(
        dataset=dataset.name, versions=versions(), target=view.target, axis=view.axis, project=view.project, slab=slab,
        channel_names=names, seen=_seen(wishes), windows=windows, percentiles=percentiles, pixel_mm=pixel_mm, size=size,
        batch_size=batch_size, epochs=math.ceil(steps / STEPS_PER_EPOCH), position=position, network=network, source=dataset,
        reasons={
            "target": _about_target(view.target, measured),
            "axis": "as asked for, or z; the header says which way it runs in each image",
            "project": "as asked for, or x (y where something is found along x)",
            "slab": about_slab,
            "seen": f"{'as asked for' if wishes.seen else 'by default'}, along {view.project}, of each channel of the image; "
                    "both is the mean of maximum and mean",
            "windows": "; ".join(
                window_in_words(name, window, percentiles) for name, window in zip(names, windows, strict=True)),
            "pixel_mm": about_pixel, "size": about_size, "network": about_depth,
            "position": about_position,
            "batch_size": f"{batch_size} projections, at most {MOST_PER_BATCH}, that a network at 8 GB has room for",
            "epochs": f"{steps} steps: {STEPS_PER_ROOT_OF_CASES} times the root of {many(known, 'case')}, {FEWEST_STEPS} at "
                      f"least, {MOST_STEPS} at most; {STEPS_PER_EPOCH} per epoch"})


def _seen(wishes: Wishes) -> tuple[Seen, ...]:
    return SEEN if wishes.seen is None else tuple(name for wish in wishes.seen for name in SEEN if name == wish)


def _require_level(dataset: Dataset, cases: dict[str, Measured], view: View) -> None:
    """Raises AutosegError where it is seen in fewer than two cases."""
    having = [name for name, case in cases.items() if case.known.level is not None]
    if len(having) >= FEWEST_CASES:
        return
    found = f"is in case {having[0]} alone" if having else "is in none"
    remedy = "Add points to the list." if not view.target.labels else "Name another label with --find, or add labelled cases."
    raise AutosegError(
        f"{dataset.name}: {view.target.name} {found} of its {many(len(cases), 'training case')}. A locator needs it in at least "
        f"{FEWEST_CASES}, as it is validated on others than it is trained on. {remedy}")


def _about_target(target: Target, cases: Sequence[Measured]) -> str:
    where = f"the middle of {target.name}'s extent" if len(target.labels) == 1 else target.name
    if not target.labels:
        where = "the points of a list"
    there = sum(case.known.level is not None for case in cases)
    unknown = sum(not case.known.is_known for case in cases)
    absent = len(cases) - there - unknown
    return (f"{where}, in {there} of {many(len(cases), 'case')}" + (f"; it is not in {absent}" if absent else "")
            + (f", and not known of {unknown}, which are neither trained nor validated on" if unknown else ""))


def _slab(cases: Sequence[Measured], wish: float | None) -> tuple[float, str]:
    if wish is not None:
        return wish, "as asked for"
    needed = [case.slab for case in cases if case.slab is not None]
    if not needed:
        return USUAL_SLAB, "half of the extent: no label says how far to the sides lies what is found"
    share = math.ceil(float(np.percentile(needed, SLAB_PERCENTILE)) / SLAB_STEP - 1e-9) * SLAB_STEP
    return round(min(1.0, max(SLAB_STEP, share)), 2), (
        f"holds the middle half of what is found in {SLAB_PERCENTILE} % of the cases, in steps of {SLAB_STEP:.0%}")


def _pixel_mm(cases: Sequence[Measured], labels: int, wish: float | None) -> tuple[float, str]:
    """labels: how many are found together."""
    if wish is not None:
        return wish, "as asked for"
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


def _require_pixels(cases: Sequence[Measured], wishes: Wishes) -> None:
    """Raises AutosegError where pixels or a size were asked for that make projections too large or too small."""
    sizes = {"These sizes": [wishes.size] if wishes.size else []}
    if wishes.pixel_mm:
        sizes[f"Pixels of {wishes.pixel_mm:g} mm"] = [
            (int(min(rows / wishes.pixel_mm, 1e9)), int(min(columns / wishes.pixel_mm, 1e9)))
            for rows, columns in (case.extents_mm for case in cases)]
    for asked, (rows, columns) in ((asked, size) for asked, those in sizes.items() for size in those):
        if not SMALLEST <= min(rows, columns) <= max(rows, columns) <= LARGEST:
            raise AutosegError(f"{asked} were asked for, but projections would have {rows} × {columns} pixels. Each edge must "
                               f"have {SMALLEST} to {LARGEST}. Choose others, or leave it to what is measured.")


def _position(cases: Sequence[Measured]) -> tuple[bool, str]:
    """Whether the place of a row in the scan says where the level is: where the standard deviation of the level's is small."""
    places = [(case.placement.row_of(case.known.level.slice) + 0.5) / case.placement.pixels[0]
              for case in cases if case.known.level is not None]
    mean, spread = float(np.mean(places)), float(np.std(places))
    is_alike = len(places) >= FEWEST_FOR_POSITION and spread <= ALIKE
    return is_alike, (
        f"the level lies at {mean:.0%} of the scan's rows, with a standard deviation of {spread:.1%} over "
        f"{many(len(places), 'case')}: seen where that is at most {ALIKE:.0%}, and of {FEWEST_FOR_POSITION} cases at least")


def _network(
    cases: Sequence[Measured], pixel_mm: float, wishes: Wishes
) -> tuple[Topology, tuple[int, int], str, str]:
    """A UNet 3+ (Huang et al. 2020), and (rows, columns) that its strides divide; why each is so."""
    median_mm = np.median([case.extents_mm for case in cases], axis=0)
    size = wishes.size or (max(8, round(median_mm[0] / pixel_mm)), max(8, round(median_mm[1] / pixel_mm)))
    most = wishes.depth or MOST_STAGES
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
    asked = "as asked for" if wishes.size else "the median projection"
    if wishes.depth:
        fitting = "" if wishes.depth == stages else f" (of {wishes.depth} no more fit)"
        about_depth = f"UNet 3+ with {stages} stages, as asked for{fitting}"
    else:
        about_depth = f"UNet 3+ with {stages} stages: halved while an axis has 8 pixels or more, {most} stages at most"
    return network, (rows, columns), f"{asked}, grown to a multiple of the network's strides", about_depth


def _batch_size(size: tuple[int, int], network: Topology) -> int:
    return int(np.clip(MEMORY_VALUES / values_put_out(size, network, 1), FEWEST_PER_BATCH, MOST_PER_BATCH))
