"""From a table to answers: covariates, regions, the epoch chosen by held-out cases, a trained encoder to start from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autoseg.api import cross_validation, evaluate, find_best, plan_and_preprocess, predict_files, report, train
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.image import Geometry, Image
from autoseg.image_io import read_label, write_image, write_label
from autoseg.inference.checkpoints import read_weights
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.rows import CLASSES
from autoseg.workspace import DatasetFolder, ModelFolder, read_model

SMALL = {"base_features": 2, "batch_size": 2, "precision": "float32"}
CASES = 10


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten volumes with a labelled cube, a table of grade, age and sex, planned; and two folds of a classifier."""
    root = tmp_path_factory.mktemp("classes")
    folder, random = root / "Dataset007_Grades", np.random.default_rng(0)
    rows = ["case;grade;age;sex"]
    for number in range(CASES):
        array = random.normal(100, 10, (1, 8, 10, 10)).astype(np.float32)
        label = np.zeros((8, 10, 10), np.uint8)
        label[2:6, 2:7, 3:8] = 1
        array[0][label > 0] += 60 * (number % 2)
        image = Image(array, Geometry((1.0, 1.0, 1.0)))
        write_image(folder / "imagesTr" / f"c{number}_0000.nii.gz", array, image)
        write_label(folder / "labelsTr" / f"c{number}.nii.gz", label, like=image)
        age = "" if number == 3 else str(40 + number)
        rows.append(f"c{number};{('low', 'high')[number % 2]};{age};{'fm'[number // 2 % 2]}")
    write_text(folder / "targets.csv", "\n".join(rows))
    write_json(folder / "dataset.json", {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "cube": 1},
                                         "numTraining": CASES, "file_ending": ".nii.gz"})
    names = [f"c{number}" for number in range(CASES)]
    write_json(folder / "splits_final.json", [{"train": names[:5], "val": names[5:]}, {"train": names[5:], "val": names[:5]}])
    plan(root, "labels")
    for fold in range(2):
        run(root, fold)
    return root


def plan(root: Path, roi: str | None, **options: Any) -> Any:
    return plan_and_preprocess(root / "Dataset007_Grades", planner="classification", target=["grade"], roi=roi, edge=8, depth=2,
                               workers=1, workspace=root / "workspace", quiet=True, **options)


def run(root: Path, fold: int, name: str | None = None, **changes: Any) -> Any:
    return train("Dataset007_Grades", fold, recipe="classifier", epochs=2, iterations=1, name=name, workspace=root / "workspace",
                 device="cpu", quiet=True, settings=SMALL | changes.pop("settings", {}), **changes)


def test_all_folds_together_say_what_image_and_covariates_add_and_calibrate_the_model(workspace: Path) -> None:
    found = cross_validation("Dataset007_Grades", "classes", "classifier", workspace=workspace / "workspace", quiet=True)
    summary = found.summary
    assert list(summary.numbers) == ["classifier", "images alone", "covariates alone", "mean intensity", "majority"]
    assert summary.cases == CASES and summary.counts == {"high": 5, "low": 5} and len(summary.temperatures) == 2
    assert summary.numbers["mean intensity"].mean_auroc.value == 1.0  # the cubes of every second case are brighter
    model = DatasetFolder(workspace / "workspace" / "Dataset007_Grades").model("classes", "classifier")
    assert read_model(model.model_json, ClassifierDescription).calibration == summary.calibration is not None


def test_new_images_take_their_region_and_covariates_and_say_what_is_unusual(workspace: Path, tmp_path: Path) -> None:
    source, few = workspace / "Dataset007_Grades", tmp_path / "few.csv"
    model = workspace / "workspace/Dataset007_Grades/models/classes/classifier"
    predict: dict[str, Any] = {"device": "cpu", "quiet": True, "model": model}
    images, regions = source / "imagesTr", source / "labelsTr"
    with pytest.raises(AutosegError, match="looks at a labelled region. Give, with --roi, the model"):
        predict_files(images, tmp_path / "out", **predict)
    write_text(few, "case,age,sex\nc0,40,f\nc1,old,x\n")
    found = predict_files(images, tmp_path / "out", roi=regions, covariates=few, **predict)
    assert len(found.rows) == CASES and not found.failed and "c0" not in found.warnings
    assert 'age is "old"' in found.warnings["c1"][0] and "no covariates" in found.warnings["c2"][0]
    assert (tmp_path / "out" / CLASSES).read_text().splitlines()[0] == "case,predicted,p_high,p_low"
    again = predict_files(images, tmp_path / "out", roi=regions, covariates=few, **predict)
    assert again.already_there == CASES and again.rows == found.rows and again.warnings == found.warnings
    measured = evaluate(source / "targets.csv", tmp_path / "out", quiet=True).summary
    assert measured.cases == CASES and measured.counts == {"high": 5, "low": 5}
    write_text(tmp_path / "without.csv", "case,age\nc0,40\n")
    with pytest.raises(AutosegError, match="has no column sex, but this classifier takes age, sex"):
        predict_files(images, tmp_path / "other", roi=regions, covariates=tmp_path / "without.csv", **predict)


def test_a_model_segments_the_region_that_is_looked_at(
    workspace: Path, tmp_path: Path, describe: Any, weights_of: Any
) -> None:
    source = workspace / "Dataset007_Grades"
    description = describe(classes=2)
    segmenting, weights = ModelFolder(tmp_path / "segmenting"), weights_of(description)
    head = next(name for name in reversed(weights) if name.endswith("bias") and weights[name].shape == (2,))
    weights[head] = torch.tensor([-100.0, 100.0])  # everything is the region
    write_json(segmenting.model_json, description)
    segmenting.fold(0).root.mkdir()
    save_file(weights, segmenting.fold(0).checkpoint_final)
    model = workspace / "workspace/Dataset007_Grades/models/classes/classifier"
    whole = {f"c{number}": np.ones((8, 10, 10), np.uint8) for number in range(CASES)}
    for name, label in whole.items():
        write_label(tmp_path / "whole" / f"{name}.nii.gz", label, like=read_label(source / "labelsTr" / f"{name}.nii.gz"))
    predict: dict[str, Any] = {"device": "cpu", "quiet": True, "model": model}
    found = predict_files(source / "imagesTr", tmp_path / "out", roi=segmenting.root, **predict)
    expected = predict_files(source / "imagesTr", tmp_path / "expected", roi=tmp_path / "whole", **predict)
    assert found.rows == expected.rows and len(found.rows) == CASES
    assert len(list((tmp_path / "out" / "regions").glob("*.nii.gz"))) == CASES
    again = predict_files(source / "imagesTr", tmp_path / "out", roi=segmenting.root, **predict)
    assert again.already_there == CASES and again.rows == found.rows
    with pytest.raises(AutosegError, match=r'holds a model of the task "classification".*--roi'):
        predict_files(source / "imagesTr", tmp_path / "out", roi=model, **predict)
    shutil.copytree(source, tmp_path / source.name)
    planned = plan_and_preprocess(tmp_path / source.name, planner="classification", target=["grade"], roi=str(segmenting.root),
                                  edge=8, depth=2, workers=1, workspace=tmp_path / "work", quiet=True)
    regions = Path(planned.plans.roi)
    assert regions.parent.name == "regions" and len(list(regions.glob("*.nii.gz"))) == CASES and not planned.failed


def test_find_best_compares_classifiers_and_their_mean_predicts(workspace: Path, tmp_path: Path) -> None:
    for fold in range(2):
        run(workspace, fold, "second", settings={"seed": 5, "covariates": False})
    place, source = workspace / "workspace", workspace / "Dataset007_Grades"
    folder = DatasetFolder(place / "Dataset007_Grades")
    found = find_best("Dataset007_Grades", recipes=["classifier", "second"], workspace=place, quiet=True)
    assert found.path == folder.root / "best_classification.json" and found.best.measure == "AUROC"
    assert len(found.best.candidates) == 3 and not found.best.rules and found.best.ways is None
    predict: dict[str, Any] = {"device": "cpu", "quiet": True, "workspace": place, "roi": source / "labelsTr"}
    table = source / "targets.csv"
    each = [predict_files(source / "imagesTr", tmp_path / name, recipe=name, dataset=folder.name, **predict, **given)
            for name, given in (("classifier", {"covariates": table}), ("second", {}))]
    both = predict_files(source / "imagesTr", tmp_path / "both", dataset=folder.name, recipe=["classifier", "second"],
                         covariates=table, **predict)
    for one, other, mean in zip(*(its.rows for its in (*each, both)), strict=True):
        assert mean.p_high == pytest.approx((one.p_high + other.p_high) / 2, abs=2e-5)
    chosen = predict_files(source / "imagesTr", tmp_path / "chosen", dataset=folder.name, configuration="classes", **predict)
    assert len(chosen.rows) == CASES
    with pytest.raises(AutosegError, match="--explain explains one classifier"):
        predict_files(source / "imagesTr", tmp_path / "maps", dataset=folder.name, recipe=["classifier", "second"], explain=True,
                      **predict)
    report(folder.name, workspace=place, quiet=True)
    page = folder.report_html.read_text()
    assert found.best.reason in page and "Models and ensembles compared" in page


def test_a_training_may_choose_its_epoch_and_start_from_a_trained_encoder(workspace: Path) -> None:
    models = DatasetFolder(workspace / "workspace" / "Dataset007_Grades")
    start = models.model("classes", "classifier")
    run(workspace, 0, "early", settings={"early": 0.3})
    run(workspace, 0, "again", pretrained=start.root, settings={"learning_rate": 1e-9, "weight_decay": 0.0, "seed": 1})
    first, again = (read_weights(models.model("classes", name).fold(0).checkpoint_final) for name in ("classifier", "again"))
    kernel = "network.answer.encoder.0.0.0.weight"
    assert np.allclose(first[kernel], again[kernel], atol=1e-6)
    assert not np.allclose(first["network.answer.head.weight"], again["network.answer.head.weight"], atol=1e-3)
    with pytest.raises(AutosegError, match="has another features than the plan's"):
        run(workspace, 0, "wider", pretrained=start.root, settings={"base_features": 4})


def test_a_table_that_changed_since_planning_is_not_trained_on(workspace: Path) -> None:
    table = workspace / "Dataset007_Grades" / "targets.csv"
    before = table.read_text()
    try:
        write_text(table, before.replace("c1;high", "c1;low"))
        with pytest.raises(AutosegError, match=r"targets\.csv has changed since planning.*plan again: "
                                                "autoseg_plan_and_preprocess "
                           ".*--planner classification --target grade"):
            run(workspace, 0, "changed")
    finally:
        write_text(table, before)
