"""Cases from their files to stored projections: the level in them, counted as the file stores its slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.tasks.localization.plan import ProjectionPlans
from autoseg.tasks.localization.store import StoredProjection, case_origin, open_projection, preprocess

MakePlans = Callable[..., ProjectionPlans]


def write_case(folder: Path, name: str, letters: str = "LPS") -> Case:
    """A volume of 12 × 6 × 8 (z, y, x) voxels of 2 × 3 × 1.5 mm, label 1 in slices 3 to 6 of it; saved in that orientation."""
    label = np.zeros((12, 6, 8), np.uint8)
    label[3:7, 1:3, 2:6] = 1
    image = np.random.default_rng(0).integers(1, 200, (1, 12, 6, 8)).astype(np.int16)
    image[0][label == 1] += 800
    base = Image(image, Geometry((2.0, 3.0, 1.5), (5.0, -7.0, 11.0)))
    case = Case(name=name, images=(folder / f"{name}_0000.nii.gz",), label=folder / f"{name}.nii.gz")
    assert case.label is not None
    write_image(case.images[0], image, like=base)
    write_label(case.label, label, like=base)
    for path in (case.images[0], case.label):
        stored = nib.load(path)
        turn = nib.orientations.ornt_transform(nib.io_orientation(stored.affine), nib.orientations.axcodes2ornt(letters))
        nib.save(stored.as_reoriented(turn), path)
    return case


def projected(plans: ProjectionPlans, folder: Path, *cases: Case) -> list[StoredProjection]:
    dataset = plans.source.model_copy(update={"training": cases})
    outcomes = list(preprocess(dataset, plans, {"projection": folder}, workers=1))
    assert [outcome.error for outcome in outcomes] == [None] * len(cases)
    return [open_projection(folder, case.name) for case in cases]


def origin(case: Case, plans: ProjectionPlans) -> str:
    return case_origin(case, "projection", plans.source, plans)


@pytest.mark.parametrize("letters", ["LPS", "LPI", "RAI", "SAL", "PIR", "IRP"])
def test_the_level_is_in_the_same_row_and_its_slice_is_the_one_that_the_file_counts(
    projection_plans: MakePlans, tmp_path: Path, letters: str
) -> None:
    plans = projection_plans(pixel_mm=1.0)
    case = write_case(tmp_path, "a", letters)
    stored, = projected(plans, tmp_path / "store", case)
    expected, = projected(plans, tmp_path / "base", write_case(tmp_path, "b"))
    assert stored.level is not None and expected.level is not None and stored.is_known
    # 24 rows of 1 mm from head to feet: slices 3 to 6 of 12 have their middles at rows 2 * (11 - slice) + 0.5
    assert (expected.level.row, expected.level.top, expected.level.bottom) == (13.5, 9.5, 17.5)  # the edges
    assert expected.level.column == pytest.approx(5.5)  # rows 1 and 2 of 6 are columns 3 to 8 of 18
    for field in ("row", "top", "bottom", "column"):
        assert getattr(stored.level, field) == pytest.approx(getattr(expected.level, field))
    np.testing.assert_allclose(stored.read(), expected.read(), atol=1e-3)
    along = next(number for number, letter in enumerate(letters) if letter in "SI")
    counted = np.flatnonzero(np.asanyarray(nib.load(case.label).dataobj).any(tuple({0, 1, 2} - {along})))
    assert stored.slice_of(stored.level.row) == pytest.approx(counted.mean())
    assert stored.description.slice_mm == pytest.approx(2.0)


def test_points_need_no_label(projection_plans: MakePlans, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, name).model_copy(update={"label": None}) for name in "abc"]
    plans = projection_plans(target={"name": "a point", "points": {"a": 11 + 2 * 4.5, "b": None}}, pixel_mm=1.0)
    a, b, c = projected(plans, tmp_path / "store", *cases)
    assert a.level is not None and a.slice_of(a.level.row) == pytest.approx(4.5) and a.level.column is None
    assert a.level.top == a.level.bottom == a.level.row
    assert (b.is_known, b.level) == (True, None) and (c.is_known, c.level) == (False, None)


def test_a_case_is_projected_anew_where_its_files_its_point_or_the_plans_change(
    projection_plans: MakePlans, tmp_path: Path
) -> None:
    case = write_case(tmp_path, "a")
    plans = projection_plans(target={"name": "p", "points": {"a": 1.0, "b": 2.0}})
    first = origin(case, plans)
    assert origin(case, projection_plans(target={"name": "p", "points": {"a": 1.0, "b": 9.0}})) == first
    others: list[Any] = [{"target": {"name": "p", "points": points}} for points in ({"a": 1.5}, {"a": None}, {})]
    digests = {origin(case, projection_plans(**change)) for change in others}
    digests.add(origin(case, plans.model_copy(update={"slab": 0.5})))
    with open(case.images[0], "ab") as file:
        file.write(b"0")
    digests.add(origin(case, plans))
    assert len(digests | {first}) == 6
