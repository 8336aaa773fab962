"""One contract that every row of `TASKS` passes; and a toy task that goes all the way with nothing changed but a row."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import RootModel
from safetensors.torch import load_file, save_file
from torch import nn

from autoseg import console
from autoseg.api import export_models, import_models, load, plan_and_preprocess, predict_files, report, tasks, train
from autoseg.api.tasks import TASKS, Task
from autoseg.dataset import Case, Dataset, read_case
from autoseg.demo import make_synthetic_dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.cross_validation import missing_folds
from autoseg.files import write_json, write_text
from autoseg.image import Image
from autoseg.image_io import read_image, read_label, write_image
from autoseg.inference import checkpoints
from autoseg.inference.cases import Written, predict_cases
from autoseg.inference.checkpoints import Description, Loaded, origin_of
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.inference.prediction import CaseProgress, Prediction
from autoseg.options import option, planning_command
from autoseg.parallel import Outcome
from autoseg.plan import Frozen
from autoseg.planners.request import Planned, Request, measured_cases
from autoseg.preprocessing import store
from autoseg.preprocessing.store import CaseToMake, StoredCase, StoredDescription, read_description
from autoseg.provenance import PREDICTIONS, OutputFolder
from autoseg.reporting.blocks import Section, Text
from autoseg.reporting.parts import TaskReport
from autoseg.task import TaskInfo
from autoseg.trainers.checkpoint import save_weights
from autoseg.trainers.fold import FoldSteps
from autoseg.trainers.job import FoldData, Job, load_stored
from autoseg.trainers.recipe import Recipe
from autoseg.trainers.settings import TrainingSettings
from autoseg.trainers.splits import cases_of_fold, load_or_make_splits
from autoseg.training_log import read_log
from autoseg.verification.case import CheckedCase
from autoseg.verification.findings import Finding
from autoseg.verification.inspection import Inspection, inspection_findings
from autoseg.workspace import DatasetFolder, ModelFolder, read_model
from tests.dicom.series import write_series


@dataclass(frozen=True)
class Small:
    """What makes a task small enough for a test. options: of planning. settings: of training."""

    options: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


SMALL = {
    "segmentation": Small({"configurations": ["2d"]}, {"batch_size": 2, "base_features": 4}),
    "anomaly": Small({"axis": "axial", "normal": "all"}, {"features": 4, "batch_size": 4, "search_steps": 3}),
    "localization": Small({"find": ["kidney"], "size": (16, 16), "depth": 2}, {"base_features": 2}),
    "classification": Small({"edge": 16, "depth": 2}, {"base_features": 2, "batch_size": 2}),
}
EVERY = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.info.name)


@dataclass(frozen=True)
class Place:
    """A dataset that was planned for every task, with a model of each."""

    source: Path
    workspace: Path

    @property
    def folder(self) -> DatasetFolder:
        return DatasetFolder(self.workspace / self.source.name)

    def plan(self, task: Task) -> Any:
        return plan_and_preprocess(self.source, planner=task.info.planner, workers=1, workspace=self.workspace, quiet=True,
                                   **SMALL[task.info.name].options)

    def train(self, task: Task, fold: int | str = 0, **arguments: Any) -> Any:
        return train(self.source.name, fold, configuration=self.configuration(task), recipe=task.info.recipe, iterations=1,
                     settings=SMALL[task.info.name].settings, workspace=self.workspace, device="cpu", quiet=True, **arguments)

    def predict(self, task: Task, images: Path, output: Path, **options: Any) -> Any:
        return predict_files(
            images, output, model=self.model(task).root, device="cpu", workspace=self.workspace, quiet=True, **options)

    def configuration(self, task: Task) -> str:
        return "2d" if task.info.is_default else task.info.configurations[0]

    def model(self, task: Task) -> ModelFolder:
        return self.folder.model(self.configuration(task), task.info.recipe)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("tasks")
    made = Place(make_synthetic_dataset(root, training=5, test=2, shape=(8, 32, 32)), root / "workspace")
    write_text(made.source / "targets.csv", "case,grade\n" + "".join(
        f"synthetic_{number:03d},{('low', 'high')[number % 2]}\n" for number in range(5)))
    for task in TASKS:
        assert not made.plan(task).failed
        made.train(task, epochs=1)
    return made


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file, with its size and time of change."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): (its.st_size, its.st_mtime_ns) for path, its in found.items()}


def test_every_task_is_tested_here() -> None:
    assert {task.info.name for task in TASKS} == set(SMALL)
    assert [task.info.name for task in TASKS if task.info.is_default] == ["segmentation"]


@EVERY
def test_planning_again_makes_no_case_again(place: Place, task: Task) -> None:
    info, before = task.info, files_in(place.folder.preprocessed(place.configuration(task)))
    result = place.plan(task)
    assert info.plans_file in result.written and result.plans == read_model(place.folder.plans_of(info), task.plans)
    assert len(before) >= 2 * 5 and files_in(place.folder.preprocessed(place.configuration(task))) == before


@EVERY
def test_a_fold_that_was_stopped_goes_on_to_the_weights_of_an_unbroken_one(
    place: Place, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {}
    for name in ("unbroken", "stopped"):
        copied = Place(place.source, shutil.copytree(place.workspace, tmp_path / name))
        if name == "stopped":
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr("autoseg.trainers.loop.SECONDS_BETWEEN_STATES", -1)
                patch.setattr(console, "progress", stopped_in_epoch_3)
                copied.train(task, epochs=3, restart=True)
            assert copied.model(task).begun_folds() == ["0"] and not copied.model(task).finished_folds()
        trained = copied.train(task, **({"resume": True} if name == "stopped" else {"epochs": 3, "restart": True}))
        assert trained.summary is not None and trained.in_words and trained.folder == copied.model(task).fold(0).root
        weights[name] = copied.model(task).fold(0).checkpoint_final.read_bytes()
    assert tensors(weights["unbroken"]) == tensors(weights["stopped"])
    fold, again = copied.model(task).fold(0), files_in(copied.model(task).root)
    for is_validated in (True, False):
        if not is_validated:
            shutil.rmtree(fold.validation)
        assert copied.train(task, resume=True).in_words == trained.in_words
        assert files_in(copied.model(task).root).keys() == again.keys()
        assert fold.checkpoint_final.read_bytes() == weights["stopped"]


def tensors(content: bytes) -> bytes:
    """Of a safetensors file, what follows its header, in which facts are told."""
    return content[8 + int.from_bytes(content[:8], "little"):]


class stopped_in_epoch_3:
    """A progress bar at which the user presses Ctrl-C."""

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> Callable[[float, str], None]:
        def show(share: float, text: str = "") -> None:
            if "epoch 3/3" in text:
                raise KeyboardInterrupt

        return show

    def __exit__(self, *_: Any) -> None: ...


@EVERY
def test_fold_all_is_trained_and_not_validated(place: Place, task: Task, tmp_path: Path) -> None:
    copied = Place(place.source, shutil.copytree(place.workspace, tmp_path / "workspace"))
    assert copied.train(task, "all", epochs=1).summary is None
    fold = copied.model(task).fold("all")
    assert fold.checkpoint_final.exists() and not fold.validation.exists()
    assert read_log(fold.log_jsonl)[0].validation_loss is None


@EVERY
def test_a_bad_case_is_named_and_a_second_run_does_nothing(place: Place, task: Task, tmp_path: Path) -> None:
    images, output = shutil.copytree(place.source / "imagesTs", tmp_path / "images"), tmp_path / "out"
    write_text(images / "broken_0000.nii.gz", "no image")
    first = place.predict(task, images, output)
    assert list(first.failed) == ["broken"] and "broken" in first.failed["broken"] and first.already_there == 0
    assert sorted(first.written) == ["synthetic_005", "synthetic_006"] and all(path.is_file() for path in first.written.values())
    assert first.made.startswith("2 ")
    (images / "broken_0000.nii.gz").unlink()
    before = files_in(output)
    second = place.predict(task, images, output)
    assert second.already_there == 2 and second.written == first.written and not second.failed and second.rows == first.rows
    assert {name: stamp for name, stamp in files_in(output).items() if not name.endswith(".csv")} == {
        name: stamp for name, stamp in before.items() if not name.endswith(".csv")}


@EVERY
def test_a_model_that_was_exported_predicts_the_same_elsewhere_packed_and_imported(
    place: Place, task: Task, tmp_path: Path
) -> None:
    archive, elsewhere = tmp_path / "model.zip", tmp_path / "elsewhere"
    export_models(archive, model=place.model(task).root, quiet=True)
    with zipfile.ZipFile(archive) as opened:
        card = opened.read("README.md").decode()
    assert f"- {task.info.noun.replace(' ', '-')}" in card and "## Limits" in card and "Cross-validation" not in card
    imported = import_models(archive, name="given", workspace=elsewhere, quiet=True)
    assert [model.recipe for model in imported.models] == ["given"]
    source = place.source / "imagesTs"
    outputs = [place.predict(task, source, tmp_path / "here"),
               predict_files(source, tmp_path / "packed", model=archive, device="cpu", quiet=True),
               predict_files(source, tmp_path / "imported", workspace=elsewhere, device="cpu", quiet=True)]
    written = [{name: path.read_bytes() for name, path in result.written.items()} for result in outputs]
    assert written[0] == written[1] == written[2] and len(written[0]) == 2
    assert outputs[0].rows == outputs[1].rows == outputs[2].rows
    assert predict_files(source, tmp_path / "here", model=archive, device="cpu", quiet=True).already_there == 2
    copied = Place(place.source, shutil.copytree(place.workspace, tmp_path / "workspace"))
    (model,) = import_models(archive, name="given", workspace=copied.workspace, quiet=True).models
    for how in ({"resume": True}, {"epochs": 1}):  # it may have trained on any case
        with pytest.raises(AutosegError, match="was imported, and it is not known which cases it was trained on"):
            copied.train(task, name="given", **how)
    assert model.is_imported and not copied.model(task).is_imported and not model.fold(0).cases_json.exists()
    (missing,) = missing_folds(copied.folder, model, 5)
    assert "was imported" in missing.words and "--name given_here" in missing.command
    if not task.exports.FORMATS:
        with pytest.raises(AutosegError, match=f'{task.info.a_model_first} cannot be exported as "onnx". There is: zip'):
            export_models(tmp_path / "out", model=place.model(task).root, format="onnx")


@EVERY
def test_images_unlike_the_training_images_are_named_in_files_and_in_memory(place: Place, task: Task, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for number, path in enumerate(sorted((place.source / "imagesTs").iterdir())):
        image = read_image(path)
        unlike = Image(image.array.astype(np.float32) * (1000 + number), image.geometry)
        write_image(images / f"scaled_{number}_0000.nii.gz", unlike.array, like=unlike)
        write_image(images / f"usual_{number}_0000.nii.gz", image.array, like=image)
    for _ in range(2):  # the second run has it from the record
        found = place.predict(task, images, tmp_path / "out")
        assert set(found.warnings) == {"scaled_0", "scaled_1"}
        [line] = found.warnings_in_words
        assert "2 cases (scaled_0, scaled_1) (numbers of case scaled_0): channel 0: its values run from" in line
    model = load(model=place.model(task).root, device="cpu", workspace=place.workspace)
    with pytest.warns(UserWarning, match="image: channel 0: its values run from"):
        model.predict(unlike.array, unlike.geometry.spacing_mm, direction=unlike.geometry.direction)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = model.predict(image.array, image.geometry.spacing_mm, direction=image.geometry.direction)
    rows = place.predict(task, images / "usual_1_0000.nii.gz", tmp_path / "one").rows
    if rows:
        in_memory = answer[-1] if isinstance(answer, tuple) else answer
        assert type(in_memory) is type(rows[0]) and in_memory.case == "image"


@EVERY
def test_series_of_dicom_files_are_predicted_where_they_lie(place: Place, task: Task, tmp_path: Path) -> None:
    image = read_image(next((place.source / "imagesTs").iterdir()))
    array, study = np.rint(image.array[0] * 100).astype(np.int16), tmp_path / "study"
    write_series(study / "a", array, image.geometry)
    write_series(study / "b", array[:1], image.geometry)
    write_series(study / "c", array, image.geometry)[1].unlink()
    found = place.predict(task, study, tmp_path / "out")
    assert set(found.written) == {"a"} and "is missing" in found.failed["c"]
    assert [note for note in found.notes if "single image" in note and "study/b" in note]
    again = place.predict(task, study, tmp_path / "out", repair=True)
    assert set(again.written) == {"a", "c"} and again.already_there == 1 and "interpolated" in again.warnings["c"][0]
    for inside in (study, study / "a"):
        with pytest.raises(AutosegError, match="Choose another folder"):
            place.predict(task, study, inside)


@EVERY
def test_an_output_that_is_named_as_a_file_becomes_one_where_one_is_made(place: Place, task: Task, tmp_path: Path) -> None:
    image, target = Path(shutil.copy2(place.source / "imagesTs" / "synthetic_005_0000.nii.gz", tmp_path)), tmp_path / "out.nii.gz"
    if not task.info.is_default:
        with pytest.raises(AutosegError, match="make several of an image, or a table. Name a folder"):
            place.predict(task, image, target)
        return
    assert list(place.predict(task, image, target).written.values()) == [target]
    whole = place.predict(task, image, tmp_path / "folder").written["synthetic_005"]
    assert (read_label(target).array == read_label(whole).array).all()
    for wrong, options, message in (
        (target, {}, "is there already"), (image, {"overwrite": True}, "is the image that is to be predicted"),
        (tmp_path / "out.nrrd", {}, r"is written as \.nii\.gz"),
        (tmp_path / "b.nii.gz", {"save_probabilities": True}, "one file"),
    ):
        with pytest.raises(AutosegError, match=message):
            place.predict(task, image, wrong, **options)
    with pytest.raises(AutosegError, match="is a folder of images"):
        place.predict(task, place.source / "imagesTs", tmp_path / "b.nii.gz")
    assert place.predict(task, image, target, overwrite=True).written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out.nii.gz", image.name]


@EVERY
def test_an_image_is_never_taken_for_its_own_output(place: Place, task: Task, tmp_path: Path) -> None:
    images = shutil.copytree(place.source / "imagesTs", tmp_path / "images")
    (images / "alone.nii.gz").write_bytes((images / "synthetic_005_0000.nii.gz").read_bytes())
    before, link = files_in(images), tmp_path / "link"
    link.symlink_to(images)
    for output in (images, link):
        with pytest.raises(AutosegError, match="holds the images that are to be predicted .* leaves its input as it is"):
            predict_files(images, output, model=place.model(task).root, device="cpu", overwrite=True, quiet=True)
    assert files_in(images) == before


@EVERY
def test_two_processes_make_what_one_makes(
    place: Place, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files with the same bytes, but for the record's order; a case that fails is named in both, and tried again."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = shutil.copytree(place.source / "imagesTs", tmp_path / "images")
    (images / "broken_0000.nii.gz").write_bytes(b"no image")
    one, two = place.predict(task, images, tmp_path / "one"), place.predict(task, images, tmp_path / "two", gpus=2)
    torch.set_num_threads(threads)
    assert list(two.written) == list(one.written) == ["synthetic_005", "synthetic_006"]
    assert two.rows == one.rows and two.warnings == one.warnings and list(two.failed) == list(one.failed) == ["broken"]
    made = sorted(str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert made == sorted(str(path.relative_to(tmp_path / "two")) for path in (tmp_path / "two").rglob("*") if path.is_file())
    for name in made:
        if name == PREDICTIONS:
            assert outcomes_in(tmp_path / "two" / name) == outcomes_in(tmp_path / "one" / name)
        else:
            assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    again = place.predict(task, images, tmp_path / "two", gpus=2)
    assert again.already_there == 2 and list(again.failed) == ["broken"]


def test_two_processes_gate_and_average_series_as_one_does(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ensemble of two, a gate before it, and DICOM series in and out."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    task, gating = tasks.default_task(), tasks.task_with_gate()
    second = ModelFolder(shutil.copytree(place.model(task).root, tmp_path / "second"))
    weights = load_file(second.fold(0).checkpoint_final)
    save_file({name: values + 0.1 * torch.randn_like(values) for name, values in weights.items()},
              second.fold(0).checkpoint_final)
    study = tmp_path / "study"
    for path in sorted((place.source / "imagesTs").iterdir()):
        image = read_image(path)
        write_series(study / path.name[:13], np.rint(image.array[0] * 100).astype(np.int16), image.geometry)
    found = [predict_files(
        study, tmp_path / name, model=[place.model(task).root, second.root], gate=place.model(gating).root, device="cpu",
        workspace=place.workspace, quiet=True, **given) for name, given in (("one", {}), ("two", {"gpus": 2}))]
    assert len(found[0].written) == 2 and not found[0].failed and list(found[0].written) == list(found[1].written)
    assert found[0].gate is not None and found[0].gate.flagged == found[1].gate.flagged
    tables = [(tmp_path / name / found[0].gate.path.name).read_text() for name in ("one", "two")]
    assert tables[0] == tables[1]
    for name in found[0].written:
        labels = [read_label(result.written[name]).array for result in found]
        assert np.array_equal(*labels)
        assert (tmp_path / "two" / "seg" / f"{name}.dcm").exists() == (tmp_path / "one" / "seg" / f"{name}.dcm").exists()


def outcomes_in(record: Path) -> dict[str, Any]:
    """What a record says of each output in the end."""
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return {line["output"]: line for line in lines if "output" in line}


@EVERY
def test_two_commands_at_the_same_time_keep_each_others_entries(place: Place, task: Task, tmp_path: Path) -> None:
    """Each predicts half of the images into the same folder; a third run finds all of them done."""
    images, output = tmp_path / "images", tmp_path / "out"
    for folder in ("all", "even", "odd"):
        (images / folder).mkdir(parents=True)
    for number, path in enumerate(2 * sorted((place.source / "imagesTs").iterdir())):
        copy = Path(shutil.copy2(path, images / "all" / f"copy{number}_0000.nii.gz"))
        (images / ("even", "odd")[number % 2] / copy.name).symlink_to(copy)
    predict = "import sys; from autoseg.cli.predict import main; sys.exit(main(sys.argv[1:]))"
    model = ("-o", output, "-m", place.model(task).root, "--device", "cpu", "--workspace", place.workspace)
    commands = [subprocess.Popen([sys.executable, "-c", predict, "-i", images / half, *map(str, model)], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for half in ("even", "odd")]
    said = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    third = place.predict(task, images / "all", output)
    assert third.already_there == len(third.written) == 4 and not third.failed and (not third.rows or len(third.rows) == 4)
    for table in (path for path in output.glob("*.csv") if path.name in ("scores.csv", "locations.csv", "classes.csv")):
        assert len(table.read_text(encoding="utf-8").splitlines()) == 1 + 4  # of all cases, whichever command was last


@EVERY
def test_the_report_shows_the_task(place: Place, task: Task) -> None:
    page = report(place.source.name, workspace=place.workspace, quiet=True).read_text(encoding="utf-8")
    alone = task.report.task_report(place.folder, tasks.task_infos())
    assert alone.sections and all(f'<section id="{section.anchor}">' in page for section in alone.sections)
    assert alone.commands and all("autoseg_predict -i IMAGES" in line for _, line in alone.commands if line)


@EVERY
def test_a_folder_without_a_model_of_the_task_is_refused_with_what_it_holds(place: Place, task: Task, tmp_path: Path) -> None:
    wrong = [(ModelFolder(tmp_path), r"is not a trained model: it has no model\.json")]
    wrong += [(place.model(other), f'holds a model of the task "{other.info.name}", but one of the task "{task.info.name}" is '
               r"expected with -m\. autoseg_predict -m with this folder alone runs it as what it is")
              for other in TASKS if other.info != task.info]
    for folder, message in wrong:
        chosen = Chosen(task.info, (folder,), "as you named it")
        with pytest.raises(AutosegError, match=message):
            task.prediction.open_models(chosen, None, task.predict_options(), "cpu", None)


@EVERY
def test_options_of_another_task_are_refused_with_whose_they_are(place: Place, task: Task, tmp_path: Path) -> None:
    for other in TASKS:
        for name in other.plan_options.model_fields.keys() - task.plan_options.model_fields.keys() - {"planner"}:
            with pytest.raises(AutosegError, match=f"(is|are) for .*{other.info.plural}.* {re.escape(task.info.a_model)}"):
                plan_and_preprocess(place.source, planner=task.info.planner, workspace=tmp_path, quiet=True, **{name: "1"})
        for name in other.predict_options.model_fields.keys() - task.predict_options.model_fields.keys():
            with pytest.raises(AutosegError, match=f"(is|are) for .*{other.info.plural}.* {re.escape(task.info.a_model)}"):
                place.predict(task, place.source / "imagesTs", tmp_path / "out", **{name: "1"})


@pytest.mark.parametrize("task", [task for task in TASKS if "settings" in task.predict_options.model_fields],
                         ids=lambda task: task.info.name)
def test_a_setting_of_prediction_that_there_is_not_is_refused(place: Place, task: Task, tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match='There is no setting "colour". There are: '):
        place.predict(task, place.source / "imagesTs", tmp_path / "out", settings={"colour": "red"})
    assert not (tmp_path / "out").exists()


# A toy task: it measures how bright an image is. All of its parts are in this module; shared files know nothing of it.

INFO = TaskInfo(
    name="brightness", article="a", noun="light meter", plural="light meters", does="measures images", writes="numbers",
    outputs="NUMBERS", reference="", recipe="meter", configurations=("whole",), usual_configuration="whole", planner="meter",
    suffix="_brightness", needs_labels=False)
SUMMARIES = {"meter": "nothing but a number"}


class ToyPlans(Frozen):
    source: Dataset
    middle: float


class ToyOptions(Frozen):
    darkest: float = option(0.0, "what counts as dark")


class ToyDescription(Description):
    task: Literal["brightness"] = "brightness"
    channel_names: tuple[str, ...] = ("CT",)


class ToySettings(TrainingSettings):
    epochs: int = 1


def prepare(source: Dataset, options: ToyOptions) -> Request[ToyOptions]:
    return Request(source, options)


def measure(checked: CheckedCase, dataset: Dataset, request: Request[ToyOptions]) -> float:
    return float(checked.image.array.mean()) if checked.image is not None else 0.0


def findings(request: Request[ToyOptions], inspections: Sequence[Inspection[float]]) -> list[Finding]:
    return inspection_findings(request.dataset, inspections)


def plan(
    request: Request[ToyOptions], usable: Dataset, inspections: Sequence[Inspection[float]], *_: object
) -> Planned[ToyPlans]:
    return Planned(ToyPlans(source=usable, middle=float(np.mean(list(measured_cases(usable, inspections).values())))))


def chosen(plans: ToyPlans, options: ToyOptions) -> list[str]:
    return ["whole"]


def counts(plans: ToyPlans, folder: DatasetFolder) -> None: ...


def doing(plans: ToyPlans, configurations: Sequence[str]) -> str:
    return "Measuring"


def case_origin(case: Case, configuration: str, dataset: Dataset, plans: ToyPlans) -> str:
    return store.case_origin(case, "toy")


def preprocess(dataset: Dataset, plans: ToyPlans, folders: dict[str, Path], workers: int | None) -> Iterator[Outcome[Case]]:
    return store.make_cases(dataset.training, folders, partial(case_origin, dataset=dataset, plans=plans),
                            partial(make_case, dataset=dataset, folder=folders["whole"]), lambda job: 0, workers)


def make_case(job: CaseToMake, dataset: Dataset, folder: Path) -> list[str]:
    array = read_case(job.case, dataset)[0].array.astype(np.float32)
    described = StoredDescription(case=job.case.name, shapes={}, origin=job.origins["whole"], plans="toy")
    store.write_case(folder, described, [store.Part("", array, array.shape[1:])])
    return ["whole"]


def open_case(folder: Path, case: str) -> StoredCase[StoredDescription]:
    return StoredCase(folder, read_description(folder, case, StoredDescription))


SETTINGS = ToySettings
RECIPES = {"meter": Recipe(lambda: nn.Linear(1, 1), ToySettings(), "one number")}


def defaults(recipe: Recipe, folder: DatasetFolder) -> TrainingSettings:
    return recipe.settings


def load_data(job: Job[ToySettings]) -> FoldData[ToyPlans, StoredCase[StoredDescription]]:
    plans = read_model(job.plans_json, ToyPlans)
    names = [case.name for case in plans.source.training]
    stored = load_stored(job, plans.source.training, open_case, partial(case_origin, configuration=job.configuration,
                         dataset=plans.source, plans=plans), "toy", "measured",
                         planning_command(job.folder, job.task, ToyOptions()))
    made = load_or_make_splits(job.splits_json, plans.source, names, None)
    return FoldData(plans, stored, made.splits, *cases_of_fold(job.fold, made.splits, names), made.notes)


def check(job: Job[ToySettings], data: FoldData[Any, Any], begins: bool) -> list[str]:
    return []


check_begun = check


def steps(job: Job[ToySettings], data: FoldData[Any, Any], report: object) -> FoldSteps[ToySettings, dict[str, float]]:
    network = job.built_by.build()

    def fit(settings: ToySettings, device: torch.device) -> None:
        torch.nn.init.constant_(network.bias, data.plans.middle)
        save_weights(job.fold_folder.checkpoint_final, {"network": network}, {})

    def validate(settings: ToySettings, device: torch.device) -> dict[str, float]:
        mean = float(np.mean([data.stored[name].array()[:].mean() for name in data.validation]))
        write_json(job.fold_folder.summary_json, {"mean": mean})
        return {"mean": mean}

    described = ToyDescription(dataset=job.folder.name, configuration_name="whole", recipe=job.recipe, settings={}, versions={})
    return FoldSteps(data.cases_of(job.fold), lambda settings: write_json(job.model.model_json, described), fit, str, validate)


class ToyPrediction(Prediction):
    doing, done, channel_names = "Measuring", "measured", ("CT",)  # type: ignore[assignment]

    def __init__(self, loaded: Loaded[ToyDescription, float]) -> None:
        self.loaded = loaded

    def in_words(self, chosen: Chosen) -> str:
        return self.loaded.in_words

    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        return OutputFolder(folder, origin_of([self.loaded.facts()]), overwrite)

    def predict_files(
        self, inputs: Sequence[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        outputs = self.outputs(folder, overwrite)

        def write(item: PredictionInput, path: Path) -> Written:
            brighter = float(read_input(item).array.mean()) - self.loaded.networks[0]
            with outputs.writing(path.name, item.images):
                write_text(path, f"{brighter:.3f}")
            return Written(path)

        return predict_cases(
            inputs, outputs, lambda item: f"{item.name}.txt",
            lambda item: Written(folder / f"{item.name}.txt", was_there=True)
            if outputs.made(f"{item.name}.txt", item.images) else None,
            lambda waiting: ((item, partial(write, item, folder / f"{item.name}.txt")) for item in waiting))

    def made(self, written: int, extra: int) -> str:
        return f"{written} numbers"


def open_models(chosen: Chosen, folds: Sequence[str] | None, options: Frozen, device: str, *_: object) -> ToyPrediction:
    return ToyPrediction(checkpoints.load(chosen.members[0], "brightness", ToyDescription,
                              lambda description, weights, file, device: float(weights["network.bias"]), folds))


def shown(summary: dict[str, float]) -> list[str]:
    return [result(summary)]


def result(summary: dict[str, float]) -> str:
    return f"mean {summary['mean']:.1f}"


SUMMARY = RootModel[dict[str, float]]


def failings(summary: Any) -> dict[str, str]:
    return {}


def task_report(folder: DatasetFolder, infos: Sequence[TaskInfo]) -> TaskReport | None:
    there = folder.plans_of(INFO).exists()
    return TaskReport([Section("brightness", "How bright", [Text("It is bright.")])]) if there else None


def test_a_toy_task_goes_all_the_way_with_a_row_and_nothing_else(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: Any = sys.modules[__name__]
    toy = Task(INFO, ToyPlans, ToyOptions, Frozen, Frozen, *[parts] * 6)
    monkeypatch.setattr(tasks, "TASKS", (*TASKS, toy))
    workspace = {"workspace": tmp_path / "workspace", "quiet": True}
    planned = plan_and_preprocess(place.source, planner="meter", workers=1, darkest=0.5, **workspace)
    assert planned.next_flags == ("-tr", "meter") and planned.counts is None
    trained = [train(place.source.name, fold, recipe="meter", device="cpu", **workspace) for fold in range(2)]
    assert [re.fullmatch(r"mean -?\d+\.\d", each.in_words) is not None for each in trained] == [True, True]
    first = predict_files(place.source / "imagesTs", tmp_path / "out", recipe="meter", device="cpu", **workspace)
    middle = np.float32(planned.plans.middle)
    for name, path in first.written.items():
        image = read_input(PredictionInput(name, (place.source / "imagesTs" / f"{name}_0000.nii.gz",)))
        assert float(path.read_text()) == pytest.approx(float(image.array.mean() - middle), abs=0.01)
    again = predict_files(place.source / "imagesTs", tmp_path / "out", device="cpu", **workspace)  # the only model there is
    assert again.already_there == len(first.written) == 2
    export_models(tmp_path / "toy.zip", **workspace)
    import_models(tmp_path / "toy.zip", name="toy", **workspace)
    assert predict_files(place.source / "imagesTs", tmp_path / "out", model=tmp_path / "toy.zip", quiet=True).already_there == 2
    page = report(place.source.name, **workspace).read_text(encoding="utf-8")
    assert '<section id="brightness">' in page and "It is bright." in page
    with pytest.raises(AutosegError, match="--axis is for anomaly detectors and locators, but the model meant here is a light"):
        plan_and_preprocess(place.source, planner="meter", axis="z", **workspace)
    with pytest.raises(AutosegError, match='holds a model of the task "brightness"'):
        predict_files(place.source / "imagesTs", tmp_path / "gated", model=place.model(TASKS[0]).root, device="cpu",
                      gate=planned.folder / "models" / "whole" / "meter", **workspace)
