"""predict_anomalies: how unlike the normal images that a detector was trained on each image is, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg import console
from autoseg.api.common import OneOrSeveral, PathLike, model_folders, name_in, several
from autoseg.errors import many
from autoseg.kinds import ANOMALY
from autoseg.workspace import Workspace

if TYPE_CHECKING:
    from autoseg.inference.kind_choice import ChosenModel
    from autoseg.tasks.anomaly.detector import AnomalyDetector
    from autoseg.tasks.anomaly.scores import CaseScore


@dataclass(frozen=True)
class AnomalyResult:
    """written: maps by case (those that were already there included). scores: of these cases, the highest first. failed: reasons
    by case."""

    written: dict[str, Path]
    scores: list[CaseScore]
    failed: dict[str, str]
    already_there: int


def predict_anomalies(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, model: OneOrSeveral = None, recipe: OneOrSeveral = None,
    folds: Sequence[int | str] | None = None, settings: Sequence[str] = (), overwrite: bool = False, device: str = "auto",
    workspace: PathLike | None = None, quiet: bool = False,
) -> AnomalyResult:
    """Score an image or a folder of images: an anomaly map of each in its own grid, `scores.csv`, `slice_scores.csv`, and
    `panels/` that show the slices of the highest scores beside the closest normal ones.

    The detector is that in the folder `model`, the one that dataset and recipe (or its name) leave, or the only one in the
    workspace. settings: "key=value" texts that change how it searches; see `autoseg.tasks.anomaly.settings`. A case that
    fails stops no other; what an earlier run of the same detector and settings finished stays as it is.
    """
    from autoseg.inference.inputs import list_inputs
    from autoseg.inference.kind_choice import choose_model
    from autoseg.tasks.anomaly.outputs import score_files

    place = Workspace.at(workspace)
    chosen = choose_model(ANOMALY, place, name_in(dataset, place), model_folders(model), [*map(str, several(recipe))])
    detector = _detector(chosen, folds, settings, device, quiet)
    plans = detector.description.plans
    inputs = list_inputs(Path(input), detector.description, one_file_each=plans.source.layout == "folders")
    written, scores, failed, there = {}, [], {}, 0
    with console.progress(f"Scoring {many(len(inputs), 'image')}", quiet) as report:
        done = 0

        def progress(case: str, share: float) -> None:
            report((done + share) / len(inputs), f"case {case}")

        for outcome in score_files(detector, inputs, Path(output), overwrite, progress):
            done += 1
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
                continue
            written[outcome.item.name] = outcome.value.path
            scores.append(outcome.value.score)
            there += outcome.value.was_there
    scores.sort(key=lambda score: -score.score)
    if scores and not quiet:
        _show(scores)
    return AnomalyResult(written, scores, failed, there)


def _show(scores: list[CaseScore]) -> None:
    from autoseg.tasks.anomaly.tables import case_scores_table

    console.show(case_scores_table(scores))


def _detector(
    chosen: ChosenModel, folds: Sequence[int | str] | None, settings: Sequence[str], device: str, quiet: bool
) -> AnomalyDetector:
    from autoseg.device import resolve_device
    from autoseg.tasks.anomaly.detector import AnomalyDetector
    from autoseg.tasks.anomaly.model import load_detector
    from autoseg.trainers.settings import parse_settings

    target = resolve_device(device)
    loaded = load_detector(chosen.folder, None if folds is None else [str(fold) for fold in folds], target)
    detector = AnomalyDetector(loaded, target, parse_settings(list(settings), loaded.description.search))
    if not quiet:
        console.show(_in_words(chosen, detector))
    return detector


def _in_words(chosen: ChosenModel, detector: AnomalyDetector) -> str:
    """Which detector and folds run, why these, and how it searches."""
    description, search = detector.description, detector.search
    starts = "the encoder's proposal" if description.has_encoder and search.start != "random" else "random proposals"
    folds = " ".join(detector.detector.folds)
    return "\n".join([
        f"Detector, on {detector.device}: {description.dataset}, {description.called}, fold {folds} ({chosen.folder.root})",
        f"Why: {chosen.why}",
        f"Search: {search.search_steps} updates at most, {many(search.restarts, 'start')}, from {starts}; lambda "
        f"{search.lambda_:g}"])
