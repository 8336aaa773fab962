"""Plans of a classifier of pictures or volumes, whose parts a test changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import Dataset, Labels
from autoseg.plan import Topology
from autoseg.tasks.classification.plan import ClassPlans, Target


@pytest.fixture
def class_plans() -> Callable[..., ClassPlans]:
    def make(view: str = "picture", **changes: Any) -> ClassPlans:
        axes = 3 if view == "volume" else 2
        return ClassPlans.model_validate({
            "dataset": "D", "versions": {}, "target": Target(kind="classes", name="class", classes=("no", "yes")), "view": view,
            "channel_names": ("gray",), "windows": (None,), "spacing_mm": None if view == "picture" else (2, 2, 2),
            "size": (1, 8, 8) if view == "picture" else (8, 8, 8), "batch_size": 2, "epochs": 1,
            "network": Topology(name="resunet", features=(2, 4), strides=((1,) * axes, (2,) * axes), norm="batch",
                                kernel_sizes=((3,) * axes,) * 2, convs_per_stage=(1, 1), decoder_convs_per_stage=(1,)),
            "source": Dataset(name="D", folder=Path(), layout="nnunet", channel_names=("gray",), file_ending=".png",
                              labels=Labels(values={"background": 0}), training=()), **changes})
    return make
