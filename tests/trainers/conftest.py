"""Tiny planned datasets, and jobs on them, for each task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.api import plan_and_preprocess
from autoseg.dataset import Case, Dataset, Labels
from autoseg.files import write_json
from autoseg.plan import Configuration, IntensityStatistics, Plans, Topology
from autoseg.preprocessing.store import CaseProperties, case_origin
from autoseg.task import TaskInfo
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.classification import INFO as CLASSIFICATION
from autoseg.tasks.localization import INFO as LOCALIZATION
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.tasks.segmentation.store import plans_digest, write_volume
from autoseg.trainers import anomaly, classification, localization, segmentation
from autoseg.trainers.anomaly import AnomalySettings
from autoseg.trainers.classification import ClassificationSettings
from autoseg.trainers.job import Job
from autoseg.trainers.localization import LocalizationSettings
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.workspace import DatasetFolder

JobOn = Callable[..., Job[Any]]
LABELS = Labels(values={"background": 0, "cube": 1})
ROOMS: dict[str, tuple[TaskInfo, Any]] = {
    recipe: (task, room) for task, room in ((SEGMENTATION, segmentation), (ANOMALY, anomaly), (LOCALIZATION, localization),
                                            (CLASSIFICATION, classification))
    for recipe in room.RECIPES}


@pytest.fixture(name="job_on", scope="session")
def job_on_fixture() -> JobOn:
    return job_on


def job_on(
    folder: DatasetFolder, recipe: str, fold: str = "0", settings: Any = None, device: str = "cpu", name: str | None = None,
    configuration: str | None = None,
) -> Job[Any]:
    """The job of a fold, as a command makes it. configuration: None for the last one that the task may have but one."""
    task, room = ROOMS[recipe]
    defaults = room.defaults(room.RECIPES[recipe], folder)
    chosen = configuration or ("3d_fullres" if task is SEGMENTATION else task.configurations[0])
    return Job(folder, task, chosen, recipe, room.RECIPES[recipe], fold, settings, defaults, device, name)


def plans_with(spacing_mm: float) -> Plans:
    """Plans of patches of 4 × 4 × 4 voxels, whose numbers are hard to write down."""
    configuration = Configuration(
        spacing_mm=(spacing_mm, 1, 1), median_shape=(4, 4, 4), patch_size=(4, 4, 4), batch_size=2, normalization=("zscore",),
        normalize_inside_mask=(False,),
        network=Topology(features=(4,), strides=((1, 1, 1),), kernel_sizes=((3, 3, 3),), convs_per_stage=(1,)))
    intensities = IntensityStatistics(
        mean=float(np.float32(0.1)), std=1 / 3, median=1e-17, percentile_00_5=-1, percentile_99_5=1e22)
    return Plans(
        dataset="Dataset001_T", planner="default", transpose=(0, 1, 2), versions={}, foreground_intensities={"0": intensities},
        configurations={"3d_fullres": configuration})


@pytest.fixture(name="plans_with")
def plans_with_fixture() -> Callable[[float], Plans]:
    return plans_with


def store_volume(folder: DatasetFolder, name: str, plans: Plans) -> None:
    """Store a case of zeros as these plans would have it; its files lie above the folder."""
    path = folder.root.parent / name
    path.write_text(name)
    case = Case(name=name, images=(path,), label=path)
    box = ((0, 4), (0, 4), (0, 4))
    properties = CaseProperties(
        case=name, shape_original=(4, 4, 4), spacing_mm=(1, 1, 1), transpose=(0, 1, 2), crop_box=box, shape_cropped=(4, 4, 4),
        shape_resampled=(4, 4, 4), spacing_resampled_mm=(1, 1, 1), versions={})
    zeros, digest = np.zeros((1, 4, 4, 4), np.float32), plans_digest(LABELS, plans, plans.configurations["3d_fullres"])
    write_volume(folder.preprocessed("3d_fullres"), zeros, zeros.astype(np.int8), properties, LABELS, plans=digest,
                 origin=case_origin(case, digest))


@pytest.fixture
def make_segmentation_job(tmp_path: Path) -> JobOn:
    """A function that gives a job on three cases that were preprocessed by plans of 1 mm: fold, name, and settings."""
    folder, plans = DatasetFolder(tmp_path / "Dataset001_T"), plans_with(1)
    training = tuple(Case(name=name, images=(tmp_path / name,), label=tmp_path / name) for name in "abc")
    write_json(folder.dataset_json, Dataset(
        name="Dataset001_T", folder=tmp_path, layout="nnunet", channel_names=("CT",), labels=LABELS, file_ending=".nii.gz",
        training=training))
    write_json(folder.root / SEGMENTATION.plans_file, plans)
    for name in "abc":
        store_volume(folder, name, plans)

    def make(fold: str = "0", name: str | None = None, **changes: Any) -> Job[SegmentationSettings]:
        return job_on(folder, "default", fold, SegmentationSettings.model_validate(changes), name=name)

    return make


def small_gan(**changes: Any) -> AnomalySettings:
    """Two epochs of three steps, in float32, with networks of a few channels."""
    return AnomalySettings.model_validate({
        "epochs": 2, "iterations": 3, "batch_size": 4, "latent": 4, "features": 1, "precision": "float32", "search_steps": 2,
        "sample_epochs": 1, **changes})


@pytest.fixture(scope="session")
def planned_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve gray pictures of 64 × 64 pixels, noise with a bright square in it, eight of them normal; in a workspace."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(12):
        pixels = random.integers(0, 80, (64, 64), np.uint8)
        pixels[20:40, 20 + 2 * number:30 + 2 * number] += 150
        path = root / "Squares" / ("normal" if number < 8 else "abnormal") / f"picture{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels).save(path)
    plan_and_preprocess(root / "Squares", planner="slices", workers=1, workspace=root / "workspace", quiet=True)
    return root / "workspace" / "Squares"


@pytest.fixture
def make_anomaly_job(planned_pictures: Path, tmp_path: Path) -> JobOn:
    """A function that gives a job on these pictures, in a workspace of the test's own: fold, name, and settings."""
    own = _linked(planned_pictures, tmp_path)
    return lambda fold="0", name=None, **changes: job_on(own, "anogan", fold, small_gan(**changes), name=name)


def small_locator(**changes: Any) -> LocalizationSettings:
    """Two epochs of two steps, in float32, with a network of a few channels that looks at projections as they are."""
    return LocalizationSettings.model_validate({
        "epochs": 2, "iterations": 2, "batch_size": 2, "base_features": 4, "precision": "float32", "zooms": (1.0,), **changes})


@pytest.fixture(scope="session")
def planned_balls(tmp_path_factory: pytest.TempPathFactory, make_balls: Callable[..., Path]) -> Path:
    """Six volumes, of which the last has no ball, projected for `find ball`; in a workspace."""
    root = tmp_path_factory.mktemp("balls")
    source = make_balls(root, with_ball=5, without=1)
    plan_and_preprocess(
        source, planner="projection", workers=1, workspace=root / "workspace", quiet=True, find=("ball",), spacing=2.0, depth=2)
    return root / "workspace" / source.name


@pytest.fixture
def make_localization_job(planned_balls: Path, tmp_path: Path) -> JobOn:
    """A function that gives a job on these volumes, in a workspace of the test's own: fold, name, and settings."""
    own = _linked(planned_balls, tmp_path)
    return lambda fold="0", name=None, **changes: job_on(own, "locator", fold, small_locator(**changes), name=name)


def small_classifier(**changes: Any) -> ClassificationSettings:
    """Two epochs of two steps, in float32, with a network of a few channels."""
    return ClassificationSettings.model_validate({
        "epochs": 2, "iterations": 2, "batch_size": 2, "base_features": 2, "precision": "float32", **changes})


@pytest.fixture
def make_classification_job(planned_squares: Path, tmp_path: Path) -> JobOn:
    """A function that gives a job on these pictures, in a workspace of the test's own: fold, name, and settings."""
    own = _linked(planned_squares, tmp_path)
    return lambda fold="0", name=None, **changes: job_on(own, "classifier", fold, small_classifier(**changes), name=name)


@pytest.fixture(scope="session")
def planned_squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten gray pictures of noise in the folders bright and dark, of which the bright ones hold a square; in a workspace."""
    root = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    for number in range(10):
        pixels = random.integers(1, 80, (16, 16), np.uint8)
        if number % 2:
            pixels[4:9, 3:8] += 150
        path = root / "Grays" / ("bright" if number % 2 else "dark") / f"picture{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels).save(path)
    plan_and_preprocess(root / "Grays", planner="classification", workers=1, workspace=root / "workspace", quiet=True, depth=2)
    return root / "workspace" / "Grays"


def _linked(planned: Path, tmp_path: Path) -> DatasetFolder:
    """A workspace of the test's own, whose files are those that were planned."""
    own = tmp_path / "workspace" / planned.name
    own.mkdir(parents=True)
    for path in planned.iterdir():
        (own / path.name).symlink_to(path)
    return DatasetFolder(own)


@pytest.fixture
def small_settings() -> dict[str, Callable[..., Any]]:
    """Functions that give settings of a tiny training, by task."""
    return {"anomaly": small_gan, "localization": small_locator, "classification": small_classifier}
