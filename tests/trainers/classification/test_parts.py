"""Losses, frequencies, the baselines' regression and batches, against values worked out by hand or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn import functional

from autoseg.tasks.classification.plan import Target
from autoseg.trainers.classification.batches import ClassBatches, InMemory
from autoseg.trainers.classification.fold import train_classifier
from autoseg.trainers.classification.losses import class_weights, label_weights, loss_of, prior_offset
from autoseg.trainers.classification.regression import fit
from autoseg.trainers.classification.settings import ClassificationSettings

ONE, CPU = torch.ones(2), torch.device("cpu")


def test_losses_by_hand() -> None:
    logits, target = torch.log(torch.tensor([[0.2, 0.8], [0.6, 0.4]])), torch.tensor([[1], [1]])
    plain = -(np.log(0.8) + np.log(0.4)) / 2
    assert loss_of(logits, target, "classes", "cross_entropy", ONE, 2).item() == pytest.approx(plain, rel=1e-5)
    focal = -(0.2**2 * np.log(0.8) + 0.6**2 * np.log(0.4)) / 2
    assert loss_of(logits, target, "classes", "focal", ONE, 2).item() == pytest.approx(focal, rel=1e-5)
    mixed, weights = torch.tensor([[1], [0]]), torch.tensor([1.0, 3.0])
    weighted = functional.cross_entropy(logits, mixed[:, 0], weight=weights)
    assert loss_of(logits, mixed, "classes", "weighted", weights, 2).item() == pytest.approx(weighted.item(), rel=1e-5)
    labels = torch.tensor([[1, -1], [0, 0]])
    known = functional.binary_cross_entropy_with_logits(torch.tensor([0.5, 0.3, 0.7]), torch.tensor([1.0, 0, 0]))
    assert loss_of(torch.tensor([[0.5, 9.0], [0.3, 0.7]]), labels, "labels", "cross_entropy", ONE, 2).item() == pytest.approx(
        known.item())


def test_weights_and_balanced_draws_are_taken_back_by_the_true_frequencies() -> None:
    counts = [95, 5]
    weights = class_weights(counts)
    assert weights.tolist() == pytest.approx([100 / 190, 100 / 10])
    for loss, balanced in (("weighted", False), ("cross_entropy", True)):
        offset = prior_offset(counts, "classes", loss, weights, balanced)  # type: ignore[arg-type]
        assert (offset[1] - offset[0]).item() == pytest.approx(np.log(5 / 95), rel=1e-5)
    assert prior_offset(counts, "classes", "cross_entropy", weights, False).tolist() == pytest.approx([0, 0], abs=1e-6)
    yes = label_weights([5], [100])
    assert yes.tolist() == [19] and prior_offset([5], "labels", "weighted", yes, False).item() == pytest.approx(-np.log(19))


def test_the_regression_has_the_least_penalized_loss() -> None:
    random = np.random.default_rng(0)
    features, truth = random.normal(size=(30, 2)), random.integers(0, 2, (30, 1))
    target = Target(kind="classes", name="c", classes=("a", "b"))

    def loss(weights: np.ndarray) -> float:  # two rows of one difference each: half of the penalty of a single one
        margin = features @ weights[:2] + weights[2]
        return float(np.logaddexp(0, np.where(truth[:, 0] == 1, -margin, margin)).sum() + (weights[:2] ** 2).sum() / 4)

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
    expected = 1 / (1 + np.exp(-(features @ best[:2] + best[2])))
    assert fit(features, truth, target).probabilities(features)[:, 1] == pytest.approx(expected, abs=1e-4)


def test_a_regression_on_nothing_gives_the_frequencies() -> None:
    target = Target(kind="classes", name="c", classes=("a", "b", "c"))
    found = fit(np.zeros((10, 0)), np.array([[0]] * 5 + [[1]] * 3 + [[2]] * 2), target).probabilities(np.zeros((1, 0)))
    assert found[0] == pytest.approx([0.5, 0.3, 0.2], abs=1e-4)
    labels = Target(kind="labels", name="x, y", classes=("x", "y"))
    truth = np.array([[1, -1], [0, 1], [0, 0], [0, -1]])
    assert fit(np.zeros((4, 0)), truth, labels).probabilities(np.zeros((1, 0)))[0] == pytest.approx([0.25, 0.5], abs=1e-4)


def cases(count: int, rare: int) -> list[InMemory]:
    return [InMemory(torch.full((1, 8, 8), number / count), torch.zeros(0), torch.tensor([int(number < rare)]))
            for number in range(count)]


def test_balanced_batches_show_each_class_equally_often(class_plans: Callable[..., Any]) -> None:
    settings = ClassificationSettings(augmentation="none")
    for balanced, low, high in ((True, 0.45, 0.55), (False, 0.03, 0.08)):
        batches = ClassBatches(cases(40, 2), class_plans(), 8, settings, CPU, balanced=balanced)
        share = torch.cat([batch.target for batch in batches.batches(0, 200)]).float().mean().item()
        assert low < share < high
    whole = ClassBatches(cases(5, 2), class_plans(), 5, settings, CPU, is_augmented=False)
    (batch,) = whole.batches(0, 1)
    assert batch.image[:, 0, 0, 0].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_batches_depend_on_their_number_alone_and_are_changed_at_random(class_plans: Callable[..., Any]) -> None:
    random = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    its = ClassBatches([InMemory(random, torch.zeros(0), torch.tensor([0]))], class_plans(), 6, ClassificationSettings(), CPU)
    first, again, other = its.make(3), its.make(3), its.make(4)
    assert torch.equal(first["image"], again["image"]) and not torch.equal(first["image"], other["image"])
    assert first["image"].shape == (6, 1, 8, 8) and len({one.sum().item() for one in first["image"]}) > 1


def test_a_training_learns_and_its_weights_hold_the_frequencies(make_classification_job: Callable[..., Any]) -> None:
    from autoseg.inference.checkpoints import read_weights
    from autoseg.trainers.classification import load_data

    job = make_classification_job(sampling="balanced")
    data = load_data(job)
    train_classifier(job, data, job.settings, CPU, lambda share, text="": None)
    weights = read_weights(job.fold_folder.checkpoint_final)
    counts = [sum(data.plans.target.of_case[name][0] == number for name in data.training) for number in (0, 1)]
    offset = weights["network.offset"]
    assert (offset[1] - offset[0]).item() == pytest.approx(np.log(counts[1] / counts[0]), abs=1e-5)
