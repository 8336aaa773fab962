"""What an output folder remembers of the models and rules that filled it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.best import DropSmall, KeepLargest, Rule
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image
from autoseg.inference.inputs import PredictionInput
from autoseg.inference.model import LoadedModel, load_model
from autoseg.inference.predictor import Predictor, list_inputs
from autoseg.inference.record import RECORD_NAME

CPU = torch.device("cpu")
KEEP = KeepLargest(labels=(1,), count=2)


@pytest.fixture
def models(describe: Any, save_model: Any, tmp_path: Path) -> list[LoadedModel]:
    """Two models, of patches 8³ and 8²."""
    return [load_model(save_model(tmp_path / str(number), describe(patch_size=patch), folds=(str(number),)))
            for number, patch in enumerate([(8, 8, 8), (8, 8)])]


@pytest.fixture
def inputs(tmp_path: Path, describe: Any) -> list[PredictionInput]:
    image = Image(np.random.default_rng(0).normal(size=(1, 4, 6, 5)).astype(np.float32), Geometry((1.0, 1.0, 1.0)))
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.nii.gz", image.array, image)
    return list_inputs(tmp_path / "in", describe())


def run(models: list[LoadedModel], inputs: list[PredictionInput], out: Path, *rules: Rule, count: int = 2) -> list[bool]:
    """Of the first `count` cases, whether they were there. Post-processing leaves the labels as they are."""
    predictor = Predictor(models, CPU, "float32", rules=rules, postprocess=lambda labels, spacing_mm: labels)
    outcomes = predictor.predict_files(inputs, out)
    return [next(outcomes).value.was_there for _ in range(count)]


def test_the_same_ensemble_goes_on_whatever_the_order_of_its_members(models: Any, inputs: Any, tmp_path: Path) -> None:
    assert run(models, inputs, tmp_path / "out", KEEP, count=1) == [False]
    assert run(models[::-1], inputs, tmp_path / "out", KEEP) == [True, False]
    record = json.loads((tmp_path / "out" / RECORD_NAME).read_text())
    assert {tuple(model["folds"]) for model in record["origin"]["models"]} == {("0",), ("1",)}
    assert record["origin"]["postprocessing"][0]["kind"] == "keep_largest"


def test_other_members_or_rules_are_refused_and_named(models: Any, inputs: Any, tmp_path: Path) -> None:
    run(models, inputs, tmp_path / "out", KEEP)
    with pytest.raises(AutosegError, match=r"models tiny default \+ tiny default \(now tiny default\)"):
        run(models[:1], inputs, tmp_path / "out", KEEP)
    with pytest.raises(AutosegError, match=r"post-processing keep_largest .*labels.*count.* \(now none\)"):
        run(models, inputs, tmp_path / "out")
    with pytest.raises(AutosegError, match=r"made: post-processing keep_largest .* \(now drop_small .*0.5"):
        run(models, inputs, tmp_path / "out", DropSmall(labels=(1,), below_ml=0.5))


def test_a_case_made_anew_leaves_the_others_in_the_record_of_the_same_models(models: Any, inputs: Any, tmp_path: Path) -> None:
    def overwrite_a(members: list[LoadedModel]) -> bool:
        predictor = Predictor(members, CPU, "float32", rules=(KEEP,), postprocess=lambda labels, spacing_mm: labels)
        return bool(next(predictor.predict_files(inputs[:1], tmp_path / "out", overwrite=True)).value.was_there)

    def record() -> list[str]:
        return sorted(json.loads((tmp_path / "out" / RECORD_NAME).read_text())["cases"])

    run(models, inputs, tmp_path / "out", KEEP)
    assert not overwrite_a(models) and record() == ["a.nii.gz", "b.nii.gz"]
    assert not overwrite_a(models[:1]) and record() == ["a.nii.gz"]  # b is another ensemble's


def _as_before_ensembles(record: Path) -> dict[str, Any]:
    """The record as the version before wrote it: one model, without post-processing."""
    content = json.loads(record.read_text())
    [content["origin"]] = content["origin"]["models"]
    record.write_text(json.dumps(content))
    return content


def test_a_folder_that_the_version_before_left_is_gone_on_with(models: Any, inputs: Any, tmp_path: Path) -> None:
    run(models[:1], inputs, tmp_path / "out", count=1)
    assert _as_before_ensembles(tmp_path / "out" / RECORD_NAME)["origin"].keys() == {
        "dataset", "configuration", "recipe", "folds", "weights", "mirror_axes"}
    assert run(models[:1], inputs, tmp_path / "out") == [True, False]


def test_another_models_folder_of_the_version_before_is_refused(models: Any, inputs: Any, tmp_path: Path) -> None:
    run(models[:1], inputs, tmp_path / "out")
    _as_before_ensembles(tmp_path / "out" / RECORD_NAME)
    with pytest.raises(AutosegError, match=r"another model or other options made: folds 0 \(now 1\), weights"):
        run(models[1:], inputs, tmp_path / "out")
    with pytest.raises(AutosegError, match=r"post-processing none \(now keep_largest"):
        run(models[:1], inputs, tmp_path / "out", KEEP)


def test_a_record_that_is_none_is_named(models: Any, inputs: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RECORD_NAME).write_text('{"origin": {"surprise": 1}}')
    with pytest.raises(AutosegError, match=f"{RECORD_NAME} does not fit"):
        run(models, inputs, tmp_path / "out")
