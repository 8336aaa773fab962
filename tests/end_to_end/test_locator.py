"""A level planned, trained, found in new scans of another orientation, cropped and reported, as a user types it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from autoseg.cli.main import main
from autoseg.image_io import read_image, read_label
from autoseg.workspace import DatasetFolder, read_json

TRAINING = ("--epochs", "4", "--iterations", "25", "--set", "base_features=8", "--set", "band=3", "--set", "precision=float32",
            "--set", "learning_rate=0.005")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_balls: Callable[..., Path]) -> DatasetFolder:
    """Twelve volumes with a ball at some height; fold 0 of a locator of it."""
    root = tmp_path_factory.mktemp("locator")
    source = make_balls(root, with_ball=12, without=0)
    work = ["--workspace", str(root / "work")]
    assert main(["plan_and_preprocess", str(source), "--planner", "projection", "--find", "ball", "--spacing", "3", "-np", "1",
                 *work]) == 0
    assert main(["train", source.name, "0", "-tr", "locator", *TRAINING, "--device", "cpu", *work]) == 0
    return DatasetFolder(root / "work" / source.name)


def source_of(folder: DatasetFolder) -> Path:
    return folder.root.parents[1] / folder.name


def test_what_is_found_is_where_it_is_however_the_scan_is_stored(trained: DatasetFolder, tmp_path: Path) -> None:
    """A scan that was not trained on, from head to feet and with its axes in another order, and its end without the ball."""
    held_out = read_json(trained.root / "splits_localization.json")[0]["val"][0]
    original = nib.load(source_of(trained) / "imagesTr" / f"{held_out}_0000.nii.gz")
    label = read_label(source_of(trained) / "labelsTr" / f"{held_out}.nii.gz").array[0]
    rows = np.flatnonzero((label == 1).any((1, 2)))
    middle = (rows[0] + rows[-1]) / 2
    folder = tmp_path / "in"
    folder.mkdir()
    nib.save(original, folder / "as_it_is.nii.gz")
    turned = original.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))  # x, y, z become axes 1, 2, 0
    nib.save(turned, folder / "turned.nii.gz")
    beyond = slice(rows[-1] + 1, None) if rows[0] < label.shape[0] / 2 else slice(0, rows[0])
    nib.save(original.slicer[:, :, beyond], folder / "without.nii.gz")

    words = ["-i", str(folder), "-o", str(tmp_path / "out"), "-tr", "locator", "--crop", "--device", "cpu", "--workspace",
             str(trained.root.parent)]
    assert main(["predict", *words]) == 0
    with open(tmp_path / "out" / "locations.csv", encoding="utf-8", newline="") as file:
        found = {row["case"]: row for row in csv.DictReader(file)}
    assert found["without"]["found"] == "no" and found["without"]["slice"] == found["without"]["mm"] == ""
    assert not (tmp_path / "out" / "crops" / "without.nii.gz").exists()
    world = original.affine @ [4.5, 5.5, middle, 1]  # the middle of its slice; NIfTI counts to the right and to the front
    expected = {"x_mm": -world[0], "y_mm": -world[1], "z_mm": world[2]}
    for case in ("as_it_is", "turned"):
        row = found[case]
        assert row["found"] == "yes" and {key: float(row[key]) for key in expected} == pytest.approx(expected, abs=3.0)  # a slice
        assert float(row["mm"]) == float(row["z_mm"])
    assert [float(found[case]["z_mm"]) for case in ("as_it_is", "turned")] == pytest.approx([float(row["z_mm"])] * 2, abs=1e-3)
    assert (found["as_it_is"]["index_axis"], found["turned"]["index_axis"]) == ("k", "i")
    last = original.shape[2] - 1
    assert int(found["turned"]["slice"]) == last - int(found["as_it_is"]["slice"])
    crop = read_image(tmp_path / "out" / "crops" / "as_it_is.nii.gz")
    whole = read_image(folder / "as_it_is.nii.gz")
    slice_ = int(found["as_it_is"]["slice"])
    np.testing.assert_array_equal(crop.array[:, 0], whole.array[:, slice_])
    assert crop.geometry.origin_mm == pytest.approx((whole.geometry.affine() @ [0, 0, slice_, 1])[:3], abs=1e-3)


def test_validation_and_report_say_how_well(trained: DatasetFolder, capsys: pytest.CaptureFixture[str]) -> None:
    summary = read_json(trained.model("projection", "locator").fold("0").summary_json)
    assert summary["found"] == summary["cases"] == 3 and summary["error_mm"]["worst"] <= 5
    assert main(["report", trained.name, "--workspace", str(trained.root.parent)]) == 0
    page = trained.report_html.read_text(encoding="utf-8")
    assert "Finding ball" in page and f"{summary['error_mm']['mean']:.2f}" in page
    assert "autoseg_predict -i IMAGES -o LOCATIONS --workspace" in page.replace("<span>", "").replace("</span>", "")
