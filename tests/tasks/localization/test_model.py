"""Locators in their folders."""

from __future__ import annotations

from typing import Any

import pytest

from autoseg.errors import AutosegError
from autoseg.tasks.localization.model import load_locator
from autoseg.tasks.segmentation.model import load_model


def test_locators_are_not_taken_for_other_models(place: Any) -> None:
    locator, segmenter, detector = place.add_locator(), place.add_segmentation(), place.add_detector()
    for load, folder, task, wanted in (
        (load_model, locator, "localization", "segmentation"), (load_locator, segmenter, "segmentation", "localization"),
        (load_locator, detector, "anomaly", "localization"),
    ):
        with pytest.raises(AutosegError, match=f'{folder.recipe} holds a model of the task "{task}", but one of the task '
                           rf'"{wanted}" is expected with -m\. autoseg_predict -m with this folder alone runs it as what it is'):
            load(folder)
