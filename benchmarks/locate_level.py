"""Finding a level: a locator's cross-validation beside guessing; one scan in 48 axis orders; scans cut so that it is gone.

usage: python benchmarks/locate_level.py DATASET FOLDER --find L3 [--set KEY=VALUE ...] [--epochs N] [--stored N]

DATASET is a dataset of volumes with the label in nnU-Net's layout. It is planned and every fold is trained, in FOLDER, where a
second run goes on. Printed are

- minutes of training by the folds' logs, of as many cores as there are threads (OMP_NUM_THREADS=1: of one);
- errors of the locator, and of a guess that needs no image: the level lies as far from the scan's first row as it does on average
  in the fold's training cases (in mm);
- the spread of the world positions found in the first validation case of fold 0, written to disk in N of the 48 ways in which an
  array of three axes can be stored (default: all);
- how often "not found" is answered for each case's scan, cut as a file above and below all of the structure, by the fold that did
  not train on it, beside the uncut scan.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from autoseg import cross_validation, plan_projection, predict_locations, train
from autoseg.dataset import Case, Dataset, read_case
from autoseg.evaluation.csv_table import read_rows
from autoseg.image import Geometry, Image
from autoseg.image_io import part_of, write_image
from autoseg.tasks.localization import INFO as LOCATION
from autoseg.tasks.localization.level import known_level
from autoseg.tasks.localization.locations import LOCATIONS, ValidatedLocation
from autoseg.tasks.localization.locator import Locator
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.localization.plan import CONFIGURATION, ProjectionPlans
from autoseg.tasks.localization.projecting import place
from autoseg.tasks.localization.store import open_projection
from autoseg.tasks.localization.summary import LocationSummary
from autoseg.training_log import read_log
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_json

MARGIN, FEWEST = 2, 16  # slices beside the structure that are cut off, too; that a cut scan has at least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--find", nargs="+", required=True)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--stored", type=int, default=48)
    flags = parser.parse_args()
    began = time.monotonic()
    planned = plan_projection(flags.dataset, find=flags.find, workspace=flags.folder, quiet=True)
    home = Workspace.at(flags.folder).dataset(planned.name)
    planning_s = time.monotonic() - began
    train(flags.dataset, 0, recipe="locator", settings=flags.settings, epochs=flags.epochs, workspace=flags.folder)
    folds = len(read_json(home.splits_of(LOCATION)))
    for fold in range(1, folds):
        train(flags.dataset, fold, recipe="locator", settings=flags.settings, epochs=flags.epochs, workspace=flags.folder)
    model = home.model(CONFIGURATION, "locator")
    minutes = [sum(epoch.seconds for epoch in read_log(model.fold(fold).log_jsonl)) / 60 for fold in range(folds)]
    print(f"\nplanned in {planning_s:.0f} s; folds trained in {', '.join(f'{each:.1f}' for each in minutes)} minutes, together "
          f"{sum(minutes):.0f}, with {torch.get_num_threads()} threads")
    pooled = cross_validation(flags.dataset, CONFIGURATION, "locator", workspace=flags.folder, quiet=True).summary
    assert isinstance(pooled, LocationSummary)
    print_errors(pooled, guesses(home, folds))
    print_stored(planned.plans, model, home, flags.stored)
    print_cut(planned.plans, model, home, folds)


def guesses(home: DatasetFolder, folds: int) -> list[float]:
    """Errors in mm of the mean distance from the first row, over the validation cases of all folds."""
    errors, store = [], home.preprocessed(CONFIGURATION)
    for split in read_json(home.splits_of(LOCATION))[:folds]:
        places = {name: _from_first_row_mm(store, name) for name in (*split["train"], *split["val"])}
        mean = np.mean([places[name] for name in split["train"] if places[name] is not None])
        errors += [abs(places[name] - mean) for name in split["val"] if places[name] is not None]
    return errors


def _from_first_row_mm(store: Path, name: str) -> float | None:
    case = open_projection(store, name)
    if case.level is None:
        return None
    return float((case.level.row + 0.5) * abs(case.description.slices_per_row) * case.description.slice_mm)


def print_errors(pooled: LocationSummary, guessed: list[float]) -> None:
    print("\n| | mean mm | median mm | worst mm | within 5 mm |\n|---|---|---|---|---|")
    errors = [error.error_mm for error in pooled.errors]
    for name, values in (("locator", errors), ("mean place", guessed)):
        near = sum(value <= 5 for value in values)
        print(f"| {name} | {np.mean(values):.2f} | {np.median(values):.2f} | {max(values):.1f} | {near} of {len(values)} |")
    print(f"\nratio of the mean errors: {np.mean(errors) / np.mean(guessed):.3f}; found in {pooled.found} of {pooled.cases}; "
          f"wrongly found in {len(pooled.parts.wrongly_found)} of {pooled.parts.count} parts without it; largest errors: "
          + ", ".join(f"{error.case} {error.error_mm:.1f} mm (confidence {error.confidence:.2f})" for error in pooled.errors[:3]))


def print_stored(plans: ProjectionPlans, model: ModelFolder, home: DatasetFolder, count: int) -> None:
    """The first validation case of fold 0 in many axis orders."""
    name = read_json(home.splits_of(LOCATION))[0]["val"][0]
    image, _ = read_case(_case(plans.source, name), plans.source)
    with tempfile.TemporaryDirectory() as folder:
        for number, stored in enumerate(itertools.islice(orders(image), count)):
            write_image(Path(folder) / "in" / f"{stored.geometry.orientation}_{number:02d}.nii.gz", stored.array, stored)
        found = predict_locations(Path(folder) / "in", Path(folder) / "out", model=model.root, folds=[0], quiet=True).rows
    places = np.array([[row.x_mm, row.y_mm, row.z_mm] for row in found], float)
    spread = np.ptp(places, axis=0)
    mean = tuple(round(float(mm), 2) for mm in places.mean(0))
    slices = sorted({row.slice for row in found if row.slice is not None})
    print(f"\n{name} stored in {len(found)} ways: world position {mean} mm, apart by at most {spread.max():.4f} mm; slices "
          f"{slices}")


def orders(image: Image) -> Iterator[Image]:
    """The same volume with its axes in each order and each direction."""
    zyx = np.array(image.array.shape[1:])
    matrix = np.reshape(image.geometry.direction, (3, 3))
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            array = image.array.transpose(0, *(axis + 1 for axis in order))
            array = np.ascontiguousarray(array[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in flips))])
            corner = np.zeros(3)  # of the new array's first voxel, in the old one's (z, y, x)
            columns = []
            for axis, flip in zip(order, flips, strict=True):
                corner[axis] = zyx[axis] - 1 if flip else 0
                columns.append(matrix[:, 2 - axis] * (-1 if flip else 1))
            direction = np.stack(columns[::-1], axis=1).ravel()
            origin = (image.geometry.affine() @ [*corner[::-1], 1])[:3]
            spacing = image.geometry.spacing_mm
            geometry = Geometry((spacing[order[0]], spacing[order[1]], spacing[order[2]]),
                                (float(origin[0]), float(origin[1]), float(origin[2])), tuple(map(float, direction)))
            yield Image(array, geometry)


def print_cut(plans: ProjectionPlans, model: ModelFolder, home: DatasetFolder, folds: int) -> None:
    """Each scan without the slices of the structure and all beyond it, at either end."""
    splits = read_json(home.splits_of(LOCATION))[:folds]
    found: dict[str, list[str]] = {"cut, before": [], "cut, after": [], "whole": []}
    seen = dict.fromkeys(found, 0)
    for fold, split in enumerate(splits):
        locator = Locator(load_locator(model, [str(fold)]), torch.device("cpu"))
        for name in split["val"]:
            image, label = read_case(_case(plans.source, name), plans.source)
            parts = _parts(plans, name, image, None if label is None else label.array[0])
            for what, part in {"whole": image, **parts}.items():
                seen[what] += 1
                if locator.locate_image(part, name).located.found:
                    found[what].append(name)
    print("\n| scan | found | by name |\n|---|---|---|")
    for what, names in found.items():
        listed = "" if what == "whole" else ", ".join(names)
        print(f"| {what} | {len(names)} of {seen[what]} | {listed} |")
    rows = [row for fold in range(folds) for row in read_rows(model.fold(fold).validated(LOCATIONS), ValidatedLocation)]
    lowest = min(row.confidence for row in rows if row.part == "whole")
    highest = max(row.confidence for row in rows if row.part != "whole")
    print(f"\nconfidence of whole scans {lowest:.2f} at least, of projections without it {highest:.2f} at most")


def _parts(plans: ProjectionPlans, name: str, image: Image, label: np.ndarray | None) -> dict[str, Image]:
    """Return what is left before and after the structure, in the projection's order of rows, as images."""
    placement = place(image, plans.axis, plans.project, plans.pixel_mm)
    axes = placement.axes
    level = known_level(plans.target, plans.source.labels, name, label, placement).level
    if level is None:
        return {}
    below, above = (0, int(level.first) - MARGIN), (int(level.last) + 1 + MARGIN, placement.slices)
    before, after = (above, below) if axes.flipped[0] else (below, above)
    spans = {"cut, before": before, "cut, after": after}
    return {what: part_of(image, axes.rows, start, stop) for what, (start, stop) in spans.items() if stop - start >= FEWEST}


def _case(dataset: Dataset, name: str) -> Case:
    return next(case for case in dataset.training if case.name == name)


if __name__ == "__main__":
    main()
