"""What a locator writes of the cases in a folder: a table of where, pictures, and the found slices cut out. It goes on where it
stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.evaluation.location.locations import LOCATIONS, Location, read_locations, write_locations
from autoseg.evaluation.location.picture import draw_location
from autoseg.image import Image
from autoseg.image_io import file_ending, float_ending, write_image
from autoseg.inference.attempt import attempt
from autoseg.inference.inputs import PredictionInput, read_input, require_complete
from autoseg.inference.location.crop import cropped
from autoseg.inference.location.locator import LocatedImage, Locator
from autoseg.inference.record import ModelOrigin, Origin, RecordedFolder, networks_digest, remove_recorded
from autoseg.parallel import Outcome
from autoseg.projections.plan import CONFIGURATION

CROPS = "crops"
INDEX_AXES = "kji"  # of the array axes z, y, x


@dataclass(frozen=True)
class WrittenLocation:
    """What there is of a case. picture: on disk. crop: on disk; None where none was asked for, or nothing was found. was_there:
    whether an earlier run of the same locator had made all of it."""

    row: Location
    picture: Path
    crop: Path | None = None
    was_there: bool = False


class LocationFolder(RecordedFolder):
    """A folder of pictures, with where something was found in all of them in `locations.csv`; crops in a folder of their own."""

    def __init__(self, folder: Path, origin: Origin, overwrite: bool, crop_mm: float | None = None) -> None:
        """overwrite: as in `RecordedFolder`: rows that this locator gave to other cases stay beside those that are made anew;
        those of another locator or threshold go. crop_mm: thickness of the slabs, 0 for single slices; None for no crops. Crops
        have a record of their own, as they may be made later, but of one thickness.

        Raises AutosegError as `RecordedFolder`, and without `overwrite` where a table is there that is damaged or of something
        else.
        """
        super().__init__(folder, origin, overwrite)
        self._crop_mm, self._replaces = crop_mm, overwrite
        cut = origin.model_copy(update={"crop_mm": crop_mm})
        self._crops = None if crop_mm is None else RecordedFolder(folder / CROPS, cut, overwrite)
        there = self.rows_of(partial(read_locations, self._table)) if self.has_table(self._table) else None
        self._rows = {row.case: row for row in there or ()}

    @property
    def _table(self) -> Path:
        return self.folder / LOCATIONS

    def picture_path(self, item: PredictionInput) -> Path:
        return self.folder / f"{item.name}.png"

    def crop_path(self, item: PredictionInput) -> Path:
        """The ending is that of the case's image; TIFF for pictures, which hold any values and number of channels as that."""
        return self.folder / CROPS / f"{item.name}{float_ending(file_ending(item.images[0]))}"

    def made(self, item: PredictionInput) -> WrittenLocation | None:
        """What an earlier run left of a case, if all of it is there. Raises AutosegError as `is_made`, for the crop too."""
        has_picture = self.is_made(item, self.picture_path(item))
        has_crop = self._crops is not None and self._crops.is_made(item, self.crop_path(item))
        row = self._rows.get(item.name)
        if row is None or not has_picture or (self._crops is not None and row.found and not has_crop):
            return None
        return WrittenLocation(row, self.picture_path(item), self.crop_path(item) if has_crop else None, was_there=True)

    def write(self, item: PredictionInput, image: Image, found: LocatedImage) -> WrittenLocation:
        """All of a case; the picture comes last: where it is, the others are. image: as it was read."""
        picture = self.picture_path(item)
        self.begin_file(item, picture)
        crop = self._write_crop(item, image, found)
        row = self._rows[item.name] = location_of(item.name, found)
        write_locations(self._table, [self._rows[case] for case in sorted(self._rows)])
        draw_found(picture, row, found)
        return WrittenLocation(row, picture, crop)

    def _write_crop(self, item: PredictionInput, image: Image, found: LocatedImage) -> Path | None:
        """Where it is wanted and something was found; what lies there of an earlier run goes in any case."""
        path = self.crop_path(item)
        if self._crops is None or not found.located.found:
            if self._crops is not None and self._replaces:
                path.unlink(missing_ok=True)
            remove_recorded(path)
            return None
        self._crops.begin_file(item, path)
        part = cropped(image, found.placement, found.slice, self._crop_mm or 0)
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


def locate_files(
    locator: Locator, inputs: Sequence[PredictionInput], output_folder: Path, overwrite: bool = False,
    crop_mm: float | None = None,
) -> Iterator[Outcome[PredictionInput]]:
    """Look for the level in cases one by one; yield what became of each.

    An outcome's value is `WrittenLocation`; a case that fails stops no other. crop_mm: as `LocationFolder` takes it. What an
    earlier run of the same locator made of the same files stays, unless `overwrite`. Raises AutosegError where the folder cannot
    be written or holds something else.
    """
    outputs = LocationFolder(output_folder, origin_of_locator(locator), overwrite, crop_mm)
    for item in inputs:
        yield attempt(item, partial(_locate_file, locator, item, outputs))


def _locate_file(locator: Locator, item: PredictionInput, outputs: LocationFolder) -> WrittenLocation:
    require_complete(item)
    if made := outputs.made(item):
        return made
    image = read_input(item)
    return outputs.write(item, image, locator.locate_image(image, item.name))


def origin_of_locator(locator: Locator) -> Origin:
    """What answers depend on besides the image."""
    description, loaded = locator.description, locator.locator
    model = ModelOrigin(
        dataset=description.dataset, configuration=CONFIGURATION, recipe=description.called, folds=loaded.folds,
        weights=networks_digest(loaded.networks), mirror_axes=())
    return Origin(models=(model,), location=locator.settings)
