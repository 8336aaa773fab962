"""Rules applied to files: each keeps its grid, header and dtype; the input stays; a killed or repeated run goes on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.api.postprocessing import postprocess
from autoseg.best import Best, KeepLargest, Rule, TriedRule
from autoseg.cli.main import main
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import read_label, write_image, write_label
from autoseg.postprocessing.files import begin, postprocess_files
from autoseg.provenance import POSTPROCESSED
from autoseg.tasks.segmentation import INFO
from autoseg.workspace import Workspace

LARGEST = KeepLargest(labels=(1,), count=1)
GEOMETRY = Geometry((5.0, 0.7, 0.8), (10.0, -20.0, 30.0), (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))


def labels() -> np.ndarray:
    """(3, 8, 9) uint8: organ of 8 voxels, a lesion, a speck."""
    volume = np.zeros((3, 8, 9), np.uint8)
    volume[0:2, 1:3, 1:3], volume[2, 5, 5], volume[2, 7, 8] = 1, 2, 1
    return volume


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder of label files in several formats, a summary beside them."""
    folder = tmp_path / "in"
    for name in ("a.nii.gz", "b.nrrd", "c.mha"):
        write_label(folder / name, labels(), Image(labels()[None], GEOMETRY))
    write_json(folder / "summary.json", {})
    return folder


def best_json(path: Path, *rules: Rule, accepted: bool = True) -> Path:
    tried = tuple(TriedRule(rule=rule, says="keep the largest component of organ", accepted=accepted, dice_before=0.5,
                            dice_after=0.6, classes_before={}, classes_after={}) for rule in rules)
    write_json(path, Best(dataset="D", members=(), reason="", candidates=(), rules=tried, names={"1": "organ"}, references="",
                          versions={}))
    return path


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_each_file_keeps_name_grid_and_dtype_and_the_input_stays_as_it_is(inputs: Path, tmp_path: Path) -> None:
    before = digests(inputs)
    result = postprocess(inputs, tmp_path / "out", rules=best_json(tmp_path / "best.json", LARGEST), quiet=True)
    assert sorted(result.written) == ["a.nii.gz", "b.nrrd", "c.mha"] and not result.failed and result.already_there == 0
    assert result.rules == ("keep the largest component of organ",) and digests(inputs) == before
    expected = labels()
    expected[2, 7, 8] = 0
    for path in result.written.values():
        cleaned = read_label(path)
        assert np.array_equal(cleaned.array[0], expected) and cleaned.array.dtype == np.uint8
        assert not cleaned.geometry.differences(GEOMETRY, expected.shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
def test_a_nifti_header_is_taken_over(dtype: str, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(labels().T.astype(dtype), np.diag([0.8, 0.7, 5, 1]))
    image.set_qform(np.diag([0.8, 0.7, 5, 1]), code=1)
    image.set_sform(np.diag([0.8, 0.7, 5, 1]), code=4)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    (outcome,) = postprocess_files([tmp_path / "a.nii.gz"], tmp_path / "out", [LARGEST])
    written = nibabel.load(outcome.value)
    assert written.get_data_dtype() == np.dtype(dtype) and np.allclose(written.affine, image.affine)
    for field in ("qform_code", "sform_code", "xyzt_units", "pixdim"):
        assert np.array_equal(written.header[field], image.header[field])


def test_flat_pictures_are_cleaned_and_formats_that_are_only_read_become_others(tmp_path: Path) -> None:
    flat = np.zeros((1, 6, 9), np.uint8)
    flat[0, :3, :3], flat[0, 5, 8] = 1, 1
    write_label(tmp_path / "in" / "a.png", flat, Image(flat[None], Geometry((1.0, 1.0, 1.0))))
    nibabel.save(nibabel.MGHImage(labels().T, np.eye(4)), tmp_path / "in" / "b.mgz")
    outcomes = list(postprocess_files(sorted((tmp_path / "in").iterdir()), tmp_path / "out", [LARGEST]))
    assert sorted(outcome.value.name for outcome in outcomes) == ["a.png", "b.nii.gz"]
    assert read_label(tmp_path / "out" / "a.png").array.sum() == 9
    assert (read_label(tmp_path / "out" / "b.nii.gz").array == 1).sum() == 8


def test_one_bad_file_stops_no_other_and_is_tried_again(inputs: Path, tmp_path: Path) -> None:
    rules = best_json(tmp_path / "best.json", LARGEST)
    (inputs / "b.nrrd").write_text("no image")
    signed = labels().astype(np.int16)
    signed[0, 0, 0] = -1
    write_image(inputs / "d.nii.gz", signed[None], Image(labels()[None], GEOMETRY))
    result = postprocess(inputs, tmp_path / "out", rules=rules, quiet=True)
    assert sorted(result.written) == ["a.nii.gz", "c.mha"] and set(result.failed) == {"b.nrrd", "d.nii.gz"}
    assert "negative" in result.failed["d.nii.gz"] and not (tmp_path / "out" / "b.nrrd").exists()
    write_label(inputs / "b.nrrd", labels(), Image(labels()[None], GEOMETRY))
    again = postprocess(inputs, tmp_path / "out", rules=rules, quiet=True)
    assert sorted(again.written) == ["a.nii.gz", "b.nrrd", "c.mha"] and again.already_there == 2
    assert set(again.failed) == {"d.nii.gz"}


def test_only_what_is_missing_or_has_changed_is_done_again(inputs: Path, tmp_path: Path) -> None:
    rules, out = best_json(tmp_path / "best.json", LARGEST), tmp_path / "out"
    postprocess(inputs, out, rules=rules, quiet=True)
    (out / "a.nii.gz").unlink()
    changed = labels()
    changed[0, 7, 0] = 1
    write_label(inputs / "b.nrrd", changed, Image(changed[None], GEOMETRY))
    assert [path.name for path in begin(sorted(inputs.glob("?.*")), out, [LARGEST])[0]] == ["a.nii.gz", "b.nrrd"]
    result = postprocess(inputs, out, rules=rules, quiet=True)
    assert result.already_there == 1 and sorted(path.name for path in out.iterdir()) == [
        "a.nii.gz", POSTPROCESSED, "b.nrrd", "c.mha"]


def test_labels_of_other_rules_or_of_unknown_origin_are_not_taken_over(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    postprocess(inputs, out, rules=best_json(tmp_path / "best.json", LARGEST), quiet=True)
    other = best_json(tmp_path / "other.json", KeepLargest(labels=(2,), count=1))
    with pytest.raises(AutosegError, match=r"other options made: rules .*labels 1, .*now .*labels 2"):
        postprocess(inputs, out, rules=other, quiet=True)
    assert postprocess(inputs, out, rules=other, overwrite=True, quiet=True).already_there == 0
    assert (read_label(out / "a.nii.gz").array == 1).sum() == 9
    foreign = tmp_path / "foreign"
    write_label(foreign / "a.nii.gz", labels(), Image(labels()[None], GEOMETRY))
    before = digests(foreign)
    with pytest.raises(AutosegError, match="did not make it"):
        postprocess(inputs, foreign, rules=other, quiet=True)
    assert digests(foreign) == before


def test_the_record_claims_no_file_that_other_rules_made(inputs: Path, tmp_path: Path) -> None:
    first, out = best_json(tmp_path / "best.json", LARGEST), tmp_path / "out"
    other = best_json(tmp_path / "other.json", KeepLargest(labels=(2,), count=1))
    postprocess(inputs / "a.nii.gz", out, rules=first, quiet=True)
    with pytest.raises(AutosegError, match="other options made"):
        postprocess(inputs / "b.nrrd", out, rules=other, quiet=True)
    postprocess(inputs / "b.nrrd", out, rules=other, overwrite=True, quiet=True)
    with pytest.raises(AutosegError, match="did not make it"):
        postprocess(inputs / "a.nii.gz", out, rules=other, quiet=True)


def test_the_input_folder_is_never_the_output_folder(inputs: Path, tmp_path: Path) -> None:
    rules, before = best_json(tmp_path / "best.json", LARGEST), digests(inputs)
    (tmp_path / "link").symlink_to(inputs)
    for output in (inputs, tmp_path / "link", inputs / ".." / "in"):
        with pytest.raises(AutosegError, match="leaves its input as it is"):
            postprocess(inputs, output, rules=rules, overwrite=True, quiet=True)
    assert digests(inputs) == before


def test_two_files_that_would_become_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.mgz").write_bytes(b"x")
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    with pytest.raises(AutosegError, match="would both become"):
        next(postprocess_files(sorted(tmp_path.iterdir()), tmp_path / "out", [LARGEST]))


def test_without_an_accepted_rule_labels_are_copied(inputs: Path, tmp_path: Path) -> None:
    result = postprocess(
        inputs / "a.nii.gz", tmp_path / "out", rules=best_json(tmp_path / "best.json", LARGEST, accepted=False), quiet=True)
    assert result.rules == () and np.array_equal(read_label(result.written["a.nii.gz"]).array[0], labels())


def test_rules_are_those_of_the_dataset_or_of_the_only_one_that_has_some(inputs: Path, tmp_path: Path) -> None:
    place = Workspace.at(tmp_path / "workspace")
    with pytest.raises(AutosegError, match="No rules were chosen"):
        postprocess(inputs, tmp_path / "out", workspace=place.root, quiet=True)
    for name in ("Dataset001_A", "Dataset002_B"):
        write_json(place.dataset(name).plans_json, {})
    best_json(place.dataset("Dataset001_A").best_of(INFO), LARGEST)
    assert len(postprocess(inputs, tmp_path / "out", workspace=place.root, quiet=True).written) == 3
    with pytest.raises(AutosegError, match="autoseg find-best Dataset002_B"):
        postprocess(inputs, tmp_path / "out", dataset="Dataset002_B", workspace=place.root, quiet=True)
    best_json(place.dataset("Dataset002_B").best_of(INFO))
    with pytest.raises(AutosegError, match="-d Dataset001_A, -d Dataset002_B"):
        postprocess(inputs, tmp_path / "out", workspace=place.root, quiet=True)


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    rules = best_json(tmp_path / "best.json", LARGEST)
    for source, problem in ((tmp_path / "empty", "holds no label file"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(AutosegError, match=problem):
            postprocess(source, tmp_path / "out", rules=rules, quiet=True)


def test_the_command_says_what_it_applied_and_fails_where_a_file_does(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["postprocess", "-i", str(inputs), "-o", str(tmp_path / "out"),
             "--rules", str(best_json(tmp_path / "best.json", LARGEST))]
    assert main(flags) == 0
    printed = capsys.readouterr().out
    assert "keep the largest component of organ" in printed and "Wrote 3 label file(s)" in printed
    (inputs / "b.nrrd").write_text("no image")
    assert main(flags) == 1
    captured = capsys.readouterr()
    assert "Wrote 2 label file(s)" in captured.out and "(2 were there already; --overwrite" in captured.out
    assert "b.nrrd" in captured.err
    assert main([*flags[:4], str(inputs), *flags[5:]]) == 1
    assert "leaves its input as it is" in capsys.readouterr().err
