"""Planes stacked to volumes: one direction, equal distances, none missing, doubled or shifted; else what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.errors import many
from autoseg.image import Geometry
from autoseg.image_io.dicom.headers import APART, Plane
from autoseg.image_io.dicom.volume import DicomVolume, Refused, Series

PARALLEL_DEGREES = 0.1  # up to which planes count as parallel
SQUARE = 1e-3  # cosine between rows and columns up to which they count as perpendicular
REGULAR, REGULAR_MM = 0.05, 0.0501  # share of the slices' distance, and mm, by which one may lie off its place along the normal
SHIFTED = 0.1  # share of a pixel by which a slice may lie off its place in its plane
SAME_PLACE = 0.01  # share of the slices' usual distance up to which two lie in one place
FEWEST = 3  # slices whose distances can be compared
NOT_SQUARE = "Export the series again."


def stacks(series: Series, planes: Sequence[Plane], repair: bool = False) -> Iterator[DicomVolume | Refused]:
    """Yield the volumes in the frames of one series, told apart by size, direction, echo, time point and so on, and what is none.

    repair: fill gaps of whole slices and undo the tilt of a gantry, rather than refuse these.
    """
    by_size: dict[tuple[object, ...], list[Plane]] = defaultdict(list)
    for plane in planes:
        by_size[plane.size, tuple(round(mm, 4) for mm in plane.spacing_mm), plane.colour].append(plane)
    for alike in by_size.values():
        if any(plane.localizer for plane in alike):
            yield _refused(series, alike, "it is a localizer (scout)")
            continue
        directions = _by_direction(alike)
        if len(directions) > 1 and min(len(_places(part)) for part in directions) < FEWEST:
            worst = max(_degrees(alike[0], plane) for plane in alike)
            yield _refused(series, alike, f"its {len(alike)} slices are not parallel, but up to {worst:.3g} degrees apart",
                           "Give a series of parallel slices.", is_fault=len(alike) > FEWEST)
            continue
        for direction in directions:
            for part, distinct in _told_apart(direction):
                yield _stack(replace(series, part=part), distinct, repair)


def _refused(series: Series, planes: Sequence[Plane], reason: str, remedy: str = "", is_fault: bool = False) -> Refused:
    files = tuple(dict.fromkeys(plane.frame.path for plane in planes))
    return Refused(series, reason, remedy, is_fault, len(planes), files)


def _normal(plane: Plane) -> np.ndarray:
    normal = np.cross(plane.row, plane.column)
    return normal / np.linalg.norm(normal)


def _degrees(one: Plane, other: Plane) -> float:
    """Return the larger of the angles between the rows, and between the columns, of two planes."""
    cosines = [np.dot(one.row, other.row), np.dot(one.column, other.column)]
    return float(np.degrees(np.arccos(np.clip(min(cosines), -1, 1))))


def _by_direction(planes: Sequence[Plane]) -> list[list[Plane]]:
    groups: list[list[Plane]] = []
    for plane in planes:
        group = next((group for group in groups if _degrees(group[0], plane) <= PARALLEL_DEGREES), None)
        if group is None:
            groups.append([plane])
        else:
            group.append(plane)
    return groups


def _along(planes: Sequence[Plane]) -> np.ndarray:
    """Return the place of each plane along the normal of the first, mm."""
    return np.array([plane.frame.position_mm for plane in planes]) @ _normal(planes[0])


def _places(planes: Sequence[Plane]) -> list[int]:
    """Return how many planes lie in each place along the normal, from one end to the other."""
    along = np.sort(_along(planes))
    gaps = np.diff(along)
    usual = float(np.median(gaps[gaps > 1e-3])) if (gaps > 1e-3).any() else 0.0
    starts = np.flatnonzero(np.concatenate([[True], gaps > max(1e-3, SAME_PLACE * usual)]))
    return [int(count) for count in np.diff([*starts, len(along)])]


def _told_apart(planes: list[Plane], part: str = "") -> Iterator[tuple[str, list[Plane]]]:
    """Yield parts, each with its name, in which no place holds two frames, as far as headers tell them apart.

    An element of the header counts where each of its values covers half of the places or more: else it is chance, as where one
    slice was acquired again.
    """
    places = _places(planes)
    if max(places) > 1:
        for index in range(len(planes[0].apart)):
            parts: dict[str, list[Plane]] = defaultdict(list)
            for plane in planes:
                parts[plane.apart[index]].append(plane)
            if len(parts) > 1 and all(len(_places(its)) >= max(2, len(places) / 2) for its in parts.values()):
                for number, value in enumerate(sorted(parts, key=_by_number)):
                    name = f"{APART[index]} {value or 'none'}" if index < len(APART) else f"file {number + 1}"
                    yield from _told_apart(parts[value], f"{part}, {name}" if part else name)
                return
    yield part, planes


def _by_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return 0.0, value


@dataclass(frozen=True)
class _Sorted:
    """Planes in the order of their place. along: mm along the normal. shifts: (n, 2), mm by which each lies off the first one's
    place along rows and columns."""

    planes: list[Plane]
    along: np.ndarray
    shifts: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, planes: Sequence[Plane]) -> _Sorted:
        along = _along(planes)
        order = np.argsort(along, kind="stable")
        sorted_planes = [planes[index] for index in order]
        first = sorted_planes[0]
        normal = _normal(first)
        row = np.array(first.row)
        axes = np.stack([row, np.cross(normal, row), normal], axis=1)
        positions = np.array([plane.frame.position_mm for plane in sorted_planes])
        return cls(sorted_planes, along[order], (positions - positions[0]) @ axes[:, :2], axes)


def _stack(series: Series, planes: list[Plane], repair: bool) -> DicomVolume | Refused:
    first = planes[0]
    if len(planes) == 1:
        return _refused(series, planes, "it is a single image", "A volume has 3 slices or more.")
    if abs(np.dot(first.row, first.column)) > SQUARE:
        return _refused(series, planes, "its rows and columns are not perpendicular", NOT_SQUARE, is_fault=True)
    if min(first.spacing_mm) <= 0:
        return _refused(series, planes, f"its pixels have the size {first.spacing_mm} mm", NOT_SQUARE, is_fault=True)
    stack = _Sorted.of(planes)
    if problem := _doubled(stack):
        return _refused(series, planes, *problem, is_fault=True)
    if len(planes) < FEWEST:
        return _refused(series, planes, f"it has {many(len(planes), 'slice')}, too few to see whether one is missing",
                        f"A volume has {FEWEST} slices or more: export the whole series.", is_fault=True)
    gaps = np.diff(stack.along)
    distance = float(np.median(gaps))
    missing = _missing(gaps, distance)
    repairs = []
    if not missing:
        distance = float(gaps.sum()) / len(gaps)
        if not _is_regular(stack.along, distance):
            return _refused(series, planes, f"its slices lie {gaps.min():.4g} to {gaps.max():.4g} mm apart, not equally far",
                            "Reconstruct it with slices at equal distances.", is_fault=True)
    else:
        distance = float(gaps.sum()) / (len(gaps) + missing)
        if not repair:
            return _refused(series, planes, *_gap(stack, gaps, distance, missing), is_fault=True)
        repairs.append(f"{many(missing, 'missing slice')} interpolated from the slices beside")
    if (known := max(plane.slices for plane in planes)) > len(planes) + (missing or 0):
        return _refused(series, planes, f"it has {len(planes)} of the {known} slices that its header announces",
                        "Export the whole series.", is_fault=True)
    if problem := _tilted(stack, repair, repairs):
        return _refused(series, planes, *problem, is_fault=True)
    return _volume(series, stack, distance, tuple(repairs))


def _doubled(stack: _Sorted) -> tuple[str, str] | None:
    places = _places(stack.planes)
    if max(places) == 1:
        return None
    at = int(np.cumsum([0, *places])[places.index(max(places))])
    one, other = (stack.planes[index].frame for index in (at, at + 1))
    names = f"{one.path.name} and {other.path.name}" if one.path != other.path else f"frames {one.number} and {other.number}"
    twice = sum(count > 1 for count in places)
    hold = "hold" if twice > 1 else "holds"
    return (f"{many(twice, 'place')} of {len(places)} {hold} several slices ({names}), and no header tells them apart",
            "Leave one of each.")


def _missing(gaps: np.ndarray, distance: float) -> int | None:
    """Return how many slices are missing where all gaps are whole multiples of the usual distance; None where they are not."""
    multiples = np.rint(gaps / distance)
    if (multiples < 1).any() or (np.abs(gaps - multiples * distance) > REGULAR * 2 * distance + 1e-6).any():
        return None
    return int(multiples.sum()) - len(gaps)


def _is_regular(along: np.ndarray, distance: float) -> bool:
    off = np.abs(along - along[0] - distance * np.arange(len(along)))
    return bool(off.max() <= max(REGULAR * distance, REGULAR_MM))


def _gap(stack: _Sorted, gaps: np.ndarray, distance: float, missing: int) -> tuple[str, str]:
    at = int(gaps.argmax())
    names = [stack.planes[index].frame.path.name for index in (at, at + 1)]
    return (f"{many(missing, 'slice')} of {len(gaps) + 1 + missing} {'are' if missing > 1 else 'is'} missing: slices are "
            f"{distance:.4g} mm apart, but {gaps[at]:.4g} mm between {' and '.join(names)}",
            "Export the whole series again, or let the gaps be filled from the slices beside them with --repair.")


def _tilted(stack: _Sorted, repair: bool, repairs: list[str]) -> tuple[str, str] | None:
    """Return what is wrong with how the planes lie over each other; a tilt that may be mended is added to `repairs`."""
    first, length = stack.planes[0], stack.along[-1] - stack.along[0]
    pixel = min(first.spacing_mm)
    slope = stack.shifts[-1] / length
    if np.abs(stack.shifts - np.outer(stack.along - stack.along[0], slope)).max() > SHIFTED * pixel:
        return "its slices are shifted against each other, each in another way", "Export the series again."
    if np.abs(stack.shifts).max() > SHIFTED * pixel:
        degrees = float(np.degrees(np.arctan(np.hypot(*slope))))
        if not repair:
            step = float(np.hypot(*stack.shifts[1]))
            return (f"the gantry was tilted by {degrees:.3g} degrees: each slice lies {step:.3g} mm off the one before",
                    "Undo it with --repair, which resamples the slices, or with the scanner's software.")
        repairs.append(f"a gantry tilt of {degrees:.3g} degrees undone by shifting slices")
        return None
    tilt = max((plane.tilt_degrees for plane in stack.planes if plane.original), key=abs, default=0.0)
    is_straight = np.allclose(np.abs(stack.axes).max(0), 1, atol=1e-6)
    if abs(tilt) >= 0.5 and is_straight:
        return (f"its header says that the gantry was tilted by {tilt:g} degrees, and its directions say that it was not",
                "Correct the header, or export the series again.")
    return None


def _volume(series: Series, stack: _Sorted, distance: float, repairs: tuple[str, ...]) -> DicomVolume:
    first, frames = stack.planes[0], tuple(plane.frame for plane in stack.planes)
    rows, columns = first.size
    count = 1 + round(float(stack.along[-1] - stack.along[0]) / distance)
    along_y, along_x = first.spacing_mm
    low = np.floor(stack.shifts.min(0) / (along_x, along_y) + 1e-3) if repairs else np.zeros(2)
    high = np.ceil(stack.shifts.max(0) / (along_x, along_y) - 1e-3) if repairs else np.zeros(2)
    origin = np.array(first.frame.position_mm) + stack.axes[:, :2] @ (low * (along_x, along_y))
    extra_x, extra_y = (high - low).astype(int)
    x, y, z = map(float, origin)
    return DicomVolume(
        series, frames, (count, rows + int(extra_y), columns + int(extra_x)),
        Geometry((round(distance, 7), along_y, along_x), (x, y, z), tuple(map(float, stack.axes.ravel()))), repairs,
        "uint8" if first.colour else _dtype(stack.planes), 3 if first.colour else 1)


def _dtype(planes: Sequence[Plane]) -> str:
    """Return the type that holds all values: the stored one or a wider one, float32 where values are scaled."""
    stored = {plane.stored for plane in planes}
    if any(plane.slope != 1 or plane.intercept % 1 for plane in planes):
        return "float32"
    low = min(plane.intercept - (2 ** (plane.bits - 1) if plane.stored.startswith("i") else 0) for plane in planes)
    high = max(plane.intercept + 2 ** (plane.bits - plane.stored.startswith("i")) - 1 for plane in planes)
    fitting = [name for name in (*sorted(stored), "int16", "int32") if np.iinfo(name).min <= low and high <= np.iinfo(name).max]
    return fitting[0] if fitting else "float32"
