"""How much patches show of each class, against every patch that there is, and which classes are said to be at risk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from autoseg.dataset import Dataset, load_dataset
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.plan import Plans, Visibility
from autoseg.planners.request import inspect, measured_cases
from autoseg.planners.segmentation.fingerprint import measure
from autoseg.planners.segmentation.planning import counts, plan, prepare
from autoseg.planners.segmentation.visibility import at_risk, with_visibility
from autoseg.reporting.blocks import Table, Text
from autoseg.tasks.segmentation.options import PlanOptions
from autoseg.tasks.segmentation.report.training import plan_section
from autoseg.tasks.segmentation.risk import risks_in_words
from autoseg.workspace import Workspace

SHAPE = (12, 20, 30)
PATCH = (8, 8, 16)
WHOLE = (24, 40, 64)  # wherever it is centred in the image, it holds all of it
LESION_VOXELS = 3.0
Found = dict[str, Visibility]


def scattered(seed: int) -> np.ndarray:
    """Label (12, 20, 30): organ (1) of a fifth of the volume, lesions (2) of one voxel each."""
    label = np.zeros(SHAPE, np.uint8)
    label[2:10, 4:14, 5:22] = 1
    rng = np.random.default_rng(seed)
    label[rng.permutation(12)[:3], rng.permutation(20)[:3], rng.permutation(30)[:3]] = 2
    return label


def dataset_of(folder: Path, volumes: list[np.ndarray], **of_dataset: object) -> Dataset:
    image = np.random.default_rng(0).integers(1, 1000, (1, *SHAPE)).astype(np.int16)
    for number, label in enumerate(volumes):
        like = Image(image, Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
        write_image(folder / "imagesTr" / f"case_{number}_0000.nii.gz", image, like=like)
        write_label(folder / "labelsTr" / f"case_{number}.nii.gz", label, like=like)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}, "numTraining": len(volumes),
        "file_ending": ".nii.gz"} | of_dataset)
    return load_dataset(folder)


def planned(dataset: Dataset, patch: tuple[int, int, int] = PATCH, batch: int = 2) -> tuple[Plans, Found]:
    """The plans of a dataset with another patch and batch in 3d_fullres, and what these show of each class."""
    request = prepare(dataset, PlanOptions())
    inspections = list(inspect(request, measure, 1))
    made = plan(request, dataset, inspections, 1)
    assert made.fingerprint is not None
    its = made.plans.configurations["3d_fullres"].model_copy(update={"patch_size": patch, "batch_size": batch})
    plans = made.plans.model_copy(update={"configurations": {"3d_fullres": its}})
    points = {name: case.points_in(made.fingerprint.orientation) for name, case in measured_cases(dataset, inspections).items()}
    plans = with_visibility(plans, made.fingerprint, dataset.labels, points)
    return plans, plans.configurations["3d_fullres"].visibility


def in_every_patch(label: np.ndarray, values: list[int]) -> np.ndarray:
    """The voxels of a class in each patch that lies in the image, counted one by one."""
    windows = sliding_window_view(np.isin(label, values), PATCH)
    counts: np.ndarray = windows.sum(axis=(3, 4, 5)).ravel()
    return counts


def test_the_share_of_random_patches_is_that_over_every_patch_there_is(tmp_path: Path) -> None:
    labels = [scattered(seed) for seed in range(4)]
    _, found = planned(dataset_of(tmp_path / "Dataset001_Scattered", labels))
    for name, value in (("organ", 1), ("lesion", 2)):
        counts = np.concatenate([in_every_patch(label, [value]) for label in labels])
        assert found[name].random_share == pytest.approx((counts > 0).mean(), abs=0.06)  # 1000 patches: 4 standard errors
    assert found["lesion"].voxels in (1.0, 2.0)
    assert found["organ"].voxels == pytest.approx(np.median(counts_of_organ(labels)), rel=0.3)
    assert found["lesion"].training_share > found["lesion"].random_share  # one of two patches lies on foreground


def counts_of_organ(labels: list[np.ndarray]) -> np.ndarray:
    counts = np.concatenate([in_every_patch(label, [1]) for label in labels])
    return counts[counts > 0]


def test_a_class_that_half_of_the_cases_hold_is_seen_in_half_of_the_patches(tmp_path: Path) -> None:
    empty = np.where(scattered(0) == 2, 0, scattered(0))
    _, found = planned(dataset_of(tmp_path / "Dataset001_Half", [scattered(0), empty]), WHOLE)
    assert found["lesion"] == Visibility(random_share=0.5, training_share=0.5, voxels=LESION_VOXELS, at_risk=True)
    assert found["organ"].random_share == found["organ"].training_share == 1.0 and not found["organ"].at_risk


def test_a_region_is_all_of_its_classes_and_a_class_that_no_case_holds_is_left_out(tmp_path: Path) -> None:
    label = np.where(scattered(1) == 2, 0, scattered(1))
    dataset = dataset_of(tmp_path / "Dataset001_Regions", [label], labels={"background": 0, "all": [1, 2], "lesion": [2]},
                         regions_class_order=[1, 2])
    _, found = planned(dataset, WHOLE)
    assert list(found) == ["all"] and found["all"].voxels == (label == 1).sum()


def test_patches_lie_on_annotated_voxels_where_a_label_is_ignored(tmp_path: Path) -> None:
    label = np.full(SHAPE, 3, np.uint8)
    label[:, :3, :3] = 0
    label[5, 1, 1] = 2
    dataset = dataset_of(
        tmp_path / "Dataset001_Ignored", [label], labels={"background": 0, "organ": 1, "lesion": 2, "ignore": 3})
    _, found = planned(dataset)
    assert found["lesion"].random_share > 0.5  # 0.3 anywhere in the image


def test_images_stored_along_other_axes_show_the_same(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "Dataset001_One", [scattered(0), scattered(1)])
    turned = dataset_of(tmp_path / "Dataset002_Turned", [scattered(0), scattered(1)])
    path = turned.folder / "labelsTr" / "case_1.nii.gz"
    for file in (path, turned.folder / "imagesTr" / "case_1_0000.nii.gz"):
        turn(file)
    assert planned(one)[1]["lesion"].random_share == pytest.approx(planned(turned)[1]["lesion"].random_share, abs=0.06)


def turn(path: Path) -> None:
    """Store a file with its axes x and y exchanged; it shows the same."""
    import nibabel

    image = nibabel.load(path)
    affine = image.affine[:, [1, 0, 2, 3]]
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(np.asarray(image.dataobj).transpose(1, 0, 2)), affine), path)


def test_what_is_at_risk_is_said_with_its_numbers(tmp_path: Path) -> None:
    plans, _ = planned(dataset_of(tmp_path / "Dataset001_Half", [scattered(0)]), WHOLE)
    said = risks_in_words(plans)
    assert said.startswith("lesion is at risk of never being found: in 3d_fullres, 100 % of all patches hold it, with 3 of 61440 "
                           "voxels.")
    assert f"Warning: {said}" in counts(plans, Workspace.at(tmp_path).dataset("Dataset001_Half")).in_words
    blocks = plan_section(plans).blocks
    assert any(isinstance(block, Text) and block.text == said and block.is_note for block in blocks)
    [table] = [block for block in blocks if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == ["lesion", "organ"] and table.marked == {0}
    assert table.rows[0][1:4] == ["100 %", "100 %", "3"]
    its = plans.configurations["3d_fullres"]
    safe = its.model_copy(update={"visibility": {"organ": its.visibility["organ"]}})
    assert risks_in_words(plans.model_copy(update={"configurations": {"3d_fullres": safe}})) == ""


@pytest.mark.parametrize(("share", "voxels", "says"), [(1.0, 14, True), (1.0, 16, False), (0.5, 29, True), (0.1, 160, False)])
def test_a_class_is_at_risk_below_one_and_a_half_in_a_thousand_of_all_voxels(share: float, voxels: float, says: bool) -> None:
    assert at_risk(share, voxels, 10_000) == says
