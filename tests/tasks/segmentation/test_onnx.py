"""Segmentation models as ONNX: what ONNX Runtime computes, and a prediction by the JSON file alone, against autoseg's own."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.api import export_models, load
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.tasks.segmentation.exports.onnx import NEEDS
from tests.conftest import SaveModel, describe

LACKING = [name for name in NEEDS if importlib.util.find_spec(name) is None]
needs_extra = pytest.mark.skipif(bool(LACKING), reason=f"the extra autoseg[onnx] is not installed: {', '.join(LACKING)}")


@needs_extra
@pytest.mark.parametrize("patch_size", [(8, 8), (8, 8, 8)])
def test_a_program_that_reads_the_json_alone_gives_the_same_labels(
    tmp_path: Path, save_model: SaveModel, patch_size: tuple[int, ...]
) -> None:
    import onnxruntime

    axes = tuple(range(len(patch_size)))
    described = describe(channels=2, patch_size=patch_size, mirror_axes=axes)
    network = described.configuration.network.model_copy(update={"name": "resunet" if len(patch_size) == 2 else "unet"})
    configuration = described.configuration.model_copy(update={"network": network})
    plans = described.plans.model_copy(update={"configurations": {"tiny": configuration}})
    model = save_model(tmp_path, described.model_copy(update={"plans": plans}), ("0", "1"))
    export_models(tmp_path / "out", model=model.root, format="onnx", quiet=True)
    said = json.loads((tmp_path / "out" / "autoseg_onnx.json").read_text())
    sessions = {fold: onnxruntime.InferenceSession(str(tmp_path / "out" / name)) for fold, name in said["networks"].items()}
    assert list(sessions) == ["0", "1"] and said["input"]["shape"] == ["batch", 2, *patch_size]
    example = np.load(tmp_path / "out" / said["example"]["input"])
    for fold, session in sessions.items():
        (found,) = session.run(None, {"patch": np.concatenate([example, example[:, ::-1]] * 2)})
        expected = np.load(tmp_path / "out" / said["example"]["outputs"][fold])
        assert found.shape[0] == 4 and np.abs(found[0] - expected[0]).max() < 1e-5
        assert said["example"]["largest_difference_of_onnxruntime"][fold] < 1e-5
    # one patch is the whole image here: no resampling, no window, one 3D tile or the slices of a 2D network
    image = np.random.default_rng(0).standard_normal((2, 8, 8, 8)).astype(np.float32) + 5
    patches = image[None] if len(patch_size) == 3 else image.transpose(1, 0, 2, 3)
    flips = chain.from_iterable(combinations(said["mirroring"]["axes"], n) for n in range(len(axes) + 1))
    total = np.zeros((len(patches), said["output"]["shape"][1], *patch_size))
    for flip in flips:
        dims = [axis + 2 for axis in flip]
        for session in sessions.values():
            total += np.flip(session.run(None, {"patch": np.ascontiguousarray(np.flip(patches, dims))})[0], dims)
    labels = total.argmax(1).reshape(8, 8, 8)
    ours = load(model=model.root, device="cpu")
    for member in ours._prediction.predictor.members:  # type: ignore[attr-defined]
        member.dtype = torch.float32
    assert (labels == ours.predict(image, spacing_mm=(1.0, 1.0, 1.0))).mean() > 0.999


@needs_extra
def test_the_json_file_says_what_comes_before_and_after(tmp_path: Path, save_model: SaveModel) -> None:
    labels = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    model = save_model(tmp_path, describe(labels=labels, transpose=(2, 0, 1), spacing_mm=(3.0, 1.0, 1.0)))
    (tmp_path / "out").mkdir()
    export_models(tmp_path / "out", model=model.root, format="onnx", quiet=True)
    said = json.loads((tmp_path / "out" / "autoseg_onnx.json").read_text())
    assert said["axes"]["transpose"] == [2, 0, 1] and said["resampling"]["spacing_mm"] == [3.0, 1.0, 1.0]
    assert said["labels"]["channels"] == ["whole", "core"] and said["labels"]["regions_class_order"] == [1, 2]
    assert said["output"]["shape"] == ["batch", 2, 8, 8, 8] and said["sliding_window"]["patch"] == [8, 8, 8]
    with pytest.raises(AutosegError, match="is there already"):
        export_models(tmp_path / "out", model=model.root, format="onnx")
    export_models(tmp_path / "out", model=model.root, format="onnx", overwrite=True, quiet=True)
    (tmp_path / "out" / "notes").mkdir()
    (tmp_path / "out" / "notes" / "mine.txt").write_text("precious")
    for folder in (tmp_path, tmp_path / "out", model.root, tmp_path / "out" / "notes" / "mine.txt"):
        with pytest.raises(AutosegError, match="autoseg did not export"):
            export_models(folder, model=model.root, format="onnx", overwrite=True)


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path, describe())
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(AutosegError, match=r"pip install 'autoseg\[onnx\]'"):
        export_models(tmp_path / "out", model=model.root, format="onnx")
    assert not (tmp_path / "out").exists()
