"""The report: what it says, that it needs nothing else, and how it looks in a browser."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from markupsafe import escape

from autoseg.api.reporting import build_report, report
from autoseg.best import Best, Candidate, DropSmall, KeepLargest, TriedRule, member_of
from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.case import Pair
from autoseg.evaluation.summary import evaluate_pairs, pooled_summary, write_summary
from autoseg.files import write_json
from autoseg.fingerprint import CaseFingerprint, Fingerprint, LabelOfCase, LabelOfDataset, Range
from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.plan import Configuration, IntensityStatistics, Plans, Topology
from autoseg.tasks.segmentation import INFO
from autoseg.tasks.segmentation import INFO as SEGMENTATION
from autoseg.tasks.segmentation.report.worst import typical_and_best, worst_cases
from autoseg.training_log import Epoch, write_log
from autoseg.verification.findings import Finding
from autoseg.ways import Difference, MeasuredWay, Way, Ways
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace

NAME = "Dataset007_<b>Bold</b>&Co"
HOSTILE_CLASS = "<script>alert(1)</script>"
HOSTILE_CASE = '"><img src=x onerror=alert(2)>'
CASES = [f"case_{number}" for number in range(6)] + [HOSTILE_CASE]
FOLDS = [[0, 1, 2], [3, 4], [5, 6]]
GRID = Geometry((3.0, 1.0, 1.0))
INTENSITIES = IntensityStatistics(mean=500.0, std=90.0, median=480.0, percentile_00_5=20.5, percentile_99_5=990.0)
PageOf = Callable[[DatasetFolder], Any]  # see conftest.py
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
MEASURE = """<script>
addEventListener("load", () => {
document.querySelectorAll("details").forEach(one => { one.open = true; });
const texts = [...document.querySelectorAll("svg text")].map(one => {
  const box = one.getBoundingClientRect(), whole = one.closest("svg").getBoundingClientRect();
  return {pixels: parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a,
          outside: Math.max(whole.left - box.left, box.right - whole.right)};
});
parent.document.body.innerHTML = "<pre id=measured>" + JSON.stringify({
  window: innerWidth, page: document.scrollingElement.scrollWidth,
  smallest: Math.min(...texts.map(one => one.pixels)), outside: Math.max(...texts.map(one => one.outside)),
  pictures: [...document.images].map(one => one.naturalWidth),
}) + "</pre>";
});
</script>"""


def configuration(dimensions: int) -> Configuration:
    ones, threes = (1,) * dimensions, (3,) * dimensions
    return Configuration(
        spacing_mm=(3.0, 1.0, 1.0)[-dimensions:], median_shape=(12, 24, 20)[-dimensions:],
        patch_size=(12, 24, 24)[-dimensions:], batch_size=2, normalization=("zscore",), normalize_inside_mask=(False,),
        network=Topology(features=(32, 64), strides=(ones, (2,) * dimensions), kernel_sizes=(threes, threes),
                         convs_per_stage=(2, 2)),
        reasons={"patch_size": "It covers all of the median shape.", "3d_lowres": "Not needed."})


def plans() -> Plans:
    return Plans(
        dataset=NAME, planner="default", transpose=(0, 1, 2), versions={"python": "3.11.0", "autoseg": "0.0.9"},
        foreground_intensities={"0": INTENSITIES}, configurations={"2d": configuration(2), "3d_fullres": configuration(3)})


def label_of() -> np.ndarray:
    """An organ of 4 × 8 × 8 voxels in slices 4 to 7, and a lesion of 2 × 2 × 2 beside it."""
    label = np.zeros((12, 24, 20), np.uint8)
    label[4:8, 6:14, 5:13] = 1
    label[5:7, 14:16, 8:10] = 2
    return label


def prediction_of(case: int) -> np.ndarray:
    """The organ moved by 0 to 6 rows: the higher the case, the lower its Dice; and 9 more voxels of it in slice 6 (index 5)."""
    prediction = np.roll(label_of(), case, axis=1)
    prediction[5, 20:23, 1:4] = 1
    return prediction


def fingerprint() -> Fingerprint:
    one = LabelOfCase(volume_ml=0.768, components=1, smallest_ml=0.768, largest_ml=0.768)
    whole = Range(minimum=0.5, median=0.768, maximum=0.9)
    names = {"1": HOSTILE_CLASS, "2": "lesion"}
    return Fingerprint(
        dataset=NAME, versions={}, channel_names=("MRI",), foreground_intensities={"0": INTENSITIES}, orientations={"LPS": 7},
        foreground_components=whole,
        labels={key: LabelOfDataset(name=name, cases=7, volume_ml=whole, components=Range(minimum=1, median=1, maximum=1),
                                    smallest_ml=0.5, touches={"1": 1.0} if key == "2" else {}, inside=())
                for key, name in names.items()},
        cases={name: CaseFingerprint(spacing_mm=(3.0 + number, 1.0, 1.0), shape=(12, 24, 20), shape_after_crop=(12, 24, 20),
                                     share_kept=1.0, orientation="LPS", labels={"1": one, "2": one})
               for number, name in enumerate(CASES)})


def epochs(fold: int) -> list[Epoch]:
    return [Epoch(epoch=epoch, learning_rate=0.01, training_loss=1 / (epoch + 1), validation_loss=1.2 / (epoch + 1), dice={},
                  mean_dice=0.5 + 0.1 * epoch, smoothed_dice=0.5, seconds=60.0 + fold, finished_at="2026-01-02T03:04:05+00:00")
            for epoch in range(4)]


def write_data(folder: DatasetFolder, source: Path) -> Dataset:
    cases = []
    label, noise = label_of(), np.random.default_rng(0)
    for name in CASES:
        image = Image((label[None] * 100 + noise.integers(1, 160, label.shape)).astype(np.int16), GRID)
        case = Case(name=name, images=(source / f"{name}_0000.nii.gz",), label=source / f"{name}.nii.gz")
        write_image(case.images[0], image.array, image)
        write_label(source / f"{name}.nii.gz", label, image)
        cases.append(case)
    dataset = Dataset(
        name=NAME, folder=source, layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz", training=tuple(cases),
        labels=Labels(values={"background": 0, HOSTILE_CLASS: 1, "lesion": 2}))
    write_json(folder.dataset_json, dataset)
    write_json(folder.plans_json, plans())
    write_json(folder.fingerprint_json, fingerprint())
    write_json(folder.findings_json, [Finding(
        case="case_3", file="case_3.nii.gz", severity="warning", code="one_value", problem="all of its voxels are equal",
        remedy="Look at it.",
    ).model_dump(mode="json")])
    write_json(folder.splits_json, [{"train": [], "val": [CASES[i] for i in fold]} for fold in FOLDS])
    return dataset


def write_folds(folder: DatasetFolder, dataset: Dataset, name: str) -> ModelFolder:
    """A model with all folds."""
    model = folder.model(name, "default")
    write_json(model.model_json, {"flags": ["--epochs", "4", "--iterations", "9"], "versions": {"python": "3.11.0"}})
    summaries = []
    for fold, numbers in enumerate(FOLDS):
        pairs = []
        for case in (dataset.training[i] for i in numbers):
            path = model.fold(fold).validation / f"{case.name}.nii.gz"
            write_label(path, prediction_of(CASES.index(case.name)), Image(label_of()[None], GRID))
            pairs.append(Pair(case.name, case.label or Path(), path))
        summaries.append(evaluate_pairs(pairs, dataset.labels, workers=1))
        write_summary(model.fold(fold).summary_json, summaries[-1])
        write_log(model.fold(fold).log_jsonl, epochs(fold))
        model.fold(fold).checkpoint_final.write_bytes(b"weights")
    write_summary(model.summary_json, pooled_summary(summaries))
    return model


def best(folder: DatasetFolder) -> Best:
    two, three = (member_of(folder.model(name, "default"), range(3)) for name in ("2d", "3d_fullres"))
    classes: dict[str, float | None] = {"1": 0.6, "2": None}
    tried = TriedRule(rule=KeepLargest(labels=(1,), count=1), says="keep the largest piece of it", accepted=True,
                      dice_before=0.6, dice_after=0.6512, classes_before=classes, classes_after={"1": 0.6512, "2": None})
    refused = TriedRule(rule=DropSmall(labels=(1,), below_ml=1), says="drop its specks", accepted=False, dice_before=0.6512,
                        dice_after=0.6412, classes_before=classes, classes_after=classes)
    difference = Difference(mean=-0.0213, low=-0.04, high=-0.01, p_value=0.03)
    return Best(
        dataset=NAME, members=(three,), reason="3d_fullres is simpler than the others.", rules=(tried, refused),
        candidates=(Candidate(members=(three,), value=0.6, classes=classes, cases=7),
                    Candidate(members=(two,), value=0.5787, classes=classes, cases=7, difference=difference, is_worse=True)),
        names={"1": HOSTILE_CLASS, "2": "lesion"}, references="", versions={"python": "3.11.0"},
        ways=measured_ways())


def measured_ways() -> Ways:
    """The full way, one that is chosen, one that is dominated, and the fastest."""
    same, worse = (Difference(mean=mean, low=mean - 0.0005, high=mean + 0.0005, p_value=0.3) for mean in (-0.0002, -0.02))
    common = {"seconds": 0.25, "nsd": 0.9}
    return Ways(measured=(
        MeasuredWay(way=Way(axes=(0, 1, 2)), evaluations=64, cost=1, dice=0.6512, **common),
        MeasuredWay(way=Way(axes=(0, 1)), evaluations=32, cost=0.5, dice=0.64, dice_change=worse, nsd_change=same,
                    may_be_worse=True, **common),
        MeasuredWay(way=Way(axes=(2,), step=0.8), evaluations=8, cost=0.125, dice=0.651, dice_change=same, nsd_change=same,
                    **common),
        MeasuredWay(way=Way(axes=(), step=0.8), evaluations=4, cost=0.0625, dice=0.6312, dice_change=worse, nsd_change=same,
                    may_be_worse=True, **common)),
        chosen=2, fastest=3, not_worse=0.001, tolerance_mm=2.0, cases=7, device="cpu in float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    """A finished job of two models, three folds and seven cases; written, not trained."""
    root = tmp_path_factory.mktemp("report")
    folder = Workspace(root / "workspace").dataset(NAME.replace("/", "∕"))
    dataset = write_data(folder, root / "source")
    for name in ("2d", "3d_fullres"):
        model = write_folds(folder, dataset, name)
    write_json(folder.best_of(INFO), best(folder))
    for fold in range(len(FOLDS)):
        shutil.copytree(model.fold(fold).validation, folder.postprocessed, dirs_exist_ok=True)
    shutil.copyfile(model.summary_json, folder.postprocessed / "summary.json")
    write_json(folder.run_of(SEGMENTATION), {"steps": {"plan": 95.0, "2d default fold 0": 3725.0}, "whole": ["plan"]})
    return folder


def copied(folder: DatasetFolder, tmp_path: Path, name: str, without: tuple[str, ...] = ()) -> DatasetFolder:
    """The job with one model only, to be changed."""
    copy = Workspace(tmp_path).dataset(name)
    shutil.copytree(folder.root, copy.root, ignore=shutil.ignore_patterns("2d", *without))
    return copy


@pytest.fixture(scope="module")
def found(folder: DatasetFolder, page_of: PageOf) -> Any:
    return page_of(folder)


def test_the_page_says_what_lies_on_disk(found: Any) -> None:
    for expected in (
        "7 training cases", "Chosen 3d_fullres", "a single model, then 1 rule of post-processing", "It covers all of the median",
        "3d_fullres is simpler than the others.", "keep the largest piece of it", "+0.0512", "drop its specks", "−0.0213",
        "−0.0400 to −0.0100", "all of its voxels are equal", "990", "LPS in 7 cases", "1 h 2 min",
        "0.0.9", "autoseg_predict -i IMAGES -o SEGMENTATIONS", "95 % interval over 7 validation cases",
    ):
        assert expected in found.text, expected
    described = " ".join(attributes["aria-label"] for attributes in found.all("svg"))
    for expected in ("Training loss of 2d over the epochs", "fold 2: 1 in epoch 1, 0.25 in epoch 4", "Volume of each class",
                     "Dice of each validation case, by class", "HD95 of each validation case, by class"):
        assert expected in described, expected


def test_the_way_to_predict_is_shown_with_what_it_costs_and_changes(found: Any) -> None:
    text = found.text
    assert "Mirrored along axis 2 only, tiles 0.8 of the patch apart: Dice changed by -0.0002 [-0.0007, +0.0003]" in text
    assert "8 times fewer network evaluations; the cheapest way that is not worse" in text
    assert "All 4 ways that were measured" in text
    (alternative,) = [said for said in found.alternatives if "Ways to predict" in said]
    assert "in full: 64, +0.0000. mirrored along axis 2 only, tiles 0.8 of the patch apart: 8, −0.0002" in alternative
    assert "axes 0 and 1 only" not in alternative  # a cheaper one has a higher Dice


def test_the_mean_and_the_worst_case_are_those_worked_out_by_hand(found: Any) -> None:
    # moved by 6 of 8 rows: 64 of 256 organ voxels are left, 2·64 / (256 + 256 + 9); the lesion is missed
    organ = 2 * (8 - 6) * 8 * 4 / (2 * 256 + 9)
    assert f"Dice {organ / 2:.3f}" in found.text
    assert f"Worst case {HOSTILE_CASE}, Dice {organ / 2:.3f}" in found.text


def test_the_five_worst_cases_are_shown_on_the_slice_that_differs_most(found: Any) -> None:
    alternatives = [attributes["alt"] for attributes in found.all("img")]
    assert len(alternatives) == 5 + 1  # and the best one; of seven cases, the median is among the worst
    for alternative, case in zip(alternatives[:5], reversed(CASES), strict=False):
        assert f"Axial slice 6 of 12 of case {case}" in alternative
        assert "solid blue" in alternative and "dashed orange" in alternative


@pytest.mark.parametrize(("cases", "worst", "others"), [
    (1, [0], []), (5, range(5), []), (7, range(5), [(6, "best")]), (10, range(5), [(9, "best")]),
    (11, range(5), [(5, "typical"), (10, "best")]), (12, range(5), [(5, "typical"), (11, "best")]),
])
def test_a_typical_and_the_best_case_follow_the_worst(cases: int, worst: Any, others: list[tuple[int, str]]) -> None:
    rated = [SimpleNamespace(mean_dice=dice / 100) for dice in range(cases)]
    summary: Any = SimpleNamespace(metric_per_case=[SimpleNamespace(mean_dice=math.nan), *reversed(rated)])
    assert worst_cases(summary) == [rated[place] for place in worst]
    assert typical_and_best(summary) == [(rated[place], name) for place, name in others]


def test_that_every_case_was_predicted_is_said_only_where_it_is_so(
    found: Any, folder: DatasetFolder, tmp_path: Path, page_of: PageOf
) -> None:
    assert "Every training case was predicted, each by the fold" in found.text
    more = copied(folder, tmp_path, "Dataset013_More")
    content = json.loads(more.dataset_json.read_text())
    content["training"].append({**content["training"][0], "name": "new"})
    more.dataset_json.write_text(json.dumps(content))
    text = page_of(more).text
    assert "7 of 8 training cases were predicted, each by the fold" in text and "Every training case" not in text


def test_the_page_needs_nothing_but_itself(found: Any) -> None:
    assert not found.all("script", "link", "iframe", "object", "embed", "base", "form", "video", "audio")
    for _, attributes in found.tags:
        for key, value in attributes.items():
            assert not key.startswith("on"), key
            if key in ("src", "href", "xlink:href", "srcset", "poster", "action"):
                assert value.startswith(("data:image/png;base64,", "#")), value[:80]
            if "url(" in value:
                assert re.fullmatch(r"[^(]*url\(#[^)]+\)[^(]*", value), value
    page = found.html
    style = page[page.index("<style>"):page.index("</style>")]
    assert "@import" not in page and "url(" not in style and "@font-face" not in style


def test_every_figure_has_a_text_alternative_and_links_lead_somewhere(found: Any) -> None:
    pictures = found.all("img") + found.all("svg")
    assert len(found.all("figure")) == len(pictures) > 12
    for attributes in found.all("svg"):
        assert attributes["role"] == "img" and len(attributes["aria-label"]) > 40
    assert all(len(attributes["alt"]) > 40 for attributes in found.all("img"))
    anchors = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    assert all(attributes["href"].removeprefix("#") in anchors for attributes in found.all("a"))


def test_names_from_outside_are_text_not_markup(found: Any) -> None:
    page = found.html
    assert "<script" not in page and "onerror=alert(2)>" not in page and "<b>Bold" not in page
    assert HOSTILE_CLASS in found.text and HOSTILE_CASE in found.text and NAME in found.text


def test_ids_belong_to_one_element_each(found: Any) -> None:
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_planned_dataset_has_a_report_that_says_how_to_go_on(tmp_path: Path, page_of: PageOf) -> None:
    folder = Workspace(tmp_path).dataset("Dataset008_Begun")
    with pytest.raises(AutosegError, match="has not been planned"):
        build_report(folder)
    write_json(folder.plans_json, plans())
    text = page_of(folder).text
    assert f"autoseg_train Dataset008_Begun 0 1 2 3 4 --workspace {tmp_path}" in text
    assert "It covers all of the median shape." in text and "not known yet" in text
    assert "autoseg_predict" not in text


def test_unfinished_folds_are_named_with_the_command_that_completes_them(
    folder: DatasetFolder, tmp_path: Path, page_of: PageOf
) -> None:
    begun = copied(folder, tmp_path, "Dataset009_Half", without=("best.json",))
    model = begun.model("3d_fullres", "default")
    shutil.rmtree(model.fold(0).root)
    model.fold(1).checkpoint_final.rename(model.fold(1).training_state)
    model.fold(1).summary_json.unlink()
    text = page_of(begun).text
    assert "3d_fullres: fold 0 is missing: autoseg_train Dataset009_Half 0 -c 3d_fullres --epochs 4 --iterations 9 --w" in text
    assert "3d_fullres: fold 1 is unfinished: autoseg_train Dataset009_Half 1 -c 3d_fullres --continue" in text
    assert "autoseg find-best Dataset009_Half" in text
    assert "without fold 0, 1" in text and "their numbers cannot be compared" in text


def test_a_damaged_file_is_named_and_hides_nothing_else(folder: DatasetFolder, tmp_path: Path, page_of: PageOf) -> None:
    damaged = copied(folder, tmp_path, "Dataset010_Damaged")
    damaged.fingerprint_json.write_text('{"dataset": "x"}')
    damaged.findings_json.write_text('{"no": "list"}')
    damaged.model("3d_fullres", "default").fold(0).log_jsonl.write_text("no json")
    text = page_of(damaged).text
    assert "fingerprint.json does not fit" in text and "findings.json does not fit" in text and "log.jsonl is damaged" in text
    assert "keep the largest piece of it" in text


def test_an_image_that_is_gone_is_told_in_place_of_its_picture(folder: DatasetFolder, tmp_path: Path, page_of: PageOf) -> None:
    moved = copied(folder, tmp_path, "Dataset011_Moved")
    content = json.loads(moved.dataset_json.read_text())
    content["training"][-1]["images"] = [str(tmp_path / "gone.nii.gz")]
    moved.dataset_json.write_text(json.dumps(content))
    found = page_of(moved)
    assert len(found.all("img")) == 5 and "gone.nii.gz" in found.text and "cannot be drawn" in found.text


def test_of_many_classes_the_worst_are_shown_and_the_others_folded_away(
    folder: DatasetFolder, tmp_path: Path, page_of: PageOf
) -> None:
    many = copied(folder, tmp_path, "Dataset012_Many", without=("best.json", "fingerprint.json", "dataset.json"))
    keys = [str(key) for key in range(1, 61)]
    for path in (many.model("3d_fullres", "default").fold(fold).summary_json for fold in range(len(FOLDS))):
        summary = json.loads(path.read_text())
        summary["names"], summary["mean"] = {key: f"structure {key}." for key in keys}, {key: {} for key in keys}
        for case in summary["metric_per_case"]:
            case["metrics"] = {key: {**case["metrics"]["1"], "Dice": int(key) / 100} for key in keys}
            case["volumes_ml"] = dict.fromkeys(keys, case["volumes_ml"]["1"])
        path.write_text(json.dumps(summary))
    found = page_of(many)
    assert "The other 48 classes" in found.folded
    assert all((f"structure {key}." in found.folded) == (int(key) > 12) for key in keys)


def test_the_command_writes_the_page_into_the_workspace(tmp_path: Path) -> None:
    folder = Workspace(tmp_path).dataset("Dataset013_Planned")
    write_json(folder.plans_json, plans())
    path = report(folder.name, workspace=tmp_path, quiet=True)
    assert path == folder.report_html and path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def browse(*arguments: str) -> str:
    """What headless Chromium prints."""
    assert CHROMIUM is not None
    profile = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage"]
    return subprocess.run([CHROMIUM, *profile, *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium, chromium-browser or google-chrome on PATH")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_scrolling_sideways(found: Any, tmp_path: Path, width: int) -> None:
    page = found.html
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    frame = escape(page.replace("</body>", f"{MEASURE}</body>"))  # a window is never narrower than 500 pixels, a frame can be
    (tmp_path / "measured.html").write_text(
        f'<meta charset="utf-8"><iframe style="width: {width}px; height: 3000px; border: 0" srcdoc="{frame}"></iframe>', "utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    browse(f"--window-size={width},3000", f"--screenshot={tmp_path / 'page.png'}", profile, (tmp_path / "report.html").as_uri())
    with PIL.Image.open(tmp_path / "page.png") as photograph:
        assert photograph.size == (width, 3000)
        pixels = np.asarray(photograph.convert("L"))
    for band in np.array_split(pixels, 6):  # text and figures all the way down, no blank page
        assert 0.005 < (band < 128).mean() < 0.8
    dom = browse("--window-size=1400,3000", "--dump-dom", profile, (tmp_path / "measured.html").as_uri())
    measured = json.loads(dom[dom.index("measured\">") + len("measured\">"):dom.index("</pre>")])
    assert measured["window"] == width
    assert measured["page"] <= width, "the page scrolls sideways"
    assert measured["smallest"] >= 10, "text in a figure is too small to read"
    assert measured["outside"] < 1, "text leaves its figure"
    assert len(measured["pictures"]) == 6 and min(measured["pictures"]) > 200
