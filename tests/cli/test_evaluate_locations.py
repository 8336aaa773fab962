"""autoseg evaluate of a locator's answers: there is nothing to compare them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from autoseg.cli.main import main
from autoseg.evaluation.csv_table import write_rows
from autoseg.tasks.localization.locations import Location, ValidatedLocation

ROW = {"case": "c0", "found": False, "confidence": 0.1}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A reference of one case."""
    folder = tmp_path / "labelsTr"
    folder.mkdir()
    PIL.Image.fromarray(np.eye(8, dtype=np.uint8)).save(folder / "c0.png")
    return folder


def test_that_locations_are_validated_in_training_is_said_once(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(out / "c0.png")  # in colours, as locators draw them
    for write in (
        lambda: write_rows(out / "locations.csv", Location, [Location.model_validate({**ROW, "index_axis": "k"})]),
        lambda: write_rows(out / "locations.csv", ValidatedLocation, [
            ValidatedLocation.model_validate({**ROW, "part": "whole", "is_there": False, "slice": 3, "slice_mm": 1})]),
    ):
        write()
        assert main(["evaluate", str(labels), str(out)]) == 1
        shown = capsys.readouterr()
        assert f"{out} holds the answers of a locator (locations.csv), and no segmentations" in shown.err
        assert "autoseg report DATASET" in shown.err and "c0" not in shown.out + shown.err
        assert not (out / "summary.json").exists()


def test_another_table_of_that_name_changes_nothing(labels: Path) -> None:
    arguments = ["evaluate", str(labels), str(labels), "-np", "1", "-o", str(labels / "locations.json")]
    assert main(arguments) == 0 and (labels / "locations.csv").exists()
    assert main(arguments) == 0
