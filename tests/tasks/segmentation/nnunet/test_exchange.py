"""nnU-Net's models where a user names them: with -m, and imported."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg.api import import_models, predict_files
from autoseg.errors import AutosegError
from autoseg.image_io import read_image
from tests.tasks.segmentation.nnunet.models import checkpoint
from tests.tasks.segmentation.nnunet.test_reading import Runs

MakeModel = Callable[..., Path]


def test_the_zip_that_nnunet_exports(shared_data: Path, tmp_path: Path) -> None:
    """Predicted as it is and imported: nnU-Net's own answer by the same weights, and the workspace left alone."""
    models = shared_data / "nnunet_models"
    image = tmp_path / "in/hippocampus_024_0000.nii.gz"
    image.parent.mkdir()
    shutil.copy(models / "plain/images" / image.name, image)
    theirs = read_image(models / "old_plans/predicted_3d_fullres/hippocampus_024.nii.gz").array
    result = predict_files(image.parent, tmp_path / "out", model=models / "plain.zip", precision="float32", quiet=True)
    assert np.array_equal(read_image(result.written["hippocampus_024"]).array, theirs)
    imported, = import_models(models / "plain.zip", name="mine", workspace=tmp_path / "ws", quiet=True).models
    assert imported.root == tmp_path / "ws/Dataset901_Plain/models/3d_fullres/mine"
    result = predict_files(image.parent, tmp_path / "again", workspace=tmp_path / "ws", precision="float32", quiet=True)
    assert np.array_equal(read_image(result.written["hippocampus_024"]).array, theirs)


def test_a_pickle_that_would_run_in_a_zip(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model({"0": checkpoint(logging=Runs(tmp_path / "ran"))}, parent=tmp_path / "models")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for file in source.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path / "models"))
    for path in (source, tmp_path / "model.zip"):
        with pytest.raises(AutosegError, match=r"would run or make \w+\.system"):
            predict_files(tmp_path, tmp_path / "out", model=path, workspace=tmp_path / "ws", quiet=True)
        with pytest.raises(AutosegError, match=r"would run or make \w+\.system"):
            import_models(path, workspace=tmp_path / "ws", quiet=True)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "ws").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth", "fold_0/checkpoint_best.pth"])
def test_a_bare_pickle_in_the_place_of_each_file(make_model: MakeModel, tmp_path: Path, file: str) -> None:
    source = make_model()
    (source / file).write_bytes(bare_pickle(tmp_path / "ran"))
    with pytest.raises(AutosegError, match=Path(file).name):
        import_models(source, workspace=tmp_path / "ws", quiet=True)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize("file", ["model.json", "fold_0/checkpoint_final.safetensors", "fold_0/checkpoint_best.safetensors"])
def test_a_bare_pickle_in_the_place_of_each_file_of_ours(make_model: MakeModel, tmp_path: Path, file: str) -> None:
    source, = import_models(make_model(), workspace=tmp_path / "own", quiet=True).models
    (source.root / file).write_bytes(bare_pickle(tmp_path / "ran"))
    with pytest.raises(AutosegError, match=Path(file).name):
        import_models(source.root, workspace=tmp_path / "ws", quiet=True)
        predict_files(tmp_path, tmp_path / "out", model=source.root, checkpoint="best", quiet=True)
    assert not (tmp_path / "ran").exists()


def bare_pickle(ran: Path) -> bytes:
    """A pickle that would write a file."""
    return b"cos\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR."
