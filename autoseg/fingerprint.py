"""The fingerprint: what is measured over the training cases before anything is planned. Written to be read by people.

Small frozen models, one to one with `fingerprint.json`. The planners measure it; planning, splits, post-processing and the
report read it.
"""

from __future__ import annotations

from autoseg.plan import Frozen, IntensityStatistics


class LabelOfCase(Frozen):
    """One label value in one case.

    volume_ml, components: of the whole label. smallest_ml, largest_ml: of its components. touches: for each other label
    value, how many of this label's components touch it (share a face of a voxel). inside: the label value that encloses it
    on all sides.
    """

    volume_ml: float
    components: int
    smallest_ml: float
    largest_ml: float
    touches: dict[str, int] = {}
    inside: tuple[str, ...] = ()


class CaseFingerprint(Frozen):
    """One training case, axes (z, y, x) as in the file.

    spacing_mm: mm. shape: voxels of the image. shape_after_crop: voxels of the box that holds all non-zero voxels.
    share_kept: voxels of that box by voxels of the image, 0 to 1. orientation: where x, y and z run to, such as "LPS".
    labels: by label value. foreground_components: components of all labels together.
    """

    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    shape_after_crop: tuple[int, int, int]
    share_kept: float
    orientation: str
    labels: dict[str, LabelOfCase] = {}
    foreground_components: int = 0


class Range(Frozen):
    """Over the cases that hold the label."""

    minimum: float
    median: float
    maximum: float


class LabelOfDataset(Frozen):
    """One label value over all training cases.

    name: in dataset.json. cases: how many hold it. volume_ml, components: per case. smallest_ml: of all components.
    touches: for each other label value, the share of all this label's components that touch it, 0 to 1.
    inside: label values that enclose it in every case that holds it.
    """

    name: str
    cases: int
    volume_ml: Range
    components: Range
    smallest_ml: float
    touches: dict[str, float]
    inside: tuple[str, ...]


class Fingerprint(Frozen):
    """What is measured over all training cases.

    foreground_intensities: by channel index. orientations: number of cases with each. labels: by label value.
    """

    dataset: str
    versions: dict[str, str]
    channel_names: tuple[str, ...]
    foreground_intensities: dict[str, IntensityStatistics]
    orientations: dict[str, int]
    foreground_components: Range | None
    labels: dict[str, LabelOfDataset]
    cases: dict[str, CaseFingerprint]
