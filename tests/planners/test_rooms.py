"""One contract for every task's planners: the same four functions, from options to plans."""

from __future__ import annotations

import inspect as python
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from autoseg.api.tasks import planners
from autoseg.dataset import load_dataset
from autoseg.demo import make_synthetic_dataset
from autoseg.files import write_text
from autoseg.planners import anomaly, classification, localization, segmentation
from autoseg.planners.request import inspect
from autoseg.tasks.anomaly.options import PlanOptions as AnomalyOptions
from autoseg.tasks.classification.options import PlanOptions as ClassificationOptions
from autoseg.tasks.localization.options import PlanOptions as LocalizationOptions
from autoseg.tasks.segmentation.options import PlanOptions as SegmentationOptions

ROOMS = [(segmentation, SegmentationOptions()), (anomaly, AnomalyOptions(normal="all")),
         (localization, LocalizationOptions(find=("1",))), (classification, ClassificationOptions(roi="labels"))]
each_room = pytest.mark.parametrize(("room", "options"), ROOMS, ids=[room.__name__ for room, _ in ROOMS])


def made(parent: Path) -> Path:
    """A dataset of five training cases, of which the last two are of another class."""
    folder = make_synthetic_dataset(parent, training=5, test=1, shape=(6, 14, 14))
    write_text(folder / "targets.csv", "case,grade\n" + "".join(
        f"synthetic_{number:03d},{'high' if number > 2 else 'low'}\n" for number in range(5)))
    return folder


@each_room
def test_a_dataset_is_planned_by_the_same_calls_for_every_task(room: ModuleType, options: BaseModel, tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "imagesTr/synthetic_001_0000.nii.gz").write_bytes(b"no image")
    source = load_dataset(folder)
    request = room.prepare(source, options)
    assert request.dataset == source and request.options == options
    inspections = list(inspect(request, room.measure, workers=1))
    found = room.findings(request, inspections)
    assert [(finding.case, finding.code) for finding in found if finding.severity == "error"] == [("synthetic_001", "unreadable")]
    usable = source.model_copy(update={"training": (source.training[0], *source.training[2:])})
    done: list[object] = []
    planned = room.plan(request, usable, inspections, workers=1, progress=done.append)
    assert planned.plans.dataset == source.name and planned.plans.planner in room.SUMMARIES
    assert (planned.fingerprint is not None) == (room is segmentation)


def test_inspecting_in_several_processes_measures_the_same(tmp_path: Path) -> None:
    source = load_dataset(made(tmp_path))
    for room, options in ROOMS:
        request = room.prepare(source, options)
        alone, together = (list(inspect(request, room.measure, workers)) for workers in (1, 2))
        by_name = {inspection.case.name: inspection for inspection in together}
        assert all(by_name[entry.case.name].digest == entry.digest for entry in alone)
        usable = source.model_copy(update={"test": ()})
        assert room.plan(request, usable, together).plans == room.plan(request, usable, alone).plans


def test_functions_of_rooms_have_the_same_parameters() -> None:
    for name in ("prepare", "measure", "findings", "plan"):
        assert len({tuple(python.signature(getattr(room, name)).parameters) for room, _ in ROOMS}) == 1
    assert len(planners()) == sum(len(room.SUMMARIES) for room, _ in ROOMS)
