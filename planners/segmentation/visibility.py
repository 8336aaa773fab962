"""The share of each class in what a training's patches show, and the classes that may therefore never be found.

Voxels of each label value are taken while a case is measured; once the patch is known, patches are laid over them as training
does (Isensee et al. 2021): anywhere in the image, and a third of each batch on foreground.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.dataset import Labels
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.plan import Configuration, Plans, Visibility
from autoseg.preprocessing.crop import Box, crop
from autoseg.preprocessing.pipeline import target_spacing_mm
from autoseg.preprocessing.resample import resampled_shape
from autoseg.voxels import slabs

POINTS_PER_CASE = 2000  # of all label values together
FEWEST_POINTS = 50  # of each
PATCHES = 500  # of either kind, over all cases: the standard error of a share is 2 % at most
FOREGROUND_SHARE = 1 / 3  # of a batch: nnU-Net's, which trainings have unless told otherwise
AT_RISK_SHARE = 1.5e-3  # of all voxels that training shows; short trainings lost a class at 1.0e-3 (docs/dice_is_zero.md)
SEED = 1234


@dataclass(frozen=True)
class PointsOfLabel:
    """Some voxels of a label value in one case, evenly spread over them.

    stands_for: how many voxels each is one of. places: (N, 3) float32, where they lie along each axis of the box that
    preprocessing keeps: 0 at its first edge, 1 at its last.
    """

    stands_for: int
    places: np.ndarray

    def along(self, axes: Sequence[int]) -> PointsOfLabel:
        """Return the points with these axes as axes 0, 1, 2."""
        return PointsOfLabel(self.stands_for, self.places[:, list(axes)])


Points = dict[int, PointsOfLabel]  # by label value; background's only where another label is to be ignored


def sample_points(labels: np.ndarray, box: Box, counts: Mapping[int, int], ignore: int | None) -> Points:
    """Return every so many-th voxel of each label value inside `box`.

    labels: (Z, Y, X) non-negative integers. counts: voxels of each value in all of it. ignore: a value that is left out; where
    there is one, background's voxels are drawn, too, as patches then lie on annotated voxels only.
    """
    inside = crop(labels, box)
    wanted = {value: count for value, count in counts.items() if value != ignore and (value or ignore is not None)}
    most = max(FEWEST_POINTS, POINTS_PER_CASE // max(1, len(wanted)))
    steps = {value: max(1, count // most) for value, count in wanted.items()}
    found: dict[int, list[np.ndarray]] = {value: [] for value in wanted}
    passed = dict.fromkeys(wanted, 0)
    narrow = np.uint16 if max(counts, default=0) < 2**16 else np.int64  # 16 bits are sorted by counting
    layer = inside.shape[1] * inside.shape[2]
    for part in slabs(inside.shape):
        slab = inside[part].ravel()
        positions = np.flatnonzero(slab) if ignore is None else np.flatnonzero(slab != ignore)
        values = slab[positions].astype(narrow, copy=False)
        ordered = np.argsort(values, kind="stable")
        ends = [np.searchsorted(values[ordered], list(wanted), side) for side in ("left", "right")]
        for value, start, stop in zip(wanted, *map(np.ndarray.tolist, ends), strict=True):
            first = start + -passed[value] % steps[value]
            found[value].append(positions[ordered[first:stop:steps[value]]] + part.start * layer)
            passed[value] += stop - start
    points = {value: np.concatenate(parts) for value, parts in found.items() if parts}
    return {value: PointsOfLabel(steps[value], _places(flat, inside.shape)) for value, flat in points.items()}


def _places(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return ((np.stack(np.unravel_index(flat, shape), axis=1) + 0.5) / shape).astype(np.float32)


def with_visibility(plans: Plans, fingerprint: Fingerprint, labels: Labels, points: Mapping[str, Points]) -> Plans:
    """Add to each configuration how much its patches show of each class. points: of each case, axes as the fingerprint's."""
    configurations = {
        name: its.model_copy(update={"visibility": visibility_in(its, plans.transpose, fingerprint, labels, points)})
        for name, its in plans.configurations.items()}
    return plans.model_copy(update={"configurations": configurations})


def at_risk(share: float, voxels: float, patch_voxels: int) -> bool:
    """Tell whether less than 1.5 in 1000 of the voxels that training shows are of a class.

    share: of training's patches, those that hold it. voxels: in such a patch.
    """
    return share * voxels / patch_voxels < AT_RISK_SHARE


def visibility_in(
    its: Configuration, transpose: Sequence[int], fingerprint: Fingerprint, labels: Labels, points: Mapping[str, Points]
) -> dict[str, Visibility]:
    """Return how much a configuration's patches show of each class or region that a case holds, by name."""
    rng = np.random.default_rng(SEED)
    patch = np.array((1,) * (3 - its.dimensions) + its.patch_size, np.int32)
    number = math.ceil(PATCHES / max(1, len(points)))
    anywhere, on_foreground = [], []
    for name, of_case in points.items():
        case = _Case.on_grid(fingerprint.cases[name], its, transpose, of_case, labels)
        voxels = case.voxels_in(case.draw(patch, number, labels.ignore is not None, rng), patch)
        anywhere.append(voxels[:number])
        on_foreground.append(voxels[number:])
    if not points:
        return {}
    random, foreground = np.concatenate(anywhere), np.concatenate(on_foreground)
    forced = 1 - round(its.batch_size * (1 - FOREGROUND_SHARE)) / its.batch_size
    found = {}
    for name, of_random, of_foreground in zip(labels.foreground, random.T, foreground.T, strict=True):
        voxels = np.concatenate([of_random, of_foreground])
        if not voxels.any():
            continue
        random_share, middle = float((of_random > 0).mean()), float(np.median(voxels[voxels > 0]))
        share = (1 - forced) * random_share + forced * float((of_foreground > 0).mean())
        found[name] = Visibility(random_share=round(random_share, 4), training_share=round(share, 4), voxels=round(middle, 1),
                                 at_risk=at_risk(share, middle, int(np.prod(patch))))
    return found


@dataclass(frozen=True)
class _Case:
    """A case on a configuration's grid. shape: (3,) voxels. points: (N, 3) int32 voxels. voxels: (N, classes) how many voxels of
    each class a point stands for. stand_for: (N,) how many voxels of all."""

    shape: np.ndarray
    points: np.ndarray
    voxels: np.ndarray
    stand_for: np.ndarray

    @classmethod
    def on_grid(
        cls, case: CaseFingerprint, its: Configuration, transpose: Sequence[int], points: Points, labels: Labels
    ) -> _Case:
        cropped = [case.shape_after_crop[axis] for axis in transpose]
        spacing_mm = [case.spacing_mm[axis] for axis in transpose]
        shape = np.array(resampled_shape(cropped, spacing_mm, target_spacing_mm(spacing_mm, its)), np.int32)
        numbers = [len(of_label.places) for of_label in points.values()]
        places = np.concatenate([np.zeros((0, 3), np.float32), *(of_label.places for of_label in points.values())])
        growth = math.prod(shape.tolist()) / math.prod(cropped)
        stand_for = np.array([of_label.stands_for * growth for of_label in points.values()])
        is_of = np.array([[value in values for values in labels.foreground.values()] for value in points], bool)
        is_of = is_of.reshape(len(points), len(labels.foreground))
        return cls(shape, (places[:, list(transpose)] * shape).astype(np.int32),
                   np.repeat(is_of * stand_for[:, None], numbers, axis=0), np.repeat(stand_for, numbers))

    def draw(self, patch: np.ndarray, number: int, on_annotated: bool, rng: np.random.Generator) -> np.ndarray:
        """Return the lowest voxels of `number` patches anywhere, then of as many on foreground: (2 · number, 3)."""
        lowest = -(np.maximum(patch - self.shape, 0) // 2)
        highest = np.maximum(self.shape - patch, lowest)
        anywhere = rng.integers(lowest, highest + 1, (number, 3))
        if on_annotated and len(self.points):
            anywhere = np.maximum(lowest, self._some(self.stand_for, number, rng) - patch // 2)
        holding = np.flatnonzero(self.voxels.any(axis=0))
        if not len(holding):
            return np.concatenate([anywhere, anywhere])
        times = np.bincount(rng.integers(len(holding), size=number), minlength=len(holding))
        centres = [self._some(self.voxels[:, index], count, rng) for index, count in zip(holding, times, strict=True) if count]
        return np.concatenate([anywhere, np.maximum(lowest, np.concatenate(centres) - patch // 2)])

    def _some(self, weights: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
        ends = np.cumsum(weights)
        drawn: np.ndarray = self.points[np.searchsorted(ends, rng.random(number) * ends[-1], side="right")]
        return drawn

    def voxels_in(self, corners: np.ndarray, patch: np.ndarray) -> np.ndarray:
        """Return the voxels of each class in each patch, (patches, classes). corners: (patches, 3) lowest voxels."""
        inside = np.ones((len(corners), len(self.points)), bool)
        for axis, low in enumerate(corners.T.astype(np.int32)[:, :, None]):
            along = self.points[:, axis]
            inside &= along >= low
            inside &= along < low + patch[axis]
        voxels: np.ndarray = inside.astype(np.float32) @ self.voxels.astype(np.float32)
        return voxels
