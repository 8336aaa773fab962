"""The package as a Python program uses it."""

from __future__ import annotations

import importlib
import inspect
import pydoc
from importlib import metadata

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

import autoseg
from autoseg.image_io import read_label


def test_dir_help_and_version_show_what_there_is() -> None:
    verbs = [name for name in autoseg.__all__ if name not in ("AutosegError", "Model")]
    assert {*autoseg.__all__, "__version__"} <= set(dir(autoseg)) and set(verbs) == autoseg.VERBS.keys()
    shown = pydoc.render_doc(autoseg, renderer=pydoc.plaintext)
    for name in verbs:
        assert f"    {name:<20} {autoseg.VERBS[name]}" in shown
        first = (inspect.getdoc(getattr(autoseg, name)) or "").splitlines()[0]
        assert first and first in " ".join(shown.split()) + shown
    assert autoseg.__version__ == metadata.version("autoseg")


@pytest.fixture
def image_path(trained):
    return sorted((trained.source / "imagesTs").iterdir())[0]


def test_three_images_cost_one_loading_and_come_back_as_what_they_were(trained, image_path, tmp_path, monkeypatch) -> None:
    module = importlib.import_module("autoseg.tasks.segmentation.prediction")
    loadings, load = [], module.load_model
    monkeypatch.setattr(module, "load_model", lambda *given: loadings.append(given) or load(*given))
    files = autoseg.predict_files(image_path, tmp_path, workspace=trained.workspace, mirroring=False, step_size=1, quiet=True)
    expected = read_label(next(iter(files.written.values()))).array[0]
    loadings.clear()
    model = autoseg.load(workspace=trained.workspace, mirroring=False, step_size=1)
    of_nibabel, of_itk = nib.load(image_path), sitk.ReadImage(str(image_path))
    nibabels, itks = model.predict(of_nibabel), model.predict(of_itk)
    assert isinstance(nibabels, nib.Nifti1Image) and np.array_equal(nibabels.affine, of_nibabel.affine)
    assert np.array_equal(np.asarray(nibabels.dataobj).T, expected) and nibabels.get_data_dtype() == np.uint8
    assert np.array_equal(sitk.GetArrayFromImage(itks), expected)
    assert (itks.GetSpacing(), itks.GetOrigin(), itks.GetDirection()) \
        == (of_itk.GetSpacing(), of_itk.GetOrigin(), of_itk.GetDirection())
    array, spacing = sitk.GetArrayFromImage(of_itk), of_itk.GetSpacing()[::-1]
    assert np.array_equal(model.predict(array, spacing, direction=of_itk.GetDirection()), expected)
    assert np.array_equal(model.predict(str(image_path)), expected)
    other = model.predict([sitk.DICOMOrient(of_itk, "SAR")])  # another axis order, a list of one channel
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(of_itk.GetDirection())
    assert np.array_equal(sitk.GetArrayFromImage(sitk.DICOMOrient(other, code)), expected)
    assert len(loadings) == 1


def test_probabilities_come_on_request_and_their_highest_is_the_label(trained, image_path) -> None:
    model = autoseg.load(workspace=trained.workspace, mirroring=False, postprocessing=False)
    labels, probabilities = model.predict(image_path, probabilities=True)
    assert probabilities.shape == (3, *labels.shape) and probabilities.dtype == np.float16
    assert np.allclose(probabilities.astype(float).sum(0), 1, atol=2e-3)
    highest = probabilities.argmax(0)
    assert (highest == labels).mean() > 0.99  # float16 has ties
    assert (probabilities.max(0) - np.take_along_axis(probabilities, labels[None].astype(int), 0)[0] < 2e-3).all()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"array": np.zeros((4, 4))}, r"shape \(4, 4\). Expected \(C, Z, Y, X\)"),
    ({"array": np.zeros((4, 4, 4))}, r"needs spacing_mm="),
    ({"array": np.zeros((4, 4, 4)), "spacing_mm": (1, 0, 1)}, "Expected three positive numbers"),
    ({"array": np.zeros((2, 4, 4, 4)), "spacing_mm": (1, 1, 1)}, "has 2 channels, but the model takes 1"),
    ({"array": sitk.Image(4, 4, 4, sitk.sitkInt16), "spacing_mm": (1, 1, 1)}, "Leave out spacing_mm="),
    ({"array": "nowhere.nii.gz"}, "nowhere.nii.gz does not exist"),
    ({"array": None}, "is a NoneType. Expected an array"),
])
def test_what_does_not_fit_is_said(trained, arguments, message) -> None:
    model = autoseg.load(workspace=trained.workspace)
    with pytest.raises(autoseg.AutosegError, match=message):
        model.predict(arguments.pop("array"), **arguments)


def test_settings_have_their_types_and_errors_speak_python(run, trained, capsys) -> None:
    where = {"workspace": trained.workspace, "quiet": True}
    with pytest.raises(autoseg.AutosegError, match=r"resume=True and restart=True contradict"):
        autoseg.train(trained.name, 1, resume=True, restart=True, **where)
    assert run("train", trained.name, "1", "--continue", "--restart", "--workspace", trained.workspace) == 1
    assert "--continue and --restart contradict" in capsys.readouterr().err
    with pytest.raises(autoseg.AutosegError, match=r"batch_size='two'"):
        autoseg.train(trained.name, 1, settings={"batch_size": "two"}, **where)
    with pytest.raises(autoseg.AutosegError, match=r"autoseg\.recipes\(\) explains"):
        autoseg.train(trained.name, 1, settings={"batchsize": 2}, **where)
    with pytest.raises(autoseg.AutosegError, match=r"Expected a dict"):
        autoseg.train(trained.name, 1, settings=["batch_size=2"], **where)
    with pytest.raises(autoseg.AutosegError, match=r"step_size= is 2, but"):
        autoseg.load(workspace=trained.workspace, step_size=2)
    with pytest.raises(autoseg.AutosegError, match=r"gate= is for files"):
        autoseg.load(workspace=trained.workspace, gate="x")
