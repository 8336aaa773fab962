"""The verbs: what a command line, a notebook or another program asks of autoseg. Imports all, is imported by none but cli.

Every verb raises AutosegError for anything that data, settings or disk can cause. DATASET arguments are a path to a
dataset folder, or the name or number of one in the workspace, $AUTOSEG_RAW or $nnUNet_raw. torch is imported where a
verb needs it, so that the others answer at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg import console
from autoseg.dataset import Dataset, find_dataset, load_dataset
from autoseg.demo import make_synthetic_dataset
from autoseg.errors import AutosegError
from autoseg.evaluation.summary import (
    Summary,
    cases_table,
    evaluate_folder,
    failures_table,
    summary_table,
    write_summary,
)
from autoseg.plan import Plans
from autoseg.planners import PLANNERS
from autoseg.planners.fingerprint import build_fingerprint, inspection_findings, run_inspection
from autoseg.preprocessing.pipeline import preprocess_dataset
from autoseg.verification.findings import Finding, findings_table
from autoseg.verification.repair import find_mapping, repair_labels
from autoseg.verification.verify import verify_dataset
from autoseg.workspace import DatasetFolder, ModelFolder, Workspace, read_model, write_json

if TYPE_CHECKING:
    from autoseg.inference.predictor import Predictor
    from autoseg.trainers.settings import Settings

PathLike = str | Path


@dataclass(frozen=True)
class PlanResult:
    """name, folder: of the dataset in the workspace. failed: cases that could not be preprocessed, with the reason."""

    name: str
    folder: Path
    plans: Plans
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainResult:
    """folder: of the fold. summary: of its validation; None for fold "all". next_fold: the lowest unfinished one."""

    folder: Path
    summary: Summary | None
    next_fold: str | None


@dataclass(frozen=True)
class PredictResult:
    """written: segmentation files by case (those that were already there included). failed: reasons by case."""

    written: dict[str, Path]
    failed: dict[str, str]
    already_there: int


@dataclass(frozen=True)
class EvaluateResult:
    """summary, and the file that holds it."""

    summary: Summary
    path: Path


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: the learning curves, and the evaluation of the test images."""

    progress_png: Path
    summary_json: Path
    summary: Summary


def verify(
    dataset: PathLike, workers: int | None = None, workspace: PathLike | None = None, quiet: bool = False
) -> list[Finding]:
    """Read every file of a dataset and list what is wrong with it. workers: at most so many processes."""
    source = load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))
    with console.progress(f"Checking {source.name}", quiet) as report:
        findings = verify_dataset(source, workers, console.counted(report, len(source.training) + len(source.test)))
    if findings and not quiet:
        console.show(findings_table(findings))
    return findings


def repair(
    dataset: PathLike, target: PathLike, workers: int | None = None, workspace: PathLike | None = None, quiet: bool = False
) -> list[Finding]:
    """Write a copy of a dataset to `target` in which wrong label values (255 for 1, ...) are mended.

    The dataset itself stays as it is; images are not copied. Returns the cases that could not be mended and are left out.
    """
    source = load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))
    mapping = find_mapping(source, workers)
    findings = repair_labels(source, mapping, Path(target), workers)
    if not quiet:
        console.show(f"Label values: {', '.join(f'{value} became {meant}' for value, meant in mapping.items())}.")
        if findings:
            console.show(findings_table(findings))
    return findings


def plan_and_preprocess(
    dataset: PathLike, configurations: Sequence[str] | None = None, planner: str = "default", memory_gb: float = 8.0,
    workers: int | None = None, skip_bad_cases: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> PlanResult:
    """Check a dataset, measure its fingerprint, plan it, and preprocess its cases for each configuration.

    configurations: "2d", "3d_fullres", "3d_lowres"; None for all that were planned. memory_gb: of the GPU.
    Cases that are already preprocessed by the same plans stay as they are.
    """
    if planner not in PLANNERS:
        raise AutosegError(f'There is no planner "{planner}". There are: {", ".join(sorted(PLANNERS))}.')
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    folder = place.dataset(source.name)
    inspections = []
    with console.progress(f"Checking and measuring {source.name}", quiet) as report:
        finish = console.counted(report, len(source.training) + len(source.test))
        for inspection in run_inspection(source, workers):
            inspections.append(inspection)
            finish(inspection.case)
    usable = _without_bad_cases(source, inspection_findings(source, inspections), skip_bad_cases, quiet)
    fingerprint = build_fingerprint(usable, inspections)
    plans = PLANNERS[planner](usable, fingerprint, memory_gb)
    chosen = _known_configurations(configurations, plans)
    write_json(folder.dataset_json, usable)
    write_json(folder.fingerprint_json, fingerprint)
    write_json(folder.plans_json, plans)
    failed = {}
    with console.progress(f"Preprocessing for {', '.join(chosen)}", quiet) as report:
        finish = console.counted(report, len(usable.training))
        for outcome in preprocess_dataset(usable, plans, chosen, folder.preprocessed, workers):
            finish(outcome.item)
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
    return PlanResult(source.name, folder.root, plans, failed)


def train(
    dataset: PathLike, fold: int | str, configuration: str | None = None, recipe: str = "default", resume: bool = False,
    restart: bool = False, epochs: int | None = None, iterations: int | None = None, max_hours: float | None = None,
    device: str = "auto", settings: Sequence[str] = (), workspace: PathLike | None = None, quiet: bool = False,
) -> TrainResult:
    """Train one fold to its end and validate it; goes on where an earlier run stopped.

    fold: 0..4, or "all" (every case, no validation). configuration: None for 3d_fullres where it was planned, else 2d.
    resume: go on with an unfinished fold, whatever settings it was started with. restart: throw it away first.
    settings: "key=value" texts; see `autoseg.trainers.settings.Settings`.
    """
    from autoseg.trainers.fold import train_fold
    from autoseg.trainers.job import Job, load_fold_data
    from autoseg.trainers.settings import parse_settings

    if resume and restart:
        raise AutosegError("--continue and --restart contradict each other. Give one of them.")
    folder = _planned(str(dataset), Workspace.at(workspace))
    chosen: Settings | None = parse_settings(list(settings), epochs=epochs, iterations=iterations, max_hours=max_hours)
    if resume:
        chosen = None
    job = Job(folder, configuration or _default_configuration(folder), recipe, str(fold), chosen, device)
    data = load_fold_data(job)
    if not quiet:
        for note in data.notes:
            console.show(note)
        if job.fold_folder.checkpoint_final.exists() and not restart:
            console.show(f"Fold {fold} of {job.configuration}, {recipe} is trained already (--restart begins anew).")
    if restart and job.fold_folder.root.exists():
        shutil.rmtree(job.fold_folder.root)
    with console.progress(f"Fold {fold}", quiet) as report:
        summary = train_fold(job, data, report)
    if summary is not None and not quiet:
        console.show(summary_table(summary))
    return TrainResult(job.fold_folder.root, summary, _next_fold(job.model, data.folds, str(fold)))


def predict_files(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, model: PathLike | None = None,
    configuration: str | None = None, recipe: str | None = None, folds: Sequence[int | str] | None = None,
    checkpoint: str = "final", mirroring: bool = True, save_probabilities: bool = False, overwrite: bool = False,
    device: str = "auto", workspace: PathLike | None = None, quiet: bool = False,
) -> PredictResult:
    """Segment an image or a folder of images into `output`, in each image's own grid and format.

    The model is the one in `model`, or the only one in the workspace that fits dataset, configuration and recipe.
    A case that fails stops no other; what an earlier run of the same model finished stays as it is.
    """
    from autoseg.inference.predictor import list_inputs

    predictor = _predictor(Workspace.at(workspace), dataset, model, configuration, recipe, folds, checkpoint, mirroring,
                           device, quiet)
    inputs = list_inputs(Path(input), predictor.model.description)
    written, failed, there = {}, {}, 0
    with console.progress(f"Segmenting {len(inputs)} images", quiet) as report:
        done = 0

        def tiles(case: str, tile: int, tile_count: int) -> None:
            report((done + tile / tile_count) / len(inputs), f"case {case}: tile {tile}/{tile_count}")

        for outcome in predictor.predict_files(inputs, Path(output), overwrite, save_probabilities, tiles):
            done += 1
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
                continue
            written[outcome.item.name] = outcome.value.path
            there += outcome.value.was_there
    return PredictResult(written, failed, there)


def predict(
    array: np.ndarray, spacing_mm: Sequence[float], dataset: PathLike | None = None, model: PathLike | None = None,
    configuration: str | None = None, recipe: str | None = None, folds: Sequence[int | str] | None = None,
    checkpoint: str = "final", mirroring: bool = True, device: str = "auto", workspace: PathLike | None = None,
) -> np.ndarray:
    """Label values (Z, Y, X), uint8 or uint16, of an image in memory.

    array: (C, Z, Y, X), or (Z, Y, X) for one channel; the intensities and axis order of the training images.
    spacing_mm: (z, y, x), mm. The model is chosen as in `predict_files`.
    """
    from autoseg.image import Geometry, Image

    image = array[None] if array.ndim == 3 else array
    if image.ndim != 4:
        raise AutosegError(f"The array has shape {array.shape}. Expected (C, Z, Y, X), or (Z, Y, X) for one channel.")
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise AutosegError(f"spacing_mm is {tuple(spacing_mm)}. Expected three positive numbers, (z, y, x), in mm.")
    z, y, x = (float(mm) for mm in spacing_mm)
    predictor = _predictor(Workspace.at(workspace), dataset, model, configuration, recipe, folds, checkpoint, mirroring,
                           device, quiet=True)
    return predictor.predict_image(Image(image, Geometry((z, y, x))), "array")


def evaluate(
    reference: PathLike, prediction: PathLike, labels: PathLike | None = None, output: PathLike | None = None,
    workspace: PathLike | None = None, quiet: bool = False,
) -> EvaluateResult:
    """Dice, IoU and volumes of predictions against references of the same name, per class and case.

    labels: dataset whose label names and regions count. output: None for `summary.json` among the predictions.
    """
    known = None
    if labels is not None:
        known = load_dataset(find_dataset(str(labels), Workspace.at(workspace))).labels
    summary = evaluate_folder(Path(reference), Path(prediction), known)
    path = Path(output) if output is not None else Path(prediction) / "summary.json"
    write_summary(path, summary)
    if not quiet:
        console.show(cases_table(summary))
        console.show(summary_table(summary))
        if summary.failed:
            console.show(failures_table(summary))
    return EvaluateResult(summary, path)


def demo(output: PathLike, quiet: bool = False) -> DemoResult:
    """Make a synthetic dataset in `output`, and plan, train, predict and evaluate it: a few minutes on two cores."""
    root = Path(output)
    workspace = root / "workspace"
    source = make_synthetic_dataset(root)
    plan_and_preprocess(source, ["3d_fullres"], workspace=workspace, quiet=quiet)
    result = train(source.name, 0, epochs=8, iterations=15, settings=["momentum=0.95"], workspace=workspace, quiet=quiet)
    predict_files(source / "imagesTs", root / "segmentations", workspace=workspace, quiet=quiet)
    evaluation = evaluate(source / "labelsTs", root / "segmentations", labels=source, quiet=quiet)
    return DemoResult(result.folder / "progress.png", evaluation.path, evaluation.summary)


def _predictor(
    place: Workspace, dataset: PathLike | None, model: PathLike | None, configuration: str | None, recipe: str | None,
    folds: Sequence[int | str] | None, checkpoint: str, mirroring: bool, device: str, quiet: bool,
) -> Predictor:
    from autoseg.device import resolve_device
    from autoseg.inference.choice import choose_model
    from autoseg.inference.model import load_model
    from autoseg.inference.predictor import Predictor

    name = None if dataset is None else _planned(str(dataset), place).name
    folder = choose_model(place, name, None if model is None else Path(model), configuration, recipe)
    if checkpoint not in ("final", "best"):
        raise AutosegError(f'There is no checkpoint "{checkpoint}". Use final or best.')
    target = resolve_device(device)
    wanted = None if folds is None else [str(fold) for fold in folds]
    loaded = load_model(folder, wanted, "best" if checkpoint == "best" else "final", target)
    if not quiet:
        console.show(f"Model: {loaded.description.dataset}, {loaded.description.configuration_name}, "
                     f"{loaded.description.recipe}, fold {' '.join(loaded.folds)}, on {target} ({folder.root})")
    return Predictor(loaded, target, mirroring=mirroring)


def _without_bad_cases(source: Dataset, findings: list[Finding], skip: bool, quiet: bool) -> Dataset:
    """The dataset without the cases that have errors. Raises AutosegError where there are some and `skip` is not set."""
    if findings and not quiet:
        console.show(findings_table(findings))
    errors = [finding for finding in findings if finding.severity == "error"]
    bad = {finding.case for finding in errors}
    if errors and not skip:
        raise AutosegError(
            f"{source.name} has {len(errors)} errors in {len(bad)} cases, listed above. Mend them (autoseg verify "
            f"{source.folder} lists them again), or leave these cases out with --skip-bad-cases."
        )
    usable = tuple(case for case in source.training if case.name not in bad)
    if not usable:
        raise AutosegError(f"{source.name}: no training case is without errors. Mend those that are listed above.")
    return source.model_copy(update={"training": usable})


def _known_configurations(configurations: Sequence[str] | None, plans: Plans) -> list[str]:
    unknown = [name for name in configurations or () if name not in plans.configurations]
    if unknown:
        raise AutosegError(
            f'{plans.dataset} has no configuration {", ".join(unknown)}. Planned were: {", ".join(plans.configurations)}.'
        )
    return list(configurations or plans.configurations)


def _planned(dataset: str, place: Workspace) -> DatasetFolder:
    """The planned dataset in the workspace. Raises AutosegError with the command that plans it."""
    found = next((folder for folder in place.planned_datasets() if folder.name == dataset), None)
    if found is not None:
        return found
    source = find_dataset(dataset, place)
    folder = place.dataset(load_dataset(source).name)
    if not folder.plans_json.exists():
        raise AutosegError(
            f"{folder.name} has not been planned in the workspace {place.root}. Run: autoseg_plan_and_preprocess {dataset}"
        )
    return folder


def _default_configuration(folder: DatasetFolder) -> str:
    planned = read_model(folder.plans_json, Plans).configurations
    return "3d_fullres" if "3d_fullres" in planned else next(iter(planned))


def _next_fold(model: ModelFolder, folds: int, fold: str) -> str | None:
    if fold == "all":
        return None
    finished = set(model.finished_folds())
    return next((str(number) for number in range(folds) if str(number) not in finished), None)
