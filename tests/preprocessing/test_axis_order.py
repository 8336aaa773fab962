"""Images stored in any axis order look the same to a network, and results lie in each image's own; nibabel tells the orders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path
from typing import Any

import blosc2
import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from torch import nn

import autoseg
from autoseg.cli.main import main
from autoseg.image import axis_order
from autoseg.image_io import read_geometry, read_image
from autoseg.inference.inputs import list_inputs
from autoseg.inference.unlike import axis_order_warnings
from autoseg.tasks.segmentation.model import LoadedModel
from autoseg.tasks.segmentation.predictor import Predictor

ORDERS = ["".join(letters) for axes in permutations(("LR", "AP", "SI")) for letters in product(*axes)]
ROTATED = np.array([[0.96, -0.28, 0, 5], [0.28, 0.96, 0, -3], [0, 0, 1, 7], [0, 0, 0, 1.0]])


def stored_as(image: nib.Nifti1Image, letters: str) -> nib.Nifti1Image:
    """The same scan in another axis order, as nibabel stores it."""
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(letters)))


def scan(seed: int = 0) -> nib.Nifti1Image:
    """An oblique scan with a border of zeros, 9 × 7 × 8 voxels (x, y, z) of 1 × 2 × 3 mm, LPS to nibabel."""
    array = np.zeros((9, 7, 8), np.float32)
    array[1:7, 2:7, 1:8] = np.random.default_rng(seed).normal(size=(6, 5, 7)) + 5
    return nib.Nifti1Image(array, np.diag([-1, -1, 1, 1.0]) @ ROTATED @ np.diag([1, 2, 3, 1.0]))


class Lopsided(nn.Module):
    """Two classes: the second one wins where the image is above 5, with more and more bonus along each axis."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        bonus = sum(torch.linspace(-1, 1, n).view(-1, *[1] * (2 - axis)) for axis, n in enumerate(x.shape[2:]))
        return [torch.cat([torch.zeros_like(x), x - 5 + bonus], 1)]


@pytest.fixture
def predictor(describe: Any) -> Predictor:
    description = describe(classes=2, patch_size=(6, 6, 6), transpose=(2, 0, 1), spacing_mm=(1.0, 1.5, 2.0))
    plans = description.plans.model_copy(update={"orientation": "RAS"})
    model = LoadedModel(description.model_copy(update={"plans": plans}), [Lopsided()], ("0",))
    return Predictor([model], torch.device("cpu"), precision="float32")


def test_there_are_48_orders_and_each_becomes_any_other_as_by_nibabel() -> None:
    assert len(set(ORDERS)) == 48
    array = np.arange(2 * 3 * 4).reshape(4, 3, 2)  # x, y, z
    for stored, wanted in [*product(ORDERS, ("LPS", "RAS", "PIL")), ("SAR", "IRP")]:
        turn = ornt_transform(axcodes2ornt(stored), axcodes2ornt(wanted))
        expected = nib.apply_orientation(array, turn).T
        assert np.array_equal(axis_order(stored, wanted, array.T.shape).of(array.T), expected), (stored, wanted)


def test_a_view_in_another_order_writes_to_the_array_itself() -> None:
    array = np.zeros((1, 2, 3, 4))  # of LPS; the first voxel of SRA is the lowest, leftmost and hindmost one
    axis_order("LPS", "SRA", (2, 3, 4)).of(array)[0, 0, 0, 0] = 1
    assert np.argwhere(array).tolist() == [[0, 0, 2, 3]]


def test_a_single_slice_stays_a_slice() -> None:
    assert axis_order("LPS", "PSL", (1, 5, 6)).axes == (0, 1, 2) and axis_order("LPS", "RPS", (1, 5, 6)).flipped[2]


def test_every_order_of_a_scan_gives_the_same_segmentation_in_the_world(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for letters in ORDERS:
        nib.save(stored_as(scan(), letters), tmp_path / "in" / f"{letters}.nii.gz")
    outcomes = list(predictor.predict_files(list_inputs(tmp_path / "in", predictor.description), tmp_path / "out",
                                            save_probabilities=True))
    assert [outcome.error for outcome in outcomes] == [None] * 48
    expected = np.asarray(nib.load(tmp_path / "out" / "RAS.nii.gz").dataobj)
    assert 0.2 < expected.mean() < 0.8
    for letters in ORDERS:
        made, source = nib.load(tmp_path / "out" / f"{letters}.nii.gz"), nib.load(tmp_path / "in" / f"{letters}.nii.gz")
        assert np.array_equal(made.affine, source.affine) and made.shape == source.shape
        assert np.array_equal(np.asarray(stored_as(made, "RAS").dataobj), expected), letters
        assert np.array_equal(_whole(tmp_path / "out" / f"{letters}.b2nd")[1] > 0.5, np.asarray(made.dataobj).T == 1), letters


def _whole(path: Path) -> np.ndarray:
    """Probabilities (K, Z, Y, X) on the image's own grid; 0 outside of the crop."""
    stored = blosc2.open(str(path))
    whole = np.zeros((2, *stored.schunk.vlmeta["shape_original"]))
    whole[(slice(None), *(slice(*span) for span in stored.schunk.vlmeta["crop_box"]))] = stored[:]
    return whole


def test_an_array_with_a_direction_may_be_in_any_order(predictor: Predictor, tmp_path: Path) -> None:
    expected = None
    for letters in ("RAS", "SAR", "PIR"):
        nib.save(stored_as(scan(), letters), tmp_path / f"{letters}.nii.gz")
        image = read_image(tmp_path / f"{letters}.nii.gz")
        labels = nib.Nifti1Image(predictor.predict_image(image).T, nib.load(tmp_path / f"{letters}.nii.gz").affine)
        found = np.asarray(stored_as(labels, "RAS").dataobj)
        assert expected is None or np.array_equal(found, expected)
        expected = found


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three scans of 24 × 20 × 6 voxels (x, y, z) of 1 × 1 × 3 mm in LPS, with a block as label."""
    folder = tmp_path / "Dataset001_Scans"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    affine = np.diag([-1.0, -1, 3, 1])
    for number in range(3):
        image = np.random.default_rng(number).integers(1, 1000, (24, 20, 6)).astype(np.int16)
        label = np.zeros(image.shape, np.uint8)
        label[3:9, 4:15, 1:3] = 1
        nib.save(nib.Nifti1Image(image, affine), folder / "imagesTr" / f"scan_{number}_0000.nii.gz")
        nib.save(nib.Nifti1Image(label, affine), folder / "labelsTr" / f"scan_{number}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}, "numTraining": 3, "file_ending": ".nii.gz"}))
    return folder


@pytest.fixture
def one_order_and_several(tmp_path: Path, dataset: Path) -> Iterator[tuple[Path, Path]]:
    """The workspaces of a dataset in one axis order, and of the same with one case in another."""
    autoseg.plan_and_preprocess(dataset, workspace=tmp_path / "one", quiet=True)
    for path in (dataset / "imagesTr/scan_1_0000.nii.gz", dataset / "labelsTr/scan_1.nii.gz"):
        turned = stored_as(nib.load(path), "SAR")
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    autoseg.plan_and_preprocess(dataset, workspace=tmp_path / "several", quiet=True)
    yield tmp_path / "one" / dataset.name, tmp_path / "several" / dataset.name


def test_a_dataset_of_several_orders_is_planned_and_preprocessed_like_one_of_one_order(
    one_order_and_several: tuple[Path, Path]
) -> None:
    one, several = one_order_and_several
    plans = [json.loads((folder / "plans.json").read_text(encoding="utf-8")) for folder in (one, several)]
    assert plans[0]["orientation"] == "LPS"
    assert [its["configurations"] for its in plans[:1]] == [its["configurations"] for its in plans[1:]]
    assert plans[0]["foreground_intensities"] == plans[1]["foreground_intensities"]
    stored = sorted((one / "preprocessed").rglob("*.b2nd"))
    assert len(stored) == 12
    for path in stored:
        other = several / path.relative_to(one)
        assert np.array_equal(blosc2.open(str(path))[:], blosc2.open(str(other))[:]), path
    fingerprint = json.loads((several / "fingerprint.json").read_text())
    assert fingerprint["orientations"] == {"LPS": 2, "SAR": 1} and fingerprint["orientation"] == "LPS"
    assert {tuple(case["spacing_mm"]) for case in fingerprint["cases"].values()} == {(3.0, 1.0, 1.0)}


@pytest.mark.parametrize("options", [{"planner": "slices"}, {"planner": "projection", "find": ["organ"]}])
def test_slices_and_projections_of_several_orders_have_the_windows_of_one_order(
    tmp_path: Path, dataset: Path, options: dict[str, Any]
) -> None:
    windows = []
    for workspace in ("one", "several"):
        windows.append(autoseg.plan_and_preprocess(dataset, workspace=tmp_path / workspace, quiet=True, **options).plans.windows)
        for path in (dataset / "imagesTr/scan_1_0000.nii.gz", dataset / "labelsTr/scan_1.nii.gz"):
            turned = stored_as(nib.load(path), "SAR")
            nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    assert windows[0] == windows[1] and windows[0][0] is not None


def test_verify_says_that_there_are_several_orders(
    one_order_and_several: tuple[Path, Path], dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["verify", str(dataset)]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "2 axis orders" in said and "1 warning(s)" in said


def test_files_without_direction_are_taken_as_stored_and_named(tmp_path: Path) -> None:
    unknown = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), None)
    unknown.header.set_qform(None, code=0)
    unknown.header.set_sform(None, code=0)
    nib.save(unknown, tmp_path / "unknown.nii.gz")
    shape, geometry, _ = read_geometry(tmp_path / "unknown.nii.gz")
    assert geometry.orientation is None
    assert "does not say how its axes run" in next(axis_order_warnings(geometry, shape[1:], "LPS"))
    nib.save(stored_as(scan(), "SAR"), tmp_path / "known.nii.gz")
    shape, geometry, _ = read_geometry(tmp_path / "known.nii.gz")
    assert geometry.orientation == "SAR" and not list(axis_order_warnings(geometry, shape[1:], "LPS"))
    assert "axis order SAR" in next(axis_order_warnings(geometry, shape[1:], None))
