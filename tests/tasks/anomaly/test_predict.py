"""autoseg_predict with a detector: maps, scores and panels of a folder of images, and what becomes of odd ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.api.tasks import predict_anomalies
from autoseg.evaluation.csv_table import read_rows
from autoseg.image_io import read_image
from autoseg.tasks.anomaly.scores import CaseScore, SliceScore

FILES = ["a.nii.gz", "autoseg_prediction.jsonl", "b.nii.gz", "panels", "scores.csv", "slice_scores.csv"]


def test_each_image_gets_a_map_in_its_own_grid_scores_and_panels(
    place: Any, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add_detector(folds=("0", "1"))
    out = tmp_path / "out"
    assert place.run("-i", volumes, "-o", out) == 0
    said = capsys.readouterr().out
    assert "Dataset001_Tiny, slices, anogan, fold 0 1 (" in said and "Why: the only anomaly detector there is" in said
    assert "Search: 3 updates at most, 1 start, from the encoder's proposal; lambda 0.1" in said
    assert "Anomaly score of each case, the highest first" in said
    assert said.splitlines()[-1].startswith(f"Next: autoseg evaluate TRUTH {out}   (where you know which are abnormal")
    assert sorted(path.name for path in out.iterdir()) == FILES
    image, found = read_image(volumes / "a.nii.gz"), read_image(out / "a.nii.gz")
    assert found.array.dtype == np.float32 and found.array.shape == image.array.shape
    assert found.geometry.differences(image.geometry, (4, 18, 16)) == [] and 0 <= found.array.min() < found.array.max() <= 2
    cases, slices = read_rows(out / "scores.csv", CaseScore), read_rows(out / "slice_scores.csv", SliceScore)
    assert [row.case for row in cases] == ["a", "b"]
    assert [(row.case, row.slice, row.axis, row.steps) for row in slices] == [(case, i, 0, 3) for case in "ab" for i in range(4)]
    assert cases[0].highest == max(row.score or 0 for row in slices if row.case == "a")
    assert Pillow.open(out / "panels" / "b.png").format == "PNG"


def test_panels_and_tables_that_are_missing_or_damaged_are_made_again(place: Any, volumes: Path, tmp_path: Path) -> None:
    place.add_detector()
    out = tmp_path / "out"

    def run(images: Path = volumes, **more: Any) -> Any:
        return predict_anomalies(images, out, workspace=place.workspace.root, quiet=True, **more)

    first = run()
    for missing, there in (("a.nii.gz", 1), ("panels/a.png", 1), ("slice_scores.csv", 2)):
        (out / missing).unlink()
        again = run()
        assert again.already_there == there and again.rows == first.rows, missing
        assert (out / missing).exists()
    for table in ("scores.csv", "slice_scores.csv"):
        (out / table).write_text("damaged")
        assert run().already_there == 2 and cases_in(out) == (["a", "b"], ["a", "b"])
    assert run(volumes / "a.nii.gz", overwrite=True).already_there == 0
    (volumes / "a.nii.gz").unlink()
    assert run().already_there == 1 and cases_in(out) == (["a", "b"], ["a", "b"])  # the map of "a" is still there


def test_scores_by_other_settings_do_not_mix(
    place: Any, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add_detector()
    where = ("-i", volumes, "-o", tmp_path / "out", "-tr", "anogan")
    assert place.run(*where, "--set", "search_steps=1") == 0
    assert {row.steps for row in read_rows(tmp_path / "out" / "slice_scores.csv", SliceScore)} == {1}
    capsys.readouterr()
    assert place.run(*where, "--set", "search_steps=2", "--set", "lambda=0.2") == 1
    error = capsys.readouterr().err
    assert "lambda 0.1 (now 0.2), search_steps 1 (now 2)" in error and "--overwrite" in error


def test_scores_of_something_else_are_not_written_over(
    place: Any, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add_detector()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.csv").write_text("mine\n")
    for flags in ((), ("--overwrite",)):
        assert place.run("-i", volumes, "-o", tmp_path / "out", *flags) == 1
        assert "scores.csv is there, but autoseg did not make it" in capsys.readouterr().err
    assert (tmp_path / "out" / "scores.csv").read_text() == "mine\n"


@pytest.mark.parametrize("colour", [False, True])
def test_maps_of_pictures_are_tiff(place: Any, tmp_path: Path, colour: bool) -> None:
    place.add_detector(channels=3 if colour else 1, axis=None)
    rng = np.random.default_rng(0)
    for name in ("p.png", "q.jpg"):
        pixels = rng.integers(0, 255, (20, 30, 3) if colour else (20, 30)).astype(np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        Pillow.fromarray(pixels).save(tmp_path / "in" / name)
    assert place.run("-i", tmp_path / "in", "-o", tmp_path / "out") == 0
    for name in ("p", "q"):
        found = read_image(tmp_path / "out" / f"{name}.tif").array
        assert found.shape == (1, 1, 20, 30) and found.dtype == np.float32 and found.max() > 0


def cases_in(out: Path) -> tuple[list[str], list[str]]:
    """Of scores.csv, and of slice_scores.csv (four slices each)."""
    return ([row.case for row in read_rows(out / "scores.csv", CaseScore)],
            [row.case for row in read_rows(out / "slice_scores.csv", SliceScore) if row.slice == 3])
