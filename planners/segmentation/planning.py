"""Planning a segmentation: options are checked, cases measured, and the planner that was asked for decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, did_you_mean, some
from autoseg.plan import Plans
from autoseg.planners.request import Planned, Progress, Request, measured_cases
from autoseg.planners.segmentation.fingerprint import MeasuredVolume, build_fingerprint
from autoseg.planners.segmentation.following import following, in_order_of
from autoseg.planners.segmentation.planners import CONFIGURATIONS, PLANNERS
from autoseg.planners.segmentation.unions import with_unions
from autoseg.planners.segmentation.visibility import with_visibility
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.pretrained import Pretrained
from autoseg.tasks.segmentation.risk import risks_in_words
from autoseg.verification.findings import Finding
from autoseg.verification.inspection import Inspection, inspection_findings
from autoseg.wording import times
from autoseg.workspace import DatasetFolder


def prepare(source: Dataset, options: PlanOptions) -> Request[PlanOptions]:
    """Check what was asked for, before any image is read.

    Raises AutosegError for an unknown planner or configuration, for too little memory, and where there is nothing to segment.
    """
    require_known(options)
    if not source.labels.foreground:
        raise AutosegError(
            f"{source.name} has no labels but background, so there is nothing to segment. Name the labels in its dataset.json, "
            "or plan it for another task with --planner; autoseg recipes lists the planners.")
    own_gb = PLANNERS[options.planner].memory_gb  # asking for it changes nothing
    given = options.model_copy(update={"memory_gb": None}) if options.memory_gb == own_gb else options
    return Request(source, given, check=tuple if given.pretrained is None else partial(Pretrained.at, given.pretrained))


def require_known(options: PlanOptions) -> None:
    """Raise AutosegError that lists the planners or configurations there are, or where the memory is not positive."""
    if unknown := [name for name in options.configurations or () if name not in CONFIGURATIONS]:
        raise AutosegError(f'There is no configuration {some(unknown)}.{did_you_mean(unknown[0], CONFIGURATIONS)} There are: '
                           f'{", ".join(CONFIGURATIONS)}.')
    if options.planner not in PLANNERS:
        raise AutosegError(f'There is no planner "{options.planner}". There are: {", ".join(PLANNERS)}.')
    PLANNERS[options.planner].budget_for(options.memory_gb)


def findings(request: Request[PlanOptions], inspections: Sequence[Inspection[MeasuredVolume]]) -> list[Finding]:
    """Return all that is wrong with the dataset; every training case needs a label."""
    return inspection_findings(request.dataset, inspections, case_labels_suffice=False)


def plan(
    request: Request[PlanOptions], usable: Dataset, inspections: Sequence[Inspection[MeasuredVolume]], workers: int | None = None,
    progress: Progress | None = None,
) -> Planned[Plans]:
    """Make the fingerprint and the plans. usable: the dataset without cases that have errors.

    Reads the labels once more, to measure unions of labels. progress: called with each case that is done.
    Raises AutosegError where no case is left, the memory is too small, the images are too small for any network, a
    configuration that was asked for was not planned, or there is no such model as the plans are to follow.
    """
    model = None if request.options.pretrained is None else Pretrained.at(request.options.pretrained)
    fingerprint = with_unions(build_fingerprint(usable, inspections), usable, workers, progress)
    options, measured = request.options, measured_cases(usable, inspections)
    plans = PLANNERS[options.planner](usable, fingerprint, options.memory_gb, options.training_gpus)
    seen = fingerprint
    if model is not None:
        seen = in_order_of(model, fingerprint, [(name, case.fingerprint) for name, case in measured.items()])
        plans = following(plans, model, seen)
    points = {name: case.points_in(seen.orientation) for name, case in measured.items()}
    plans = with_visibility(plans, seen, usable.labels, points)
    chosen(plans, request.options)
    return Planned(plans, fingerprint)


def chosen(plans: Plans, options: PlanOptions) -> list[str]:
    """Return the configurations that were named, or all, in the order of the plans: a stage before the one that goes on from it.

    Raises AutosegError for one that was not planned.
    """
    configurations = options.configurations
    if unknown := [name for name in configurations or () if name not in plans.configurations]:
        raise AutosegError(
            f'{plans.dataset} has no configuration {", ".join(unknown)}. Planned were: {", ".join(plans.configurations)}.')
    return [name for name in plans.configurations if not configurations or name in configurations]


@dataclass(frozen=True)
class MainNumbers:
    """The main numbers of the plans. in_words: a line for each configuration, of left and right, and of classes at risk."""

    in_words: str


def counts(plans: Plans, folder: DatasetFolder) -> MainNumbers:
    """Return the main numbers of each configuration, what was found of left and right, and the classes at risk."""
    sides = [f"Left and right: {plans.sides.reason}"] if plans.sides and plans.sides.reason else []
    if plans.sides and plans.sides.pairs:
        sides.append("Labels of such pairs change places where training and prediction mirror left and right; --set mirror= of "
                     "autoseg_train decides otherwise.")
    return MainNumbers("\n".join([*(
        f"{name}: spacing {times(its.spacing_mm)} mm, patch {times(its.patch_size)} voxels, batch of {its.batch_size}, network "
        f"of {its.network.stages} stages ({its.network.name}), normalization {', '.join(dict.fromkeys(its.normalization))}"
        for name, its in plans.configurations.items()), *sides,
        *([f"Warning: {risks}"] if (risks := risks_in_words(plans)) else [])]))
