"""Measurements that classifiers are planned from: each case is measured once, and what is wrong with targets is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError, many, some
from autoseg.evaluation.cross_validation import USUAL_FOLDS
from autoseg.evaluation.roc import auroc
from autoseg.groups import patients_of
from autoseg.intensities import is_ct
from autoseg.pictures import COLOUR_NAMES, GRAY_NAMES, is_gray, is_picture
from autoseg.planners.classification.request import Request
from autoseg.planners.request import measured_cases
from autoseg.planners.sampling import sample_intensities
from autoseg.preprocessing.crop import Box, nonzero_box
from autoseg.tasks.classification.framing import region_box
from autoseg.tasks.classification.plan import Covariate
from autoseg.tasks.classification.regions import OWN_LABELS, read_region
from autoseg.tasks.classification.sheets import number_of
from autoseg.tasks.classification.targets import Known
from autoseg.training_images import ImageMeasures, measure_image
from autoseg.verification.case import ONE_VALUE, CheckedCase
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.verification.inspection import Inspection, inspection_findings

GIVES_AWAY = 0.98  # AUROC of a covariate alone, from which on it is likely to be another word for the class


@dataclass(frozen=True)
class MeasuredView:
    """The measures of one case that a classifier is planned from.

    channels: of the image. picture: whether it is a single slice, gray: whether it has no colour. spacing_mm, box: (z, y, x) in
    the most frequent orientation; box: of the foreground, or of the labelled region. samples: (C, 10 000) float32, intensities of
    non-zero voxels, where a channel is CT; else None. orientation: None where the file does not say it. image: what predictions
    are compared with.
    """

    channels: int
    picture: bool
    gray: bool
    spacing_mm: tuple[float, ...]
    box: Box
    samples: np.ndarray | None
    orientation: str | None
    image: ImageMeasures

    @property
    def extent(self) -> tuple[int, ...]:
        """Return the voxels of the box, (z, y, x)."""
        return tuple(stop - start for start, stop in self.box)

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """Return the extent of the box, mm, (z, y, x)."""
        return tuple(voxels * mm for voxels, mm in zip(self.extent, self.spacing_mm, strict=True))


def measure(checked: CheckedCase, dataset: Dataset, request: Request) -> MeasuredView | None:
    """Measure a case; None where it cannot be seen, which is an error."""
    image, file = checked.image, checked.case.images[0]
    if image is None:
        return None
    checked.drop("cropped_away")
    if all(channel.min() == channel.max() for channel in image.array):
        checked.drop("one_value")
        checked.note(file, "error", "one_value", ONE_VALUE, f"Look whether it was exported correctly, {LEAVE_OUT}.")
        return None
    order = request.order_of(image)
    turned, picture = order.of(image.array), is_picture(image.array)
    box = nonzero_box(turned)
    if request.options.roi is not None:
        try:
            own = None if checked.label is None else checked.label.array[0]
            region = own if request.options.roi == OWN_LABELS else read_region(
                Path(request.options.roi), checked.case.name, image)
            box = box if region is None else region_box(order.of(region), checked.case.name)
        except AutosegError as error:
            checked.note(checked.case.label or file, "error", "empty_label", str(error), f"Label it, {LEAVE_OUT}.")
            return None
    needs_samples = any(map(is_ct, dataset.channel_names))
    return MeasuredView(
        channels=len(image.array), picture=picture, gray=picture and is_gray(image.array),
        spacing_mm=tuple(image.geometry.spacing_mm[axis] for axis in order.axes), box=box,
        samples=sample_intensities(turned, None, nonzero_box(turned), None)[0] if needs_samples else None,
        orientation=image.geometry.orientation, image=measure_image(image))


@dataclass(frozen=True)
class ImageFormat:
    """The common format of a dataset's images: whether they are pictures or volumes, and their channels."""

    pictures: bool
    channel_names: tuple[str, ...]


def common_format(request: Request, inspections: Sequence[Inspection[MeasuredView]]) -> ImageFormat:
    """Return whether the images are pictures or volumes, and their channels: as dataset.json says, else as most have them."""
    cases = list(measured_cases(request.dataset, inspections).values())
    pictures = 2 * sum(case.picture for case in cases) > len(cases)
    alike = [case for case in cases if case.picture == pictures]
    counted = Counter(1 if case.gray else case.channels for case in alike)
    channels = counted.most_common(1)[0][0] if counted else 1
    usual = GRAY_NAMES if channels == 1 else COLOUR_NAMES if channels == 3 and pictures else tuple(
        f"channel_{number}" for number in range(channels))
    return ImageFormat(pictures, request.dataset.channel_names or usual)


def findings(request: Request, inspections: Sequence[Inspection[MeasuredView]]) -> list[Finding]:
    """Return all that is wrong with the dataset, its targets and its covariates."""
    common, training, judged = common_format(request, inspections), set(request.dataset.training), []
    for entry in inspections:
        misfit = _misfit(entry.case, entry.measured, common) if entry.measured and entry.case in training else None
        judged.append(replace(entry, findings=[misfit, *entry.findings] if misfit else entry.findings))
    return [*inspection_findings(request.dataset, judged, classes_are_learned=False), *_of_targets(request)]


def _misfit(case: Case, found: MeasuredView, common: ImageFormat) -> Finding | None:
    """Return why a case cannot be seen like the others; None where it can."""
    planned = len(common.channel_names)
    if found.picture != common.pictures:
        kind = "picture of one slice, and most others are volumes" if found.picture else "volume, and most others are pictures"
        return Finding(case=case.name, file=str(case.images[0]), severity="error", code="dimensions", problem=f"it is a {kind}",
                       remedy=f"Keep pictures and volumes in datasets of their own, {LEAVE_OUT}.")
    if found.channels == planned or (found.picture and ((planned == 1 and found.gray) or (planned == 3 and found.channels == 1))):
        return None
    if found.picture and (found.channels, planned) == (3, 1):
        return Finding(case=case.name, file=str(case.images[0]), severity="warning", code="colour",
                       problem="it is a colour picture, and most others are gray: it is seen in gray, as the mean of its colours",
                       remedy="Look whether its colour means something, such as a mark that somebody drew.")
    return Finding(
        case=case.name, file=str(case.images[0]), severity="error", code="channels",
        problem=f"the image has {found.channels} channel(s), and most others have {planned} ({some(common.channel_names)})",
        remedy=f"Give the same channels for each case, {LEAVE_OUT}.")


def _of_targets(request: Request) -> Iterator[Finding]:
    """Find what is wrong with targets and covariates and can be lived with."""
    known = request.known

    def warning(problem: str, remedy: str) -> Finding:
        return Finding(case="", file=str(known.where), severity="warning", code="targets", problem=problem, remedy=remedy)

    for fault in known.faults:
        yield warning(fault.text, "Look whether that is meant; correct the table where it is not.")
    rare = [f"{name} ({many(count, 'case')})" for name, count in known.target.counts().items() if count < USUAL_FOLDS]
    if rare:
        yield warning(f"fewer cases than the {USUAL_FOLDS} folds have: {some(rare)}",
                      "Some folds validate on none of them. Add cases, or join classes.")
    for name, reason in known.unused.items():
        yield warning(f"the column {name} is not used as a covariate: {reason}", "Nothing needs to be done, or correct it.")
    for name, area in giving_away(known).items():
        yield warning(f"the covariate {name} alone tells the class (AUROC {area:.3f})",
                      "Look whether it is known before the class is, and leave it out with --covariates where it is not.")
    yield from _torn_patients(request, warning)


def _torn_patients(request: Request, warning: Callable[[str, str], Finding]) -> Iterator[Finding]:
    """Find patients whose cases have different classes."""
    dataset, target = request.dataset, request.known.target
    together = patients_of([case.name for case in dataset.training], dataset.groups).together
    torn = {patient: members for patient, members in together.items()
            if len({target.of_case[case] for case in members if case in target.of_case}) > 1}
    if torn:
        shown = some(f"{patient}: {', '.join(members[:3])}" for patient, members in torn.items())
        yield warning(f"{many(len(torn), 'patient')} with cases of different classes ({shown})",
                      "Look whether that is so: a lesion may have come or gone, or a row may be wrong.")


def giving_away(known: Known) -> dict[str, float]:
    """Return the covariates that alone tell a class, with the AUROC: of a number, or of a category's share of the class."""
    found, target = dict[str, float](), known.target
    cases = [case for case in target.of_case if case in known.cells]
    for index, covariate in enumerate(known.covariates):
        texts = [known.cells[case][index] for case in cases]
        best = 0.0
        for number in range(len(target.classes)):
            truth = np.array([target.of_case[case][number] == 1 if target.kind == "labels" else target.of_case[case][0] == number
                              for case in cases], bool)
            if truth.any() and not truth.all():
                area = _alone(covariate, texts, truth)
                best = max(best, area, 1 - area)
        if best > GIVES_AWAY:
            found[covariate.name] = best
    return found


def _alone(covariate: Covariate, texts: Sequence[str], truth: np.ndarray) -> float:
    if covariate.kind == "number":
        values = [number_of(text) for text in texts]
        there = np.array([value is not None for value in values])
        if not truth[there].any() or truth[there].all():
            return 0.5
        return auroc(np.array([value for value in values if value is not None]), truth[there])
    share = {text: float(np.mean([true for its, true in zip(texts, truth, strict=True) if its == text])) for text in set(texts)}
    return auroc(np.array([share[text] for text in texts]), truth)
