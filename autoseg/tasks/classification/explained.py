"""Explanations of a fold's validation: pictures of the most certain errors with their maps, and the cost of permuted inputs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from autoseg.evaluation.roc import auroc
from autoseg.explaining.attribution import has_captum, rank_correlation
from autoseg.explaining.maps import draw_maps
from autoseg.files import write_json
from autoseg.plan import Frozen
from autoseg.tasks.classification.explaining import GRAD_CAM, Explainer, columns_of, rows_of
from autoseg.tasks.classification.plan import UNKNOWN, Target
from autoseg.tasks.classification.probabilities import probabilities
from autoseg.tasks.classification.rows import ValidatedRow
from autoseg.tasks.classification.seer import Seer
from autoseg.tasks.classification.store import StoredView
from autoseg.workspace import FoldFolder

EXPLAINED = "explained.json"
PICTURES = "explained"  # folder beside it
MOST_PICTURES, MOST_COMPARED = 4, 8  # cases of a fold
PERMUTATIONS = 20
IMAGE = "image"


class Explained(Frozen):
    """Explanations of a fold's validation. auroc: mean over the classes, each against the rest, of the fold alone; None where one
    class is missing. permuted: the mean AUROC where one input, the image or a covariate, has the values of other cases.
    agreement: case to the rank correlation of its Grad-CAM with that of random weights; empty without captum."""

    remedy: ClassVar[str] = "Remove it: training or validation writes it again."

    cases: int
    auroc: float | None
    permuted: dict[str, float] = {}
    agreement: dict[str, float] = {}


def picture_of(fold: FoldFolder, case: str) -> Path:
    """Return the picture of a validation case."""
    return fold.validated(PICTURES) / f"{case}.png"


def explain_fold(
    seer: Seer, stored: Mapping[str, StoredView], covariates: Mapping[str, np.ndarray], target: Target, fold: FoldFolder,
    rows: list[ValidatedRow],
) -> None:
    """Write `explained.json` and pictures into a fold's validation. stored, covariates: of its cases, as the network takes them.
    target: with the cases' classes. rows: of the validation; cases of the least probable truth are shown."""
    shutil.rmtree(fold.validated(PICTURES), ignore_errors=True)
    ordered = sorted((true_probability(row, target), row.case) for row in rows)
    explainer = Explainer(seer) if has_captum() else None
    plans, agreement = seer.description.plans, dict[str, float]()
    for number, (_, case) in enumerate(ordered[:MOST_COMPARED if explainer else MOST_PICTURES]):
        seen = stored[case].read()
        maps = None if explainer is None else explainer.maps(seen, covariates[case], case, occluded=False)
        if maps is not None and (alike := rank_correlation(maps.grad_cam, maps.random)) is not None:
            agreement[case] = round(alike, 4)
        if number < MOST_PICTURES:
            of = "" if maps is None else f": evidence for {maps.of}"
            draw_maps(picture_of(fold, case), seen, {GRAD_CAM: {}} if maps is None else rows_of(maps.named),
                      f"{case}{of}", plans.spacing_mm or (1.0, 1.0, 1.0), plans.orientation)
    area, permuted = permuted_areas(seer, stored, covariates, target, [row.case for row in rows])
    write_json(fold.validated(EXPLAINED), Explained(cases=len(rows), auroc=area, permuted=permuted, agreement=agreement))


def true_probability(row: ValidatedRow, target: Target) -> float:
    """Return the probability of what is true at temperature 1; of several labels the lowest of them."""
    content = row.model_dump()
    found = probabilities(np.array([[content[f"logit_{index}"] for index in range(target.outputs)]]), target.kind)[0]
    if target.kind != "labels":
        return float(found[target.of_case[row.case][0]])
    return min(float(value if true == 1 else 1 - value)
               for value, true in zip(found, target.of_case[row.case], strict=True) if true != UNKNOWN)


def permuted_areas(
    seer: Seer, stored: Mapping[str, StoredView], covariates: Mapping[str, np.ndarray], target: Target, cases: list[str]
) -> tuple[float | None, dict[str, float]]:
    """Return the AUROC of cases, and what is left of it where the image or one of the covariates has the values of other cases
    (permutation importance, Breiman 2001), mean over 20 permutations; nothing is permuted where there are no covariates."""
    network, names = seer.classifier.networks[0], columns_of(seer.description.plans.covariates)
    given = np.stack([covariates[case] for case in cases])
    with torch.inference_mode():
        features = [torch.cat(parts) for parts in zip(*(
            network(seer.batch(stored[case].read(), covariates[case])[0]) for case in cases), strict=True)]
    truth, random = np.array([target.of_case[case] for case in cases]), np.random.default_rng(0)

    def area(order: np.ndarray, values: np.ndarray) -> float:
        with torch.inference_mode():
            logits = network.logits([of[order] for of in features], torch.from_numpy(values).to(seer.device))[0]
        return mean_area(target, probabilities(logits.double().cpu().numpy(), target.kind), truth)

    same = np.arange(len(cases))
    own = area(same, given)
    if not np.isfinite(own):
        return None, {}
    permuted = dict[str, float]()
    for name, columns in ({IMAGE: slice(0, 0)} | names if given.shape[1] else {}).items():
        found = []
        for _ in range(PERMUTATIONS):
            order, values = random.permutation(len(cases)), given.copy()
            values[:, columns] = given[order][:, columns]
            found.append(area(order if name == IMAGE else same, values))
        permuted[name] = round(float(np.mean(found)), 4)
    return round(own, 4), permuted


def mean_area(target: Target, found: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean AUROC of the classes against the rest, of two classes that of the second, of labels over those that are
    known; nan where none is known. found: (N, K). truth: (N, 1) or (N, L)."""
    areas = []
    for index in range(1 if target.is_binary else 0, len(target.classes)):
        is_true = truth[:, index] if target.kind == "labels" else (truth[:, 0] == index).astype(int)
        known = is_true != UNKNOWN
        if len(set(is_true[known].tolist())) == 2:
            areas.append(auroc(found[known, index], is_true[known] == 1))
    return float(np.mean(areas)) if areas else float("nan")
