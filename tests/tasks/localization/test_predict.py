"""autoseg_predict with a locator: a table, pictures and crops of a folder of images, and what becomes of odd ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.api.tasks import predict_locations
from autoseg.evaluation.csv_table import read_rows
from autoseg.image import Image
from autoseg.image_io import read_image, write_image
from autoseg.tasks.localization.locations import Location
from autoseg.tasks.localization.locator import Locator

FILES = ["a.png", "autoseg_prediction.jsonl", "b.png", "c.png", "locations.csv"]
Captured = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("sees_what_is_bright")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def predict(place: Any, volumes: Path, out: Path) -> Callable[..., Any]:
    """predict_locations of the volumes, in the workspace."""
    place.add_locator()
    return lambda **more: predict_locations(volumes, out, workspace=place.workspace.root, device="cpu", quiet=True, **more)


def made(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_image_gets_a_row_and_a_picture(place: Any, volumes: Path, out: Path, capsys: Captured) -> None:
    place.add_locator(folds=("0", "1"))
    assert place.run("-i", volumes, "-o", out) == 0
    said = capsys.readouterr().out
    assert "Dataset001_Tiny, projection, locator, fold 0 1 (" in said and "Why: the only locator there is" in said
    assert "Looks for: L3, along z; found where the confidence is 0.5 or more" in said
    table = [line.split("│")[1:-1] for line in said.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in table] == [
        ["a", "13 (k)", "37.0", "1.00"], ["b", "5 (k)", "21.0", "1.00"], ["c", "not found", "-", "0.00"]]
    wrote, not_found = said.splitlines()[-2:]
    assert wrote == f"Wrote 3 picture(s) and locations.csv to {out}."
    assert not_found == "Not found in 1 of 3 images: c"
    assert made(out) == FILES and Pillow.open(out / "a.png").format == "PNG"
    lines = (out / "locations.csv").read_text().splitlines()
    assert lines == [
        "case,found,slice,slice_exact,index_axis,mm,x_mm,y_mm,z_mm,confidence",
        "a,yes,13,13.0,k,37.0,10.25,0.5,37.0,1.0",  # 11 + 13 · 2 along z, 5 + 3.5 · 1.5 and -7 + 2.5 · 3 in the middle
        "b,yes,5,5.0,k,21.0,10.25,0.5,21.0,1.0", "c,no,,,k,,,,,0.0"]


def test_crops_are_the_found_slice_or_a_slab_around_it(place: Any, volumes: Path, out: Path, capsys: Captured) -> None:
    place.add_locator()
    assert place.run("-i", volumes, "-o", out, "--crop") == 0
    assert "Wrote 3 picture(s), locations.csv and 2 image(s) in crops/ to" in capsys.readouterr().out
    assert made(out / "crops") == ["a.nii.gz", "autoseg_prediction.jsonl", "b.nii.gz"]
    for case, slice_ in (("a", 13), ("b", 5)):
        whole, found = nib.load(volumes / f"{case}.nii.gz"), nib.load(out / "crops" / f"{case}.nii.gz")
        assert found.get_data_dtype() == np.int16
        np.testing.assert_array_equal(found.dataobj, whole.dataobj[..., slice_:slice_ + 1])
        np.testing.assert_allclose(found.affine @ [1, 2, 0, 1], whole.affine @ [1, 2, slice_, 1], atol=1e-5)
    assert place.run("-i", volumes, "-o", out.with_name("slabs"), "--crop", "9.9") == 0
    np.testing.assert_array_equal(
        read_image(out.with_name("slabs") / "crops" / "a.nii.gz").array, read_image(volumes / "a.nii.gz").array[:, 11:16])


def test_pictures_crops_and_the_table_are_made_again_where_they_are_missing_damaged_or_of_another_image(
    predict: Callable[..., Any], volumes: Path, out: Path, volume_with_level: Callable[..., Image]
) -> None:
    first, second = predict(crop_mm=0), predict(crop_mm=0)
    assert first.notes == ["Not found in 1 of 3 images: c"] and sorted(first.extra) == ["a", "b"] and first.extra == second.extra
    for missing, there in (("a.png", 2), ("crops/a.nii.gz", 2), ("locations.csv", 3)):
        (out / missing).unlink()
        again = predict(crop_mm=0)
        assert again.already_there == there and again.rows == first.rows and (out / missing).exists(), missing
    (out / "locations.csv").write_text("damaged")
    assert predict(crop_mm=0).already_there == 3 and read_rows(out / "locations.csv", Location) == first.rows
    moved = volume_with_level(level=9)
    write_image(volumes / "a.nii.gz", moved.array, like=moved)
    assert [row.slice for row in predict(crop_mm=0).rows] == [9, 5, None]
    (volumes / "a.nii.gz").unlink()
    assert predict(crop_mm=0).already_there == 2
    assert [row.case for row in read_rows(out / "locations.csv", Location)] == ["a", "b", "c"]  # the picture of "a" is there


def test_where_no_image_could_be_searched_nothing_is_said_to_be_written(
    place: Any, volumes: Path, out: Path, capsys: Captured
) -> None:
    place.add_locator()
    for path in volumes.iterdir():
        path.write_bytes(b"no image")
    assert place.run("-i", volumes, "-o", out, "--crop") == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"Wrote nothing to {out}."
    assert not (out / "locations.csv").exists()


def test_a_run_that_was_stopped_goes_on(
    predict: Callable[..., Any], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    respond = Locator._respond

    def stop_at_b(self: Locator, channels: np.ndarray, case: str) -> np.ndarray:
        if case == "b":
            raise KeyboardInterrupt
        return respond(self, channels, case)

    with monkeypatch.context() as patched:
        patched.setattr(Locator, "_respond", stop_at_b)
        with pytest.raises(KeyboardInterrupt):
            predict()
    assert made(out) == ["a.png", "autoseg_prediction.jsonl", "locations.csv"]
    result = predict()
    assert result.already_there == 1 and [row.slice for row in result.rows] == [13, 5, None]


def test_crops_can_be_asked_for_later_but_of_one_thickness(
    predict: Callable[..., Any], place: Any, volumes: Path, out: Path, capsys: Captured
) -> None:
    predict()
    assert not (out / "crops").exists()
    assert sorted(predict(crop_mm=4).extra) == ["a", "b"]
    assert predict().already_there == 3 and made(out / "crops") == ["a.nii.gz", "autoseg_prediction.jsonl", "b.nii.gz"]
    assert place.run("-i", volumes, "-o", out, "--crop") == 1
    assert "crops holds outputs that another model or other options made: crop 4 mm (now one" in capsys.readouterr().err
    assert place.run("-i", volumes, "-o", out, "--crop", "--overwrite") == 0
    assert read_image(out / "crops" / "a.nii.gz").array.shape == (1, 1, 6, 8)


@pytest.mark.parametrize("again", [{"crop_mm": 0}, {}], ids=["with crops", "without"])
def test_a_crop_of_what_is_not_found_any_more_goes(
    predict: Callable[..., Any], volumes: Path, out: Path, volume_with_level: Callable[..., Image], again: dict[str, Any]
) -> None:
    predict(crop_mm=0)
    (out / "crops" / "c.nii.gz").write_text("mine")
    empty = volume_with_level(level=None)
    write_image(volumes / "a.nii.gz", empty.array, like=empty)
    (volumes / "c.nii.gz").unlink()
    result = predict(**again)
    assert result.notes == ["Not found in 1 of 2 images: a"]
    assert made(out / "crops") == ["autoseg_prediction.jsonl", "b.nii.gz", "c.nii.gz"]


def test_locations_by_other_thresholds_do_not_mix(place: Any, volumes: Path, out: Path, capsys: Captured) -> None:
    place.add_locator()
    where = ("-i", volumes, "-o", out, "-tr", "locator", "--crop")
    assert place.run(*where, "--set", "threshold=0.4") == 0
    capsys.readouterr()
    assert place.run(*where) == 1
    error = capsys.readouterr().err
    assert "threshold 0.4 (now 0.5)" in error and "--overwrite" in error
    last = [json.loads(line) for line in (out / "autoseg_prediction.jsonl").read_text().splitlines() if "versions" in line][-1]
    assert (last["origin"]["threshold"], last["origin"]["zooms"]) == (0.4, [1.0])


def test_a_threshold_that_is_not_reached_is_no_slice(
    place: Any, volumes: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(Locator, "_respond", lambda self, channels, case: 0.7 * (channels[1] > 0.8))
    place.add_locator()
    where = ("-i", volumes, "-o", out)
    assert place.run(*where, "--crop") == 0
    assert [row.slice for row in read_rows(out / "locations.csv", Location)] == [13, 5, None]
    assert place.run(*where, "--crop", "--set", "threshold=0.8", "--overwrite") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Not found in 3 of 3 images: a, b, c"
    assert {(row.found, row.slice, row.mm, row.confidence) for row in read_rows(out / "locations.csv", Location)} == {
        (False, None, None, 0.7), (False, None, None, 0.0)}
    assert made(out / "crops") == ["autoseg_prediction.jsonl"]


def test_a_table_or_crops_of_something_else_are_not_written_over(place: Any, volumes: Path, out: Path, capsys: Captured) -> None:
    place.add_locator()
    (out / "crops").mkdir(parents=True)
    (out / "crops" / "a.nii.gz").write_text("mine")
    for flags in ((), ("--overwrite",)):
        assert place.run("-i", volumes, "-o", out, "--crop", *flags) == 1
        error = capsys.readouterr().err
        assert "1 of 3 images could not be searched: a." in error and "a.nii.gz is there, but autoseg did not make it" in error
        assert (out / "crops" / "a.nii.gz").read_text() == "mine"
    (out / "crops" / "a.nii.gz").unlink()
    assert place.run("-i", out / "crops", "-o", out, "--crop") == 1 and "would be written into" in capsys.readouterr().err
    for path in out.glob("*.*"):
        path.unlink()
    (out / "locations.csv").write_text("mine\n")
    assert place.run("-i", volumes, "-o", out) == 1
    assert "locations.csv is there, but autoseg did not make it" in capsys.readouterr().err
    assert (out / "locations.csv").read_text() == "mine\n"


def test_bad_cases_are_named_and_stop_no_other(place: Any, volumes: Path, out: Path, capsys: Captured) -> None:
    place.add_locator()
    (volumes / "d.nii.gz").write_bytes(b"no image")
    Pillow.fromarray(np.zeros((9, 9), np.uint8)).save(volumes / "e.png")
    image = read_image(volumes / "a.nii.gz")
    broken = image.array.astype(np.float32)
    broken[0, 3, 3, 3] = np.nan
    write_image(volumes / "f.nii.gz", broken, like=image)
    write_image(volumes / "g.nii.gz", np.repeat(image.array, 2, axis=0), like=image)
    write_image(volumes / "h.nii.gz", np.full_like(image.array, 7), like=image)
    assert place.run("-i", volumes, "-o", out, "--crop") == 1
    told = capsys.readouterr()
    assert "5 of 8 images could not be searched: d, e, f, g, h" in told.err and "Traceback" not in told.err
    for line in ("Failed: case d: ", "Failed: case e: it has shape (1, 9, 9) (z, y, x), but a volume of several slices",
                 "Failed: case f: it holds NaN or infinite values", "Failed: case g: 2 channels found, but 1 expected (CT)",
                 "Failed: case h: it has the same value everywhere (7)"):
        assert line in told.err
    assert told.out.splitlines()[-1] == "Not found in 1 of 3 images: c"
    assert [row.case for row in read_rows(out / "locations.csv", Location)] == ["a", "b", "c"]


def test_channels_in_several_files_are_cut_out_into_one(
    place: Any, tmp_path: Path, out: Path, volume_with_level: Callable[..., Image]
) -> None:
    place.add_locator(channels=2)
    image = volume_with_level(channels=2)
    for channel in (0, 1):
        write_image(tmp_path / "in" / f"a_000{channel}.nii.gz", image.array[channel:channel + 1] + channel, like=image)
    assert place.run("-i", tmp_path / "in", "-o", out, "--crop", "3") == 0
    found = read_image(out / "crops" / "a.nii.gz").array
    assert found.shape == (2, 2, 6, 8) and (found[0] == 1000).all() and (found[1] == 1001).all()


@pytest.mark.parametrize("thickness", ["-3", "nan", "inf"])
def test_a_thickness_that_is_none_is_told(place: Any, volumes: Path, out: Path, thickness: str, capsys: Captured) -> None:
    place.add_locator()
    assert place.run("-i", volumes, "-o", out, f"--crop={thickness}") == 1
    assert f"A crop of {thickness} mm was asked for. Give its thickness, or 0 for" in capsys.readouterr().err and not out.exists()
