"""Levels in files: a locator opened for `autoseg_predict`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.device import device_in_words, resolve_device
from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import write_rows
from autoseg.image import Image
from autoseg.image_io import file_ending, float_ending, part_of, write_image
from autoseg.inference.cases import Written, predict_cases
from autoseg.inference.checkpoints import origin_of
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.inference.prediction import Answer, CaseProgress, Prediction
from autoseg.inference.unlike import unlike_training
from autoseg.parallel import Outcome
from autoseg.provenance import Origin, OutputFolder, remove_recorded
from autoseg.settings import chosen_settings
from autoseg.tasks.localization.locations import LOCATIONS, Location
from autoseg.tasks.localization.locator import LocatedImage, Locator
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.localization.options import PredictOptions
from autoseg.tasks.localization.picture import draw_location
from autoseg.tasks.localization.placement import ProjectionPlacement

if TYPE_CHECKING:
    from rich.table import Table


def cropped(image: Image, placement: ProjectionPlacement, slice_: float, thickness_mm: float = 0) -> Image:
    """Return the part of a volume (C, Z, Y, X) around a place along the placement's axis: a view of all channels, as read.

    slice_: as `Placement` counts them, may lie between two. thickness_mm: as many slices as come closest to it, those whose
    middle lies closest to the place; one at least, the nearest. What would lie outside of the volume is left out.
    Every voxel keeps its place in the world, so that the part, written by `image_io.write_image`, overlays on the volume.
    """
    nearest = placement.nearest_slice(slice_)
    count = max(1, math.floor(thickness_mm / placement.slice_mm + 0.5))
    first = math.floor(slice_ - (count - 1) / 2 + 0.5)
    start, stop = max(0, min(first, nearest)), min(placement.slices, max(first + count, nearest + 1))
    return part_of(image, placement.axes.rows, start, stop)


CROPS = "crops"
INDEX_AXES = "kji"  # of the array axes z, y, x


class Crops:
    """The folder of found slices, or slabs around them. It has a record of its own, as crops may be made later, but of one
    thickness."""

    def __init__(self, folder: Path, origin: Origin, overwrite: bool, crop_mm: float | None) -> None:
        """folder: of all outputs. crop_mm: thickness of the slabs, 0 for single slices; None for no crops."""
        thickness = "none" if crop_mm is None else f"{crop_mm:g} mm" if crop_mm else "one slice"
        self._folder, self._thickness_mm, cut = folder / CROPS, crop_mm, Origin.of(**origin.facts, crop=thickness)
        self._outputs = None if crop_mm is None else OutputFolder(self._folder, cut, overwrite)

    def path(self, item: PredictionInput) -> Path:
        """Return the file of a crop. The ending is that of the case's image; TIFF for pictures, which hold
        any values and number of channels as that."""
        return self._folder / f"{item.name}{float_ending(file_ending(item.images[0]))}"

    def earlier(self, item: PredictionInput) -> Path | None:
        """Return the crop that an earlier run made."""
        made = self._outputs is not None and self._outputs.made(self.path(item).name, item.images)
        return self.path(item) if made else None

    def is_missing(self, item: PredictionInput, row: Location) -> bool:
        """Tell whether a crop is wanted that is not there."""
        return self._outputs is not None and row.found and self.earlier(item) is None

    def write(self, item: PredictionInput, image: Image, found: LocatedImage) -> Path | None:
        """Write the crop where it is wanted and something was found; what an earlier run left of it goes in any case."""
        path = self.path(item)
        if self._outputs is None or not found.located.found:
            remove_recorded(path)
            return None
        with self._outputs.writing(path.name, item.images):
            part = cropped(image, found.placement, found.slice, self._thickness_mm or 0)
            write_image(path, part.array, like=part)
        return path


def location_of(case: str, found: LocatedImage) -> Location:
    """Return the row of a case: positions to 0.001 of a slice and 0.001 mm."""
    placement, confidence = found.placement, round(found.located.answer.confidence, 4)
    index_axis = INDEX_AXES[placement.axes.rows]
    if not found.located.found:
        return Location(case=case, found=False, index_axis=index_axis, confidence=confidence)
    x, y, z = (round(value, 3) for value in placement.world_of(found.slice))
    return Location(
        case=case, found=True, slice=placement.nearest_slice(found.slice), slice_exact=round(found.slice, 3),
        index_axis=index_axis, mm=round(placement.mm_of(found.slice), 3), x_mm=x, y_mm=y, z_mm=z, confidence=confidence)


def draw_found(path: Path, row: Location, found: LocatedImage) -> None:
    """Draw a PNG of the projection, the response, and the row of the strongest, found or not."""
    located, confidence = found.located, f"confidence {row.confidence:.2f}"
    answer = f"slice {row.slice}, {confidence}" if row.found else f"not found ({confidence})"
    draw_location(path, found.projection.channels, located.response, located.answer.row, row.found, None, f"{row.case}: {answer}")


class LocalizationPrediction(Prediction):
    """One locator."""

    done = "searched"
    subfolders = (CROPS,)

    def __init__(self, locator: Locator, crop_mm: float | None) -> None:
        self.locator, self.crop_mm, self.plans = locator, crop_mm, locator.description.plans
        self.doing = f"Looking for {self.plans.target.name} in"
        self.one_file_each = self.plans.source.layout == "folders"

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.locator.description.channel_names

    def in_words(self, chosen: Chosen) -> str:
        locator, plans, threshold = self.locator, self.plans, self.locator.settings.threshold
        return "\n".join([
            f"Locator, on {device_in_words(locator.device)}: {locator.locator.in_words} ({chosen.members[0].shown})",
            f"Why: {chosen.why}",
            f"Looks for: {plans.target.name}, along {plans.axis}; found where the confidence is {threshold:g} or more"])

    def _warnings(self, image: Image) -> tuple[str, ...]:
        plans = self.plans
        return unlike_training(image, plans.images, [window is not None for window in plans.windows])

    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        settings = self.locator.settings
        origin = origin_of([self.locator.locator.facts()], threshold=settings.threshold, zooms=settings.zooms)
        outputs = OutputFolder(folder, origin, overwrite)
        outputs.claim_tables(LOCATIONS)
        return outputs

    def predict_files(
        self, inputs: Iterable[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        """Write `<folder>/<case>.png`, a picture of each case, and crops.

        The table `locations.csv` is written at the end, from the record of the folder: it holds what other commands found with
        the same locator, too.
        """
        outputs = self.outputs(folder, overwrite)
        crops = Crops(folder, outputs.origin, overwrite, self.crop_mm)

        def earlier(item: PredictionInput) -> Written | None:
            entry, crop = outputs.made(f"{item.name}.png", item.images), crops.earlier(item)
            row = None if entry is None or entry.result is None else Location.model_validate(entry.result)
            if entry is None or row is None or crops.is_missing(item, row):
                return None
            return Written(folder / f"{item.name}.png", row, crop, was_there=True, warnings=entry.warnings)

        def locate(item: PredictionInput) -> Written:
            image = read_input(item)
            found = self.locator.locate_image(image, item.name)
            row, picture = location_of(item.name, found), folder / f"{item.name}.png"
            warnings = self._warnings(image)
            with outputs.writing(picture.name, item.images, row, warnings):
                crop = crops.write(item, image, found)
                draw_found(picture, row, found)  # last: where it is, the crop is
            return Written(picture, row, crop, warnings=warnings)

        try:
            yield from predict_cases(inputs, outputs, lambda item: f"{item.name}.png", earlier,
                                     lambda waiting: ((item, partial(locate, item)) for item in waiting))
        finally:
            if rows := [Location.model_validate(result) for result in outputs.results.values()]:
                write_rows(folder / LOCATIONS, Location, sorted(rows, key=lambda row: row.case))

    def predict_image(self, image: Image, case: str, probabilities: bool = False) -> Answer:
        self.without_probabilities(probabilities)
        return Answer(row=location_of(case, self.locator.locate_image(image, case)), warnings=self._warnings(image))

    def made(self, written: int, extra: int) -> str:
        also = " and locations.csv" if self.crop_mm is None else f", locations.csv and {extra} image(s) in crops/"
        return f"{written} picture(s){also}"

    def table(self, rows: Sequence[Any]) -> Table | None:
        from autoseg.tasks.localization.tables import locations_table

        return locations_table(list(rows), self.plans.target.name, self.plans.axis)

    def notes(self, rows: Sequence[Any]) -> list[str]:
        absent = [row.case for row in rows if not row.found]
        return [f"Not found in {len(absent)} of {len(rows)} images: {', '.join(absent)}"] if absent else []


def open_models(
    chosen: Chosen, folds: Sequence[str] | None, options: PredictOptions, device: str, apply_rules: object = None
) -> LocalizationPrediction:
    """Return the chosen locator on a device, "auto", "cpu", "cuda", ... Raises AutosegError where the folder holds none, or has
    no such folds, or a setting is wrong."""
    crop_mm = options.crop_mm
    if crop_mm is not None and not (math.isfinite(crop_mm) and crop_mm >= 0):
        raise AutosegError(f"A crop of {crop_mm:g} mm was asked for. Give its thickness, or 0 for the found slice alone.")
    target = resolve_device(device)
    loaded = load_locator(chosen.members[0], folds, target)
    return LocalizationPrediction(
        Locator(loaded, target, chosen_settings(options.settings, loaded.description.location)), crop_mm)
