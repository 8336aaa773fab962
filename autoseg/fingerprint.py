"""The fingerprint: what is measured over the training cases before anything is planned. Written to be read by people.

Small frozen models, one to one with `fingerprint.json`. The planners measure it; planning, splits, post-processing and the
report read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from autoseg.bounds import Count, Finite, LabelValue, LabelValues, NotNegative, PositiveMl, PositiveMm, Share, Voxels
from autoseg.image import axis_order
from autoseg.plan import Frozen, IntensityStatistics, TrainingImages

LINKED_SHARE = 0.9  # share of a label's components that touch another label: nearly always


class LabelOfCase(Frozen):
    """The measures of one label value in one case.

    volume_ml, components: of the whole label. smallest_ml, largest_ml: of its components. touches: for each other label
    value, how many of this label's components touch it (share a face, an edge or a corner of a voxel). inside: the label
    value that encloses it on all sides. centre_mm: of all its voxels, (x, y, z) in DICOM's frame (x grows towards the patient's
    left), of labels that are named as left or right; None where the file says no directions.
    """

    volume_ml: NotNegative
    components: Count
    smallest_ml: PositiveMl
    largest_ml: NotNegative
    touches: dict[LabelValue, Count] = {}
    inside: tuple[LabelValue, ...] = ()
    centre_mm: tuple[Finite, Finite, Finite] | None = None


class UnionOfCase(Frozen):
    """The components of a union of label values in one case.

    main_components: the number of those of at least 5 % of the union's volume, and the largest in any case; the others are
    specks, such as a slip of the pen. smallest_ml: of all components. largest_speck_ml: 0 without specks. farthest_speck_mm: from
    the main components, between the centres of voxels.
    """

    components: Count
    main_components: Count
    smallest_ml: PositiveMl
    largest_speck_ml: NotNegative = 0.0
    farthest_speck_mm: NotNegative = 0.0


class NearLabels(Frozen):
    """The surroundings of labelled voxels in a channel of a case: the least of what any of them has within some mm of it.

    highest: value, in the image's own unit. varies: by how much values differ, as a share of the whole image's range.
    """

    highest: Finite
    varies: Share


class CaseFingerprint(Frozen):
    """The measures of one training case, axes (z, y, x) in the dataset's order (see `Fingerprint.orientation`).

    spacing_mm: mm. shape: voxels of the image. shape_after_crop: voxels of the box that holds all non-zero voxels.
    share_kept: voxels of that box by voxels of the image, 0 to 1. orientation: where x, y and z run to in the file, such as
    "LPS"; None where the file does not say it.
    labels: by label value. foreground_components: components of all labels together. unions: by label values ("1+2"),
    those that are of more than one component here. near_labels: of each channel; empty where nothing is labelled.
    """

    spacing_mm: tuple[PositiveMm, PositiveMm, PositiveMm]
    shape: tuple[Voxels, Voxels, Voxels]
    shape_after_crop: tuple[Voxels, Voxels, Voxels]
    share_kept: Share
    orientation: str | None
    labels: dict[LabelValue, LabelOfCase] = {}
    foreground_components: Count = 0
    unions: dict[LabelValues, UnionOfCase] = {}
    near_labels: tuple[NearLabels, ...] = ()

    def in_order(self, orientation: str | None) -> CaseFingerprint:
        """Return the measures, taken along the axes of the file, along those of an orientation."""
        z, y, x = axis_order(self.orientation, orientation, self.shape).axes
        return self.model_copy(update={
            name: (along[z], along[y], along[x])
            for name in ("spacing_mm", "shape", "shape_after_crop") if (along := getattr(self, name))})


class Range(Frozen):
    """The range of a measure over the cases that hold the label."""

    minimum: Finite
    median: Finite
    maximum: Finite


def _is_of_counts(its: Range) -> Range:
    if not all(1 <= value < 2**31 for value in (its.minimum, its.median, its.maximum)):
        raise ValueError("must be numbers of components, 1 or more")
    return its


def _is_not_negative(its: Range) -> Range:
    if min(its.minimum, its.median, its.maximum) < 0:
        raise ValueError("must not be negative")
    return its


Counts = Annotated[Range, AfterValidator(_is_of_counts)]
Sizes = Annotated[Range, AfterValidator(_is_not_negative)]


class LabelOfDataset(Frozen):
    """The measures of one label value over all training cases.

    name: in dataset.json. cases: how many hold it. volume_ml, components: per case. smallest_ml: of all components.
    touches: for each other label value, the share of all this label's components that touch it, 0 to 1.
    inside: label values that enclose it in every case that holds it.
    """

    name: str
    cases: Count
    volume_ml: Sizes
    components: Counts
    smallest_ml: PositiveMl
    touches: dict[LabelValue, Share]
    inside: tuple[LabelValue, ...]


class UnionOfDataset(Frozen):
    """The components of a union of label values over all training cases that hold one of them.

    components, main_components: per case. smallest_ml: of all components. largest_speck_ml, farthest_speck_mm: over the
    cases with specks (see `UnionOfCase`); None where there is none.
    """

    labels: tuple[int, ...]
    cases: Count
    components: Counts
    main_components: Counts
    smallest_ml: PositiveMl
    cases_with_specks: Count = 0
    largest_speck_ml: Sizes | None = None
    farthest_speck_mm: Sizes | None = None


class SidePair(Frozen):
    """Two labels or regions whose names say that they are the left and the right one of a structure.

    left, right: their names. cases: that hold both. left_is_left: in how many of these `left` lies farther on the patient's left.
    is_mirrored: whether they are taken for mirror images of each other, and reason: why, or why not.
    """

    left: str
    right: str
    cases: Count
    left_is_left: Count
    is_mirrored: bool
    reason: str


def union_key(labels: Sequence[int]) -> str:
    """Return the key of a union of label values in fingerprint.json, such as "1+2"."""
    return "+".join(map(str, labels))


def linked(labels: Mapping[str, LabelOfDataset]) -> list[tuple[int, int]]:
    """Return the pairs (a, b) of label values of which at least 9 of 10 of a's components touch b."""
    return [
        (int(value), int(other)) for value, label in labels.items() for other, share in label.touches.items()
        if share >= LINKED_SHARE
    ]


class Fingerprint(Frozen):
    """The measures over all training cases.

    foreground_intensities: by channel index. orientations: number of cases with each, as stored. orientation: the most frequent
    of them, to which every image is brought; None where no case says it. labels: by label value. unions: by label values
    ("1+2"): each label, each region, labels of which one (nearly) always touches the other, all foreground. images: the
    range of what prediction compares each image with. sides: labels that are named as left and right of one structure.
    """

    remedy: ClassVar[str] = "To make it anew: autoseg_plan_and_preprocess {dataset}"

    dataset: str
    versions: dict[str, str]
    channel_names: tuple[str, ...]
    foreground_intensities: dict[str, IntensityStatistics]
    orientations: dict[str, Count]
    orientation: str | None = None
    foreground_components: Range | None
    labels: dict[LabelValue, LabelOfDataset]
    unions: dict[LabelValues, UnionOfDataset] = {}
    images: TrainingImages | None = None
    sides: tuple[SidePair, ...] = ()
    cases: dict[str, CaseFingerprint]
