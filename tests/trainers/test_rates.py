"""How the learning rate falls."""

from __future__ import annotations

import pytest

from autoseg.trainers.rates import Plateau, Polynomial
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.settings import PlateauSettings

QUICK = SegmentationSettings(learning_rate=3e-4, plateau=PlateauSettings(patience=3, smoothing=0.5, floor=1e-5))


def test_the_polynomial_falls_from_the_first_rate_to_zero() -> None:
    rate = Polynomial(SegmentationSettings(learning_rate=0.01))
    assert [rate.at(progress) for progress in (0, 0.5, 1)] == pytest.approx([0.01, 0.01 * 0.5**0.9, 0])
    assert not rate.is_exhausted


def test_the_rate_is_a_fifth_after_three_epochs_without_improvement() -> None:
    rate = Plateau(QUICK)
    rates = []
    for loss in (1.0, 0.5, 0.75, 0.75, 0.75, 0.75):  # smoothed: 1, 0.75, 0.75, 0.75, 0.75, 0.75: the second is the best
        rate.end_epoch(loss)
        rates.append(rate.at(0.5))
    assert rates == pytest.approx([3e-4, 3e-4, 3e-4, 3e-4, 6e-5, 6e-5])


def test_a_rise_of_a_single_epoch_that_the_average_swallows_is_none() -> None:
    rate = Plateau(QUICK)
    for loss in (1.0, 0.2, 0.5, 0.2, 0.2, 0.2):  # smoothed: 1, 0.6, 0.55, 0.375, 0.2875, 0.24375
        rate.end_epoch(loss)
    assert rate.at(1) == pytest.approx(3e-4) and rate.waited == 0


def test_training_is_over_when_the_rate_has_fallen_below_its_floor() -> None:
    rate, epochs = Plateau(QUICK), 0
    while not rate.is_exhausted:
        rate.end_epoch(1.0)
        epochs += 1
    assert epochs == 1 + 3 * 3  # 3e-4 -> 6e-5 -> 1.2e-5 -> 2.4e-6
    assert rate.at(0) == pytest.approx(2.4e-6)


def test_a_plateau_goes_on_from_its_state() -> None:
    losses = [1.0, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 0.5]
    unbroken, first = Plateau(QUICK), Plateau(QUICK)
    for loss in losses[:4]:
        first.end_epoch(loss)
    second = Plateau(QUICK)
    second.load_state_dict(first.state_dict())
    for loss in losses[4:]:
        second.end_epoch(loss)
    for loss in losses:
        unbroken.end_epoch(loss)
    assert second.state_dict() == unbroken.state_dict()
    fresh = Plateau(QUICK)
    fresh.load_state_dict(Plateau(QUICK).state_dict())
    assert fresh.smoothed is None
