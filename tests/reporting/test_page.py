"""The shared page: it shows what a task gives it, and knows no task."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.api.reporting import build_report
from autoseg.dataset import Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.reporting.artefacts import read_dataset
from autoseg.reporting.blocks import Explained, Picture, Section, Text, pictures
from autoseg.reporting.page import build_page
from autoseg.reporting.parts import MissingStep, TaskReport
from autoseg.steps import RunRecord
from autoseg.workspace import DatasetFolder


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    folder = DatasetFolder(tmp_path / "Dataset030_Toy")
    write_json(folder.dataset_json, Dataset(
        name=folder.name, folder=tmp_path, layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz", training=(),
        labels=Labels(values={"background": 0, "organ": 1})))
    return folder


def test_what_a_task_gives_stands_on_the_page(folder: DatasetFolder) -> None:
    toy = TaskReport(
        sections=[Section("toys", "Counting toys", [Text("Three <toys> were counted.")])],
        overview=[Explained("Toys", "3", "over all cases")],
        commands=[("To count toys in new images", "autoseg_predict -i IMAGES -o TOYS")],
        missing=[MissingStep("No counter has been trained yet", "autoseg_train Dataset030_Toy 0 -tr counter")],
        versions={"planned as toys": {"toybox": "1.2.3"}},
        troubles=["toys.json is damaged."])
    page = build_page(read_dataset(folder), [toy])
    for expected in (
        '<section id="toys">', '<a href="#toys">Counting toys</a>', "Three &lt;toys&gt; were counted.", "<b>3</b>",
        "To count toys in new images, type:", "No counter has been trained yet:", "<span>counter</span>", "toys.json is damaged.",
        "planned as toys", "1.2.3", f"<title>{folder.name}: autoseg report</title>", "Nothing has been timed yet.",
    ):
        assert expected in page, expected
    assert page.index('id="toys"') < page.index('id="data"') < page.index('id="times"') < page.index('id="versions"')
    assert "fingerprint" not in page


def test_damaged_files_of_the_dataset_are_told_once_and_hide_nothing_else(folder: DatasetFolder) -> None:
    folder.dataset_json.write_text("{}")
    folder.findings_json.write_text("no json")
    found = read_dataset(folder)
    section = Section("toys", "Toys", [Text("Three were counted.")])
    page = build_page(found, [TaskReport([section], troubles=found.troubles, needs_fingerprint=True)])
    assert page.count("dataset.json does not fit") == page.count("findings.json is not valid JSON") == 1
    assert "Three were counted." in page and "The fingerprint (what was measured over the training cases) is not there." in page


def test_steps_of_all_tasks_are_timed_together(folder: DatasetFolder) -> None:
    runs = (RunRecord(steps={"plan": 95.0, "toys fold 0": 3725.0}, whole=("plan",)), RunRecord(steps={"plan": 80.0}), None)
    page = build_page(read_dataset(folder), [TaskReport([], run=run) for run in runs]).replace("\xa0", " ")
    assert "autoseg run took 1 h 5 min in all" in page and "Nothing has been timed yet" not in page
    assert page.count(">finished</td>") == 1 and page.count(">not finished</td>") == 2


def test_a_dataset_that_was_planned_for_no_task_has_no_page(folder: DatasetFolder) -> None:
    with pytest.raises(AutosegError, match=r"has not been planned.*autoseg_plan_and_preprocess Dataset030_Toy"):
        build_report(folder)


def test_pictures_that_are_missing_are_left_out_and_damaged_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG")
    shown = pictures("Pictures:", (Picture(tmp_path / name, name, "A picture.") for name in ("missing.png", "damaged.png")))
    assert [block.kind for block in shown] == ["text"] and "damaged.png cannot be shown" in str(shown[0])
