"""Probabilities of each kind of target, and the temperature that makes them honest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from autoseg.tasks.classification.network import OrderedHead
from autoseg.tasks.classification.probabilities import fitted_temperature, log_loss, probabilities


def test_probabilities_by_hand() -> None:
    assert probabilities(np.log([[1.0, 3.0]]), "classes") == pytest.approx(np.array([[0.25, 0.75]]))
    assert probabilities(np.log([[1.0, 9.0]]), "classes", 2.0) == pytest.approx(np.array([[0.25, 0.75]]))
    assert probabilities(np.array([[0.0, logit(0.9)]]), "labels") == pytest.approx(np.array([[0.5, 0.9]]))
    above = logit([[0.9, 0.3]])  # above low: 0.9, above middle: 0.3
    assert probabilities(above, "ordered") == pytest.approx(np.array([[0.1, 0.6, 0.3]]))


def test_classes_in_an_order_never_have_a_negative_probability() -> None:
    torch.manual_seed(0)
    head = OrderedHead(4, 5)
    with torch.no_grad():
        head.steps.normal_()
        logits = head(torch.randn(50, 4)).numpy()
    assert (np.diff(logits, axis=1) < 0).all()
    found = probabilities(logits, "ordered")
    assert found.shape == (50, 6) and (found > 0).all() and found.sum(1) == pytest.approx(np.ones(50))


def test_log_loss_counts_known_labels_alone() -> None:
    assert log_loss(np.array([[0.2, 0.8]]), np.array([[1]]), "classes") == pytest.approx(-np.log(0.8))
    assert log_loss(np.array([[0.2, 0.8]]), np.array([[0, -1]]), "labels") == pytest.approx(-np.log(0.8))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_temperature_takes_back_what_logits_were_multiplied_by(factor: float) -> None:
    honest = np.random.default_rng(0).normal(size=20_000)
    truth = (np.random.default_rng(1).random(20_000) < expit(honest)).astype(int)[:, None]
    assert fitted_temperature(factor * honest[:, None], truth, "labels") == pytest.approx(factor, rel=0.05)
    assert fitted_temperature(factor * np.stack([np.zeros_like(honest), honest], 1), truth, "classes") == pytest.approx(
        factor, rel=0.05)


def test_without_cases_nothing_is_fitted() -> None:
    assert fitted_temperature(np.zeros((0, 2)), np.zeros((0, 1), int), "classes") == 1.0
