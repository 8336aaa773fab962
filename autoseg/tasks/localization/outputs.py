"""What a locator writes of the cases in a folder: a table of where, pictures, and the found slices cut out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from autoseg.image import Image
from autoseg.image_io import file_ending, float_ending, write_image
from autoseg.inference.cases import Written, predict_cases
from autoseg.inference.checkpoints import origin_of
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.parallel import Outcome
from autoseg.provenance import Origin, OutputFolder, remove_recorded
from autoseg.tasks.localization.crop import cropped
from autoseg.tasks.localization.locations import LOCATIONS, Location, write_locations
from autoseg.tasks.localization.locator import LocatedImage, Locator
from autoseg.tasks.localization.picture import draw_location

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
        """The ending is that of the case's image; TIFF for pictures, which hold any values and number of channels as that."""
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
            if self._outputs is not None and self._outputs.overwrite:
                path.unlink(missing_ok=True)
            remove_recorded(path)
            return None
        self._outputs.begin(path.name, item.images)
        part = cropped(image, found.placement, found.slice, self._thickness_mm or 0)
        write_image(path, part.array, like=part)
        return path


def location_of(case: str, found: LocatedImage) -> Location:
    """The row of a case: positions to 0.001 of a slice and 0.001 mm."""
    placement, confidence = found.placement, round(found.located.answer.confidence, 4)
    index_axis = INDEX_AXES[placement.axes.rows]
    if not found.located.found:
        return Location(case=case, found=False, index_axis=index_axis, confidence=confidence)
    x, y, z = (round(value, 3) for value in placement.world_of(found.slice))
    return Location(
        case=case, found=True, slice=placement.nearest_slice(found.slice), slice_exact=round(found.slice, 3),
        index_axis=index_axis, mm=round(placement.mm_of(found.slice), 3), x_mm=x, y_mm=y, z_mm=z, confidence=confidence)


def draw_found(path: Path, row: Location, found: LocatedImage) -> None:
    """A PNG of the projection, the response, and the row of the strongest, found or not."""
    located, confidence = found.located, f"confidence {row.confidence:.2f}"
    answer = f"slice {row.slice}, {confidence}" if row.found else f"not found ({confidence})"
    draw_location(path, found.projection.channels, located.response, located.answer.row, row.found, None, f"{row.case}: {answer}")


def output_folder(locator: Locator, folder: Path, overwrite: bool = False) -> OutputFolder:
    """Return the folder of pictures and the table. Raises AutosegError where it cannot be written or holds something else."""
    settings = locator.settings
    origin = origin_of([locator.locator.facts()], threshold=settings.threshold, zooms=settings.zooms)
    outputs = OutputFolder(folder, origin, overwrite)
    outputs.claim_tables(LOCATIONS)
    return outputs


def locate_files(
    locator: Locator, inputs: Sequence[PredictionInput], folder: Path, overwrite: bool = False,
    crop_mm: float | None = None,
) -> Iterator[Outcome[PredictionInput]]:
    """Look for the level in cases one by one; yield what became of each.

    An outcome's value is `Written`; a case that fails stops no other. crop_mm: as `Crops` takes it. What an earlier run
    of the same locator made of the same files stays, unless `overwrite`. The table `locations.csv` is written at the end, from
    the record of the folder: it holds what other commands found with the same locator, too. Raises AutosegError where the
    folder cannot be written or holds something else.
    """
    outputs = output_folder(locator, folder, overwrite)
    crops = Crops(folder, outputs.origin, overwrite, crop_mm)

    def earlier(item: PredictionInput) -> Written | None:
        entry, crop = outputs.made(f"{item.name}.png", item.images), crops.earlier(item)
        row = None if entry is None or entry.result is None else Location.model_validate(entry.result)
        if row is None or crops.is_missing(item, row):
            return None
        return Written(folder / f"{item.name}.png", row, crop, was_there=True)

    def locate(item: PredictionInput) -> Written:
        image = read_input(item)
        found = locator.locate_image(image, item.name)
        row, picture = location_of(item.name, found), folder / f"{item.name}.png"
        outputs.begin(picture.name, item.images, row)
        crop = crops.write(item, image, found)
        draw_found(picture, row, found)  # last: where it is, the crop is
        return Written(picture, row, crop)

    try:
        yield from predict_cases(inputs, outputs, lambda item: f"{item.name}.png", earlier,
                                 lambda waiting: ((item, partial(locate, item)) for item in waiting))
    finally:
        if rows := [Location.model_validate(result) for result in outputs.results.values()]:
            write_locations(folder / LOCATIONS, sorted(rows, key=lambda row: row.case))
