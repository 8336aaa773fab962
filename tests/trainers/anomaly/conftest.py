"""What the tests of anomaly detection call by shorter names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autoseg.trainers.anomaly import AnomalySettings
from autoseg.trainers.job import Job


@pytest.fixture
def settings_of(small_settings: dict[str, Callable[..., Any]]) -> Callable[..., AnomalySettings]:
    return small_settings["anomaly"]


@pytest.fixture
def make_job(make_anomaly_job: Callable[..., Job[AnomalySettings]]) -> Callable[..., Job[AnomalySettings]]:
    return make_anomaly_job
