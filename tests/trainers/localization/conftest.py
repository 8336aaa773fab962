"""What the tests of localization call by shorter names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autoseg.trainers.job import Job
from autoseg.trainers.localization import LocalizationSettings


@pytest.fixture
def settings_of(small_settings: dict[str, Callable[..., Any]]) -> Callable[..., LocalizationSettings]:
    return small_settings["localization"]


@pytest.fixture
def make_job(make_localization_job: Callable[..., Job[LocalizationSettings]]) -> Callable[..., Job[LocalizationSettings]]:
    return make_localization_job
