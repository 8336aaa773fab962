"""autoseg verify: names that are nearly right, and what it says of a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from autoseg.cli.main import main
from autoseg.errors import AutosegError
from autoseg.image_io import read_image


def test_json_says_what_the_dataset_holds_and_nothing_else(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_dataset), "-np", "1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["findings"] == []
    assert content["dataset"]["shapes"] == [[4, 6, 5]] * 2 and content["dataset"]["orders"] == {"LPS": 3}
    assert main(["verify", str(tiny_dataset), "-np", "1"]) == 0
    said = capsys.readouterr().out
    assert "Cases: 3 for training, 1 for testing" in said and "4 × 6 × 5" in said and "LPS in 3 cases" in said


@pytest.mark.parametrize("made", ["{}.nii.gz", "{}_000.nii.gz", "{}_0000.nii", "{}_0000.NII.GZ"])
def test_a_name_that_is_nearly_right_is_shown_in_one_row(
    made: str, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((tiny_dataset / "imagesTr").iterdir()):
        path.rename(path.with_name(made.format(path.name.removesuffix("_0000.nii.gz"))))
    assert main(["verify", str(tiny_dataset), "-np", "1", "--json"]) == 1
    missing = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["code"] == "missing_file"]
    assert len(missing) == 3
    assert f"There is {made.format('tiny_0')}: rename it to tiny_0_0000.nii.gz" in missing[0]["remedy"]
    assert main(["verify", str(tiny_dataset), "-np", "1"]) == 1
    said = capsys.readouterr().out
    assert said.count("There is CASE") == 1 and "--skip-bad-cases" not in said.splitlines()[-1]


def test_a_label_with_a_channel_number_and_an_ending_without_a_dot(
    tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_dataset / "labelsTr" / "tiny_0.nii.gz").rename(tiny_dataset / "labelsTr" / "tiny_0_0000.nii.gz")
    assert main(["verify", str(tiny_dataset), "-np", "1", "--json"]) == 1
    assert "rename tiny_0_0000.nii.gz in labelsTr to tiny_0.nii.gz" in capsys.readouterr().out
    text = (tiny_dataset / "dataset.json").read_text()
    (tiny_dataset / "dataset.json").write_text(text.replace('".nii.gz"', '"nii.gz"'))
    assert main(["verify", str(tiny_dataset)]) == 1
    assert 'expected it with its dot: ".nii.gz"' in capsys.readouterr().err


def test_a_gray_picture_in_colour_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    PIL.Image.fromarray(gray).convert("RGBA").save(tmp_path / "imagesTr" / "a_0000.png")
    PIL.Image.fromarray((gray > 9).astype(np.uint8)).save(tmp_path / "labelsTr" / "a.png")
    (tmp_path / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "X-ray"}, "labels": {"background": 0, "a": 1}, "file_ending": ".png", "numTraining": 1}))
    assert main(["verify", str(tmp_path), "-np", "1", "--json"]) == 1
    assert "gray image that is stored in colour" in capsys.readouterr().out


def test_a_tiff_volume_needs_three_voxel_sizes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 6, 5), np.uint8))
    (tmp_path / "a.json").write_text('{"spacing": [1, 2]}')
    with pytest.raises(AutosegError, match=r"4 slices.*two numbers"):
        read_image(tmp_path / "a.tif")
