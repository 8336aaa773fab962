"""The report's section about anomaly detection, alone and beside a segmentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.api.reporting import build_report
from autoseg.api.tasks import task_infos
from autoseg.commands import prediction_command
from autoseg.dataset import Case, Dataset, Labels
from autoseg.evaluation.csv_table import write_rows
from autoseg.files import write_json
from autoseg.intensities import IntensityWindow
from autoseg.plan import Configuration, Plans, Topology
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.dcgan import GanShape
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.tasks.anomaly.pictures import draw_panels, draw_samples, panels_png, samples_png
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.tasks.anomaly.scores import SCORES, SLICE_SCORES, CaseScore, SliceScore, Truth, case_score
from autoseg.tasks.anomaly.store import SlicesDescription, write_slices
from autoseg.tasks.anomaly.summary import summarize
from autoseg.training_log import Epoch, write_log
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace

PageOf = Callable[[DatasetFolder], Any]  # see conftest.py
NAME = "Dataset020_Spine"
CASES: dict[str, Truth | None] = {
    "well_0": "normal", "well_1": "normal", "well_2": "normal", "well_3": "normal", "sick_0": "abnormal", "sick_1": "abnormal",
    "unsure": None}
FOLDS = [["well_0", "well_1", "sick_0"], ["well_2", "well_3", "sick_1", "unsure"]]
SLICES = 4  # of each case; the first one is blank, the last one of a sick case abnormal


def dataset() -> Dataset:
    return Dataset(
        name=NAME, folder=Path("/data") / NAME, layout="nnunet", channel_names=("CT",), file_ending=".nii.gz",
        labels=Labels(values={"background": 0}), case_labels={case: truth for case, truth in CASES.items() if truth},
        training=tuple(Case(name=case, images=(Path(f"{case}.nii.gz"),)) for case in sorted(CASES)))


def slice_plans() -> SlicePlans:
    return SlicePlans(
        dataset=NAME, versions={"autoseg": "0.0.9"}, axis="sagittal", image_size=64, channel_names=("CT",),
        windows=(IntensityWindow(low=-150, high=350),), normal_by="case_labels", source=dataset(),
        reasons={"axis": "slices lie farthest apart along it", "normal_by": "case_labels says which cases are normal"})


def truths_of(case: str) -> tuple[Truth | None, ...]:
    if CASES[case] != "abnormal":
        return (CASES[case],) * SLICES
    return (*(None,) * (SLICES - 1), "abnormal")


def write_slices_of(folder: DatasetFolder) -> None:
    """Plans, findings and cut slices of all cases but the last one."""
    write_json(folder.plans_of(ANOMALY), slice_plans())
    write_json(folder.dataset_json, dataset())
    write_json(folder.findings_json, [])
    blank = (True,) + (False,) * (SLICES - 1)
    for case, truth in list(CASES.items())[:-1]:
        normal = tuple(truth == "normal" and not empty for empty in blank)
        write_slices(folder.preprocessed("slices"), SlicesDescription(
            case=case, shapes={}, origin="a", plans="b", case_truth=truth, truths=truths_of(case),
            blank=blank, normal=normal), np.zeros((SLICES, 1, 64, 64), np.float32))


def scores_of(case: str) -> tuple[CaseScore, list[SliceScore]]:
    """Slice i of case n scores 100 n + i, an abnormal one 1000 more."""
    slices = []
    for i, truth in enumerate(truths_of(case)):
        score = None if i == 0 else 100.0 * list(CASES).index(case) + i + (1000 if truth == "abnormal" else 0)
        slices.append(SliceScore(
            case=case, slice=i, score=score, residual=score, discrimination=score, steps=9, truth=truth, axis=2))
    return case_score(slices, CASES[case]), slices


def write_fold(model: ModelFolder, number: int) -> None:
    fold, rng = model.fold(number), np.random.default_rng(number)
    found = [scores_of(case) for case in FOLDS[number]]
    cases, slices = [case for case, _ in found], [entry for _, entries in found for entry in entries]
    write_rows(fold.validated(SCORES), CaseScore, cases)
    write_rows(fold.validated(SLICE_SCORES), SliceScore, slices)
    write_json(fold.summary_json, summarize(cases, slices))
    write_log(fold.log_jsonl, [Epoch(
        epoch=epoch, learning_rate=2e-4, training_loss=2.0, validation_loss=None, dice={}, mean_dice=None, smoothed_dice=None,
        seconds=30.0, finished_at="2026-01-02T03:04:05+00:00", values={
            "generator_loss": 1 + epoch / 4, "discriminator_loss": 1.4 - epoch / 10, "D(x)": 0.5 + epoch / 20,
            "D(G(z))": 0.5 - epoch / 20}) for epoch in range(8)])
    for epochs in (4, 8):
        draw_samples(samples_png(fold, epochs), np.clip(rng.normal(size=(16, 1, 64, 64)) / 2, -1, 1), f"epoch {epochs}")
    for case in FOLDS[number]:
        real = np.clip(rng.normal(size=(3, 1, 64, 64)) / 2, -1, 1)
        draw_panels(panels_png(fold, case), real, real * 0.5, [f"slice {i}" for i in range(3)], f"case {case}")
    fold.checkpoint_final.write_bytes(b"weights")


def write_detector(folder: DatasetFolder, name: str = "anogan") -> ModelFolder:
    model = folder.model("slices", name)
    write_json(model.model_json, AnomalyDescription(
        dataset=NAME, plans=slice_plans().without_cases(), spectral_norm=False, has_encoder=True, search=SearchSettings(),
        gan=GanShape(image_size=64, channels=1, latent=100, conv_layers=4, features=32), recipe="anogan",
        settings={"latent": 100, "label_smoothing": 0.1}, flags=("--set", "latent=100"), versions={"autoseg": "0.0.9"}))
    for number in range(len(FOLDS)):
        write_fold(model, number)
    return model


def plans() -> Plans:
    configuration = Configuration(
        spacing_mm=(1.0, 1.0), median_shape=(24, 20), patch_size=(24, 24), batch_size=2, normalization=("zscore",),
        normalize_inside_mask=(False,), reasons={}, network=Topology(
            features=(32, 64), strides=((1, 1), (2, 2)), kernel_sizes=((3, 3), (3, 3)), convs_per_stage=(2, 2)))
    return Plans(dataset=NAME, planner="default", transpose=(0, 1, 2), versions={}, foreground_intensities={},
                 configurations={"2d": configuration})


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """A dataset that was planned as slices only."""
    folder = Workspace(tmp_path).dataset(NAME)
    write_slices_of(folder)
    return folder


def test_a_page_of_slices_alone_says_nothing_of_segmentation(folder: DatasetFolder, page_of: PageOf) -> None:
    write_json(folder.root / "run.json", {"steps": {"plan": 30.0}, "whole": []})  # of an autoseg run for another task
    text = page_of(folder).text
    for expected in (
        "7 training cases", "No detector yet".lower(), "No anomaly detector has been trained yet", "sagittal slices",
        f"autoseg_train {NAME} 0 -tr anogan", "slices lie farthest apart along it", "CT: -150 to 350", "64 × 64 pixels",
        "slices of cases that are called normal", "1 case of 7 could not be cut", "Every file was read and nothing is wrong",
    ):
        assert expected in text, expected
    for unwanted in ("Dice", "find-best", "Cross-validation", "fingerprint", "SEGMENTATIONS", "0 class", "--planner default",
                     "autoseg run"):
        assert unwanted not in text, unwanted


def test_slices_are_counted_by_what_is_known_of_them(folder: DatasetFolder, page_of: PageOf) -> None:
    text = page_of(folder).text
    # four normal cases of four slices, one of them blank; two abnormal ones, whose last slice is abnormal
    assert "cases called normal 4 12 0 0 4 12" in text
    assert "cases called abnormal 2 0 2 4 2 0" in text
    assert "all 6 12 2 4 6 12" in text


def test_scores_of_all_folds_are_taken_together(folder: DatasetFolder, page_of: PageOf) -> None:
    write_detector(folder)
    page = page_of(folder)
    assert "AUROC 1.000 (1.000 to 1.000) by case" in page.text and "Over 4 normal cases and 2 abnormal cases" in page.text
    assert "slices 12 2 1.000" in page.text and "cases 4 2 1.000" in page.text
    assert "The 2 folds are taken together" in page.text and "fold 0 3 1.000 1.000" in page.text
    assert f"autoseg_predict -i IMAGES -o SCORES --workspace {folder.root.parent}" in page.text
    assert f"--gate {folder.model('slices', 'anogan').root}" in page.text
    for expected in ("at most 5,000 updates of the latent vector, lambda 0.1", "and an encoder", "--set latent=100"):
        assert expected in page.text, expected


def test_figures_stand_there_with_their_text_alternatives(folder: DatasetFolder, page_of: PageOf) -> None:
    write_detector(folder)
    said = " ".join(page_of(folder).alternatives)
    for expected in (
        "Losses of anogan, fold 0 over the epochs. generator: 1 in epoch 1, 2.75 in epoch 8. discriminator: 1.4 in epoch 1, 0.7",
        "D(x), real: 0.5 in epoch 1, 0.85 in epoch 8. D(G(z)), generated: 0.5 in epoch 1, 0.15 in epoch 8.",
        "Box plot. Score of each case of the validation by anogan, score. normal: median 153, half of the 4 values",
        "abnormal: median", "not known: one value", "ROC curve. Abnormal against normal",
        "cases, AUROC 1.00: 1 at 0.05, 1 at 0.2, 1 at 0.5.",
        "from the file epoch_00008.png", "Slices of case sick_1", "Score 1,500, abnormal", "Slices of case sick_0",
    ):
        assert expected in said, expected
    assert "epoch_00004.png" not in said and "Slices of case well_0" not in said


def test_without_abnormal_cases_the_scores_are_shown_and_the_rest_is_said_in_words(
    folder: DatasetFolder, page_of: PageOf
) -> None:
    model = write_detector(folder)
    for number, fold in enumerate(map(model.fold, range(2))):
        normal = [scores_of(case) for case in FOLDS[number] if CASES[case] == "normal"]
        write_rows(fold.validated(SCORES), CaseScore, [case for case, _ in normal])
        write_rows(fold.validated(SLICE_SCORES), SliceScore, [entry for _, entries in normal for entry in entries])
    page = page_of(folder)
    assert "AUROC not known No abnormal case is known (4 normal cases)." in page.text
    assert "No abnormal slice is known (12 normal slices)." in page.text
    said = " ".join(page.alternatives)
    assert "Score of each case" in said and "ROC curve" not in said


def test_where_no_fold_is_validated_no_case_has_been_scored(folder: DatasetFolder, page_of: PageOf) -> None:
    model = write_detector(folder, "mine")
    model.fold(0).summary_json.unlink()
    model.fold(1).checkpoint_final.rename(model.fold(1).training_state)
    text = page_of(folder).text
    assert "mine: fold 0 is not validated" in text and "mine: fold 1 is unfinished" in text
    assert "No case has been scored yet" in text and "Anomalies, mine not validated yet" in text


def test_commands_are_those_of_the_command_line(folder: DatasetFolder, page_of: PageOf) -> None:
    other = Workspace(folder.root.parent).dataset("Dataset021_Other")
    detector = write_detector(folder)
    write_json(folder.plans_json, plans())
    train(folder, "2d", "anogan")  # a segmentation model of the detector's name
    train(other, "2d", "default")
    text = page_of(folder).text
    where = f"--workspace {folder.root.parent}"
    assert text.count(prediction_command(folder, ANOMALY, task_infos(), None, "anogan")) == 2
    assert f"-o SCORES -tr anogan -c slices {where}" in text
    assert f"-o SEGMENTATIONS -d {NAME} --gate {detector.root} {where}" in text


def train(folder: DatasetFolder, configuration: str, recipe: str) -> None:
    model = folder.model(configuration, recipe)
    model.fold(0).root.mkdir(parents=True)
    write_json(model.model_json, {})
    for file in (folder.plans_json, model.fold(0).checkpoint_final):
        file.touch()


def test_damaged_files_are_named_and_hide_nothing_else(folder: DatasetFolder, page_of: PageOf) -> None:
    model = write_detector(folder)
    model.fold(0).validated(SLICE_SCORES).write_text("case\n")
    samples_png(model.fold(0), 8).write_bytes(b"no picture")
    panels_png(model.fold(1), "sick_1").write_bytes(b"\x89PNG")
    model.model_json.write_text("{}")
    text = page_of(folder).text
    for expected in ("slice_scores.csv has the columns case.", "epoch_00008.png cannot be shown", "sick_1.png cannot be shown",
                     "model.json does not fit", "AUROC 1.000"):
        assert expected in text, expected


def test_names_from_outside_are_text(folder: DatasetFolder) -> None:
    model = write_detector(folder, "a<b>&c")
    hostile = '"><script>alert(1)'
    write_rows(model.fold(1).validated(SCORES), CaseScore, [scores_of("sick_1")[0].model_copy(update={"case": hostile})])
    draw_panels(panels_png(model.fold(1), hostile), np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 8)), ["x"], hostile)
    page = build_report(folder)
    assert "<script" not in page and "a<b>" not in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
