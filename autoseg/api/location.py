"""predict_locations: in which slice what a locator was trained to find lies in each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg import console
from autoseg.api.common import OneOrSeveral, PathLike, model_folders, name_in, several
from autoseg.errors import AutosegError, many
from autoseg.kinds import LOCATION
from autoseg.workspace import Workspace

if TYPE_CHECKING:
    from autoseg.evaluation.location.locations import Location
    from autoseg.inference.kind_choice import ChosenModel
    from autoseg.tasks.localization.locator import Locator
    from autoseg.tasks.localization.plan import ProjectionPlans


@dataclass(frozen=True)
class LocationResult:
    """written: pictures by case (those that were already there included). rows: of these cases, sorted. crops: by case, of
    those that were found, where they were asked for. failed: reasons by case."""

    written: dict[str, Path]
    rows: list[Location]
    crops: dict[str, Path]
    failed: dict[str, str]
    already_there: int

    @property
    def not_found(self) -> list[str]:
        """Cases in which no answer was sure enough."""
        return [row.case for row in self.rows if not row.found]


def predict_locations(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, model: OneOrSeveral = None, recipe: OneOrSeveral = None,
    folds: Sequence[int | str] | None = None, settings: Sequence[str] = (), crop_mm: float | None = None, overwrite: bool = False,
    device: str = "auto", workspace: PathLike | None = None, quiet: bool = False,
) -> LocationResult:
    """Find a level in an image or a folder of images: `locations.csv`, a picture of each image's projection with the found line,
    and with `crop_mm` `crops/`, what was found as images.

    The locator is that in the folder `model`, the one that dataset and recipe (or its name) leave, or the only one in the
    workspace. settings: "key=value" texts; see `autoseg.tasks.localization.settings`. crop_mm: thickness of the slab around what
    was found, mm; 0 for the found slice alone, None for no crops. A case that fails stops no other, and what an earlier run of
    the same locator and settings finished stays as it is. An image in which the level is not found is no failure.
    """
    from autoseg.inference.inputs import list_inputs
    from autoseg.inference.kind_choice import choose_model
    from autoseg.tasks.localization.outputs import locate_files

    if crop_mm is not None and not (math.isfinite(crop_mm) and crop_mm >= 0):
        raise AutosegError(f"A crop of {crop_mm:g} mm was asked for. Give its thickness, or 0 for the found slice alone.")
    place = Workspace.at(workspace)
    chosen = choose_model(LOCATION, place, name_in(dataset, place), model_folders(model), [*map(str, several(recipe))])
    locator = _locator(chosen, folds, settings, device, quiet)
    plans = locator.description.plans
    inputs = list_inputs(Path(input), locator.description, one_file_each=plans.source.layout == "folders")
    written, rows, crops, failed, there = {}, [], {}, {}, 0
    with console.progress(f"Looking for {plans.target.name} in {many(len(inputs), 'image')}", quiet) as report:
        finish = console.counted(report, len(inputs))
        for outcome in locate_files(locator, inputs, Path(output), overwrite, crop_mm):
            name, value = outcome.item.name, outcome.value
            if outcome.error is not None:
                failed[name] = str(outcome.error)
            else:
                written[name] = value.picture
                rows.append(value.row)
                crops.update({name: value.crop} if value.crop else {})
                there += value.was_there
            finish(outcome.item)
    rows.sort(key=lambda row: row.case)
    if rows and not quiet:
        _show(rows, plans)
    return LocationResult(written, rows, crops, failed, there)


def _show(rows: list[Location], plans: ProjectionPlans) -> None:
    from autoseg.evaluation.location.tables import locations_table

    console.show(locations_table(rows, plans.target.name, plans.axis))


def _locator(
    chosen: ChosenModel, folds: Sequence[int | str] | None, settings: Sequence[str], device: str, quiet: bool
) -> Locator:
    from autoseg.device import resolve_device
    from autoseg.tasks.localization.locator import Locator
    from autoseg.tasks.localization.model import load_locator
    from autoseg.trainers.settings import parse_settings

    target = resolve_device(device)
    loaded = load_locator(chosen.folder, None if folds is None else [str(fold) for fold in folds], target)
    locator = Locator(loaded, target, parse_settings(list(settings), loaded.description.location))
    if not quiet:
        console.show(_in_words(chosen, locator))
    return locator


def _in_words(chosen: ChosenModel, locator: Locator) -> str:
    """Which locator and folds run, why these, and what they look for."""
    description, plans = locator.description, locator.description.plans
    folds, threshold = " ".join(locator.locator.folds), locator.settings.threshold
    return "\n".join([
        f"Locator, on {locator.device}: {description.dataset}, {description.called}, fold {folds} ({chosen.folder.root})",
        f"Why: {chosen.why}",
        f"Looks for: {plans.target.name}, along {plans.axis}; found where the confidence is {threshold:g} or more"])
