"""One prediction against its reference: all metrics of all classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoseg import image_io, layouts
from autoseg.dataset import Labels, grid_differences
from autoseg.errors import AutosegError
from autoseg.evaluation.lesions import LesionCounts, lesion_counts_by_value
from autoseg.evaluation.metrics import ConfusionCounts, class_keys, confusion_counts, counts_by_class, mean_without_nan
from autoseg.evaluation.plausible import image_fault
from autoseg.evaluation.surface import SurfaceDistances, surface_distances_by_value
from autoseg.image import Image
from autoseg.plan import Frozen
from autoseg.preprocessing.crop import Box, nonzero_box
from autoseg.verification.label_names import misnamed
from autoseg.voxels import joint_counts

BYTES_PER_VOXEL = 12  # reference, prediction, the components of one of them, and their surfaces


class Volumes(Frozen):
    """The volumes of one class in one case, ml."""

    prediction: float
    reference: float


class CaseSummary(Frozen):
    """The metrics of one case. metrics: by class key, then by metric.

    Dice, IoU, NSD, lesion_F1: 0 to 1. HD95, ASSD: mm. volume_error_ml: prediction − reference. FP, TP, FN, TN, n_pred,
    n_ref: voxels. lesion_TP, lesion_FP, lesion_FN: components. All but the volume error and the numbers are nan where
    reference and prediction are both empty; where one is, HD95 and ASSD are inf and the others 0.
    """

    metrics: dict[str, dict[str, int | float]]
    prediction_file: str
    reference_file: str
    volumes_ml: dict[str, Volumes]

    @property
    def case(self) -> str:
        return layouts.stem(Path(self.reference_file))

    @property
    def mean_dice(self) -> float:
        """Return the mean Dice over the classes that reference or prediction hold; nan where neither holds any."""
        return mean_without_nan([float(of_class["Dice"]) for of_class in self.metrics.values()])


class Pair(NamedTuple):
    """A prediction and its reference."""

    case: str
    reference: Path
    prediction: Path

    def __str__(self) -> str:
        return f"case {self.case}"


class Surface(NamedTuple):
    """The surface distances of one class in one case; see `surface.SurfaceDistances`."""

    hd95_mm: float
    assd_mm: float
    nsd: float


class Compared(NamedTuple):
    """The counts and distances of one case. surfaces, lesions: by class key, of the classes that occur in it."""

    pair: Pair
    joint: dict[tuple[int, int], int]
    voxel_ml: float
    surfaces: dict[str, Surface]
    lesions: dict[str, LesionCounts]


class _Layer(NamedTuple):
    """The label volumes (Z, Y, X) in which the voxels of each class have one value. values: by class key."""

    values: dict[str, int]
    reference: np.ndarray
    prediction: np.ndarray


def compare(pair: Pair, labels: Labels | None, tolerance_mm: float) -> Compared:
    """Read both files and compare them. labels: None for one class per value that occurs.

    Raises AutosegError, naming case and files, where one cannot be read, holds a negative value or an image, names its own values
    otherwise than `labels`, or where they do not lie on one grid.
    """
    reference, prediction = read_pair(pair)
    for path in (pair.reference, pair.prediction):
        if labels is not None and (problems := misnamed(path, labels)):
            raise AutosegError(f"{pair}: {path}: {problems[0]}. Compare files whose numbers mean the same.")
    mine, theirs, spacing_mm = reference.array[0], prediction.array[0], reference.geometry.spacing_mm
    joint = joint_counts(mine, theirs)
    for index, (path, array) in enumerate(((pair.reference, mine), (pair.prediction, theirs))):
        if fault := image_fault(array, {values[index] for values in joint}):
            raise AutosegError(f"{pair}: {path} is no label: {fault}.")
    surfaces, lesions = {}, {}
    for layer in _layers(mine, theirs, labels or labels_that_occur(joint)):
        distances = surface_distances_by_value(layer.reference, layer.prediction, spacing_mm)
        surfaces.update({key: _surface(distances[v], tolerance_mm) for key, v in layer.values.items() if v in distances})
        counts = lesion_counts_by_value(layer.reference, layer.prediction)
        lesions.update({key: counts[value] for key, value in layer.values.items() if value in counts})
    return Compared(pair, joint, float(np.prod(spacing_mm)) / 1000, surfaces, lesions)


def overlap(
    reference: np.ndarray, prediction: np.ndarray, labels: Labels, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> tuple[float, float]:
    """Return Dice and normalised surface Dice, each the mean over the classes that one of two label volumes (Z, Y, X) holds.

    They are those of `compare`, without what takes longer; nan where neither holds any. Raises AutosegError where the shapes
    differ.
    """
    dices = [counts.dice for counts in confusion_counts(reference, prediction, labels).values()]
    surfaces = []
    for layer in _layers(reference, prediction, labels):
        distances = surface_distances_by_value(layer.reference, layer.prediction, spacing_mm)
        surfaces += [distances[value].nsd(tolerance_mm) for value in layer.values.values() if value in distances]
    return mean_without_nan(dices), mean_without_nan(surfaces)


def read_pair(pair: Pair) -> tuple[Image, Image]:
    """Return reference and prediction, each (1, Z, Y, X) non-negative integers. Raises AutosegError where `compare` does."""
    reference = image_io.read_label(pair.reference, pair.prediction)
    prediction = image_io.read_label(pair.prediction, pair.reference)
    if differing := grid_differences(reference, prediction):
        raise AutosegError(
            f"{pair}: the prediction {pair.prediction} does not lie on the grid of its reference {pair.reference}: "
            f"{differing}. Predict the image again, or resample the prediction.")
    for path, image in ((pair.reference, reference), (pair.prediction, prediction)):
        if image.array.size and image.array.min() < 0:
            raise AutosegError(f"{pair}: {path} holds negative values, so it is no label. Give the folder of the labels.")
    return reference, prediction


def labels_that_occur(*joints: Mapping[tuple[int, int], int]) -> Labels:
    """Return labels with one class per value, from counts of (reference value, predicted value)."""
    values = {value for joint in joints for pair in joint for value in pair}
    return Labels(values={"background": 0, **{str(value): value for value in sorted(values - {0})}})


def case_summary(entry: Compared, labels: Labels) -> CaseSummary:
    """Return all metrics of all classes of `labels`, those that do not occur in the case included."""
    counts = counts_by_class(entry.joint, labels)
    volumes_ml = {
        key: Volumes(prediction=of_class.n_pred * entry.voxel_ml, reference=of_class.n_ref * entry.voxel_ml)
        for key, of_class in counts.items()
    }
    nan = float("nan")
    return CaseSummary(
        metrics={
            key: _metrics(
                of_class, volumes_ml[key], entry.surfaces.get(key, Surface(nan, nan, nan)),
                entry.lesions.get(key, LesionCounts(tp=0, fp=0, fn=0)))
            for key, of_class in counts.items()
        },
        prediction_file=str(entry.pair.prediction), reference_file=str(entry.pair.reference), volumes_ml=volumes_ml)


def _metrics(counts: ConfusionCounts, volume: Volumes, surface: Surface, lesions: LesionCounts) -> dict[str, int | float]:
    return {
        "Dice": counts.dice, "FN": counts.fn, "FP": counts.fp, "IoU": counts.iou, "TN": counts.tn, "TP": counts.tp,
        "n_pred": counts.n_pred, "n_ref": counts.n_ref, "HD95": surface.hd95_mm, "ASSD": surface.assd_mm,
        "NSD": surface.nsd, "volume_error_ml": volume.prediction - volume.reference, "lesion_F1": lesions.f1,
        "lesion_TP": lesions.tp, "lesion_FP": lesions.fp, "lesion_FN": lesions.fn,
    }


def _surface(distances: SurfaceDistances, tolerance_mm: float) -> Surface:
    return Surface(distances.hd95_mm, distances.assd_mm, distances.nsd(tolerance_mm))


def _layers(reference: np.ndarray, prediction: np.ndarray, labels: Labels) -> Iterator[_Layer]:
    """Yield the layers of a case: all classes of one value together in one layer, each region in a layer of its own.

    Voxels whose reference is the ignore value are removed from both: they match nothing.
    """
    if labels.ignore is not None and (ignored := reference == labels.ignore).any():
        reference, prediction = np.where(ignored, 0, reference), np.where(ignored, 0, prediction)
    regions = {key: values for key, values in class_keys(labels).items() if len(values) > 1}
    classes = {key: next(iter(values)) for key, values in class_keys(labels).items() if key not in regions}
    if classes:
        yield _Layer(classes, reference, prediction)
    if regions:
        for key, values in regions.items():
            masks = [_is_one_of(volume, values) for volume in (reference, prediction)]
            if masks[0].any() or masks[1].any():
                box = _around(nonzero_box(np.stack(masks)))
                yield _Layer({key: 1}, masks[0][box], masks[1][box])


def _around(box: Box) -> tuple[slice, ...]:
    """Return the box and one voxel more on each side: an axis of it has a single voxel only where the volume has."""
    return tuple(slice(max(0, start - 1), stop + 1) for start, stop in box)


def _is_one_of(labels: np.ndarray, values: frozenset[int]) -> np.ndarray:
    """Return (Z, Y, X) uint8: 1 where the label is one of the values, else 0."""
    mask = np.zeros(labels.shape, bool)
    for value in values:
        mask |= labels == value
    return mask.view(np.uint8)
