"""Files that make a series: where they lie, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.sequence import Sequence

from autoseg.errors import AutosegError
from autoseg.image_io import read_image
from autoseg.image_io.dicom.study import scan
from tests.dicom.series import write_series
from tests.dicom.test_reading import ARRAY, AXIAL, same_voxels


@pytest.mark.parametrize("damage", [lambda data: data[:300], lambda data: data[:-20], lambda data: data[:132] + b"\xff" * 400])
def test_damaged_files_are_named(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = write_series(tmp_path, ARRAY, AXIAL)[2]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AutosegError, match=r"IM0002\.dcm|missing"):
        read_image(tmp_path)


def test_more_voxels_than_a_file_holds_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, AXIAL, Rows=60000, Columns=60000)
    with pytest.raises(AutosegError, match="IM0000"):
        read_image(tmp_path)


@pytest.mark.parametrize("slice_number", [0, 4])
def test_a_damaged_file_that_may_be_the_first_or_last_slice_of_a_volume_refuses_it(tmp_path: Path, slice_number: int) -> None:
    path = write_series(tmp_path / "a", ARRAY, AXIAL)[slice_number]
    path.write_bytes(path.read_bytes()[:300])
    write_series(tmp_path / "b", ARRAY, AXIAL)
    study = scan(tmp_path)
    assert [one.path.parent.name for one in study.found] == ["b"]
    assert any(f"{path.name} beside its files cannot be read" in str(refused) for refused in study.refused)
    with pytest.raises(AutosegError, match=path.name):
        read_image(tmp_path / "a")


def test_more_items_of_sequences_than_any_real_file_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_series(tmp_path, ARRAY, AXIAL)[0]
    image = pydicom.dcmread(path)
    image.ReferencedImageSequence = Sequence([pydicom.Dataset() for _ in range(200)])
    image.save_as(path)
    same_voxels(read_image(tmp_path), ARRAY, AXIAL)
    monkeypatch.setattr("autoseg.image_io.dicom.headers.MOST_ITEMS", 100)
    monkeypatch.setattr("autoseg.image_io.dicom.headers.BYTES_AT_ONCE", 501)  # so that items lie across pieces
    path.touch()
    with pytest.raises(AutosegError, match=r"IM0000.dcm.* holds 200 items of sequences, where at most 100 are expected"):
        read_image(tmp_path)


def test_a_medium_with_a_dicomdir_is_its_series(tmp_path: Path) -> None:
    from pydicom.fileset import FileSet

    medium = FileSet()
    for path in write_series(tmp_path / "source", ARRAY, AXIAL):
        medium.add(path)
    medium.write(tmp_path / "disk")
    assert (tmp_path / "disk/DICOMDIR").is_file()
    same_voxels(read_image(tmp_path / "disk"), ARRAY, AXIAL)
    assert not scan(tmp_path / "disk").refused


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    write_series(tmp_path / "elsewhere", ARRAY, AXIAL)
    (tmp_path / "study").mkdir()
    (tmp_path / "study/series").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "study/again").symlink_to(tmp_path / "study")
    same_voxels(read_image(tmp_path / "study"), ARRAY, AXIAL)
