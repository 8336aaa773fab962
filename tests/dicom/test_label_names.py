"""SEG files as labels: their own names of segments are compared with those of dataset.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Labels, load_dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.case import Pair, compare
from autoseg.image_io import label_names, read_image
from autoseg.image_io.dicom import verified
from autoseg.image_io.dicom.segmentation import write_segmentation
from autoseg.image_io.dicom.structures import Maker, structures_of
from autoseg.verification.case import check_case
from autoseg.verification.label_names import misnamed
from tests.dicom.series import oblique, write_series

LABELS = Labels(values={"background": 0, "liver": 1, "tumor": 2})


@pytest.fixture(autouse=True)
def _by_hand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "dcmqi", lambda: None)


def dataset(folder: Path, **names: int) -> Path:
    """A dataset of one series with a SEG, whose segments have these names."""
    array = np.random.default_rng(0).integers(0, 3, (4, 6, 5)).astype(np.int16)
    write_series(folder / "imagesTr" / "a_0000", array, oblique())
    like = read_image(folder / "imagesTr" / "a_0000")
    path = folder / "labelsTr" / "a.dcm"
    write_segmentation(path, like.array[0].astype(np.uint8), like, structures_of(names), Maker())
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumor": 2}, "file_ending": ".dcm"}))
    return path


@pytest.mark.parametrize("names, problem", [
    ({"liver": 1, "tumor": 2}, None), ({"Liver_": 1, "T U M O R": 2}, None), ({"organ": 1, "lesion": 2}, None),
    ({"tumor": 1, "liver": 2}, 'segment 1 is called "tumor", but dataset.json calls 1 "liver", and 2 "tumor"'),
    ({"tumor": 1, "x": 2}, 'segment 1 is called "tumor", but dataset.json calls 1 "liver", and 2 "tumor"'),
])
def test_segments_with_the_name_of_another_value_are_an_error(tmp_path: Path, names: dict[str, int], problem: str | None) -> None:
    path = dataset(tmp_path, **names)
    assert label_names(path) == {number: name for name, number in names.items()}
    assert next(iter(misnamed(path, LABELS)), None) == problem
    known = load_dataset(tmp_path)
    findings = check_case(known.training[0], known).findings
    assert [finding.code for finding in findings if finding.severity == "error"] == ["label_names"] * (
        0 if problem is None else len(misnamed(path, LABELS)))
    pair = Pair("a", path, path)
    if problem is None:
        compare(pair, LABELS, 2.0)
    else:
        with pytest.raises(AutosegError, match='segment 1 is called "tumor"'):
            compare(pair, LABELS, 2.0)


def test_formats_without_names_have_none(tiny_dataset: Path) -> None:
    assert label_names(next((tiny_dataset / "labelsTr").iterdir())) == {}
