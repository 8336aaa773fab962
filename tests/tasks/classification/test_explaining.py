"""Maps of a classifier whose answer is the mean of the image, and of one that looks at a covariate alone: known by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.image import Geometry, Image
from autoseg.inference.checkpoints import Loaded
from autoseg.tasks.classification.explained import permuted_areas
from autoseg.tasks.classification.explaining import Explainer, covariate_changes, covariate_rows, evidence_of
from autoseg.tasks.classification.framing import frame_image
from autoseg.tasks.classification.model import ClassifierDescription
from autoseg.tasks.classification.network import ClassifierShape, build_classifier
from autoseg.tasks.classification.plan import ClassPlans, Covariate, Target
from autoseg.tasks.classification.seer import Seer

CPU = torch.device("cpu")


def seer_of(plans: ClassPlans, image: float = 1.0, age: float = 0.0) -> Seer:
    """A classifier: the log-odds of yes are `image` times the mean of what is seen, and `age` times the covariate."""
    shape = ClassifierShape(encoder=plans.network, channels=1, outputs=2, kind="classes", covariates=len(plans.covariates),
                            hidden=1, pooling="mean")
    network = build_classifier(shape)
    network.answer.encoder = nn.ModuleList([nn.Identity()])
    network.answer.mlp = nn.Identity() if plans.covariates else None
    network.answer.head = nn.Linear(1 + len(plans.covariates), 2)
    weights = [image, age][:1 + len(plans.covariates)]
    network.answer.head.weight.data = torch.tensor([[0.0] * len(weights), weights])
    network.answer.head.bias.data.zero_()
    description = ClassifierDescription(dataset="D", plans=plans, shape=shape, recipe="classifier", settings={}, versions={})
    return Seer(Loaded(description, [network.eval().requires_grad_(False)], ("0",)), CPU)


def test_maps_of_a_mean_are_the_image_and_lie_on_the_images_own_grid(class_plans: Callable[..., ClassPlans]) -> None:
    array = np.full((1, 16, 20, 24), 2.0, np.float32)
    array[0, 0, 0, 0] = 1  # so that most voxels become (2 - 1) / 8, the median, and the block 1
    array[0, 3:6, 12:15, 18:21] = 9
    image = Image(array[..., ::-1], Geometry((1.0, 1.0, 1.0), direction=(-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)))
    plans = class_plans("volume", orientation="LPS", spacing_mm=(1.0, 1.0, 1.0), size=(16, 20, 24), percentiles=(0.0, 100.0))
    framed = frame_image(image, "a", plans)
    found = Explainer(seer_of(plans)).maps(framed.array, np.zeros(0, np.float32), "a")
    assert found.of == "yes" and found.grad_cam == pytest.approx(framed.array[0] / array.size, abs=1e-7)
    back = framed.frame.back(found.grad_cam)
    assert back.shape == image.array.shape[1:] and (np.argwhere(back > back.max() / 2).mean(0) == (4, 13, 4)).all()
    # a window of 4 × 5 × 6 voxels that covers the whole block replaces its 27 ones by 1/8; a voxel has the mean of its windows
    assert found.occlusion is not None and 0.4 < found.occlusion.max() * array.size / (27 * 7 / 8) <= 1.001
    place = np.argwhere(found.occlusion == found.occlusion.max()).mean(0)
    assert (np.abs(place - (4, 13, 19)) <= (2, 3, 3)).all()
    assert found.occlusion[12:, :5, :6] == pytest.approx(0, abs=1e-6)


def test_pictures_and_slices_have_maps_of_the_planned_size(class_plans: Callable[..., ClassPlans]) -> None:
    seen = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
    found = Explainer(seer_of(class_plans())).maps(seen, np.zeros(0, np.float32), "a")
    assert found.grad_cam == pytest.approx(seen[0] / 64, abs=1e-7) and found.random.shape == (1, 8, 8)
    plans = class_plans("slices", size=(4, 8, 8))
    shape = ClassifierShape(encoder=plans.network, channels=1, outputs=2, kind="classes", slices=True)
    network = build_classifier(shape).eval().requires_grad_(False)
    description = ClassifierDescription(dataset="D", plans=plans, shape=shape, recipe="classifier", settings={}, versions={})
    seer = Seer(Loaded(description, [network], ("0",)), CPU)
    maps = Explainer(seer).maps(np.random.default_rng(0).random((1, 4, 8, 8)).astype(np.float32), np.zeros(0, np.float32), "a")
    assert {values.shape for values in maps.named.values()} == {(4, 8, 8)}


def test_a_covariate_counts_as_much_as_other_values_of_it_change(class_plans: Callable[..., ClassPlans]) -> None:
    covariates = tuple(Covariate(name=name, kind="number") for name in ("age", "weight"))
    plans = class_plans(covariates=covariates[:1])
    seen, own, others = np.zeros((1, 1, 8, 8), np.float32), np.zeros(1, np.float32), np.array([[0.0], [2.0]], np.float32)
    changes = covariate_changes(seer_of(plans, age=1.0), seen, own, others, covariates[:1])
    assert changes["age"] == pytest.approx((1 / (1 + np.exp(-2)) - 0.5) / 2, abs=1e-6)
    rows = covariate_rows("a", {"age": 0.1, "weight": 0.3}, ["50", ""])
    assert [(row.covariate, row.share, row.value) for row in rows] == [("weight", 0.75, ""), ("age", 0.25, "50")]


def test_permuting_what_is_not_looked_at_loses_nothing(class_plans: Callable[..., ClassPlans]) -> None:
    class Stored:
        def read(self) -> np.ndarray:
            return np.zeros((1, 1, 8, 8), np.float32)

    covariates = (Covariate(name="age", kind="number"),)
    target = Target(kind="classes", name="c", classes=("no", "yes"), of_case={f"c{n}": (n % 2,) for n in range(10)})
    plans = class_plans(covariates=covariates, target=target)
    stored: Any = {case: Stored() for case in target.of_case}
    given = {case: np.array([float(truth[0])], np.float32) for case, truth in target.of_case.items()}
    area, permuted = permuted_areas(seer_of(plans, age=1.0), stored, given, target, list(target.of_case))
    assert area == 1 and permuted["image"] == 1 and 0.3 < permuted["age"] < 0.7


def test_the_second_of_two_classes_is_explained_else_the_most_probable() -> None:
    two, three = (Target(kind="classes", name="c", classes=tuple("abc"[:count])) for count in (2, 3))
    assert evidence_of(two, np.array([0.9, 0.1])) == (1, "b") and evidence_of(three, np.array([0.2, 0.7, 0.1])) == (1, "b")
    ordered = Target(kind="ordered", name="c", classes=("low", "mid", "high"))
    assert evidence_of(ordered, np.array([0.2, 0.7, 0.1])) == (None, "a class nearer to high")
