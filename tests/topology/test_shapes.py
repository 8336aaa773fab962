"""What each kind of network makes of the same strides and kernels."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import SHAPES, reshaped, topology_of

POOLING = pool((1.0, 1.0, 1.0), (128, 128, 128))  # six stages


def test_each_network_has_the_convolutions_of_its_paper() -> None:
    unet, resunet, unet3plus = (topology_of(name, POOLING) for name in ("unet", "resunet", "unet3plus"))
    assert (unet.convs_per_stage, unet.convs_up) == ((2,) * 6, (2,) * 5)
    assert (resunet.convs_per_stage, resunet.convs_up) == ((1, 3, 4, 6, 6, 6), (1,) * 5)  # nnU-Net 2.8.1's ResEnc M
    assert (unet3plus.convs_per_stage, unet3plus.convs_up) == ((2,) * 6, (1,) * 5)
    assert unet.features == resunet.features == unet3plus.features == (32, 64, 128, 256, 320, 320)


@pytest.mark.parametrize("name", SHAPES)
def test_another_network_over_a_plan_is_the_one_that_would_have_been_planned(name: str) -> None:
    assert reshaped(topology_of("unet", POOLING), name, 16) == topology_of(name, POOLING, 16)


def test_a_width_alone_leaves_the_planned_convolutions_and_nothing_leaves_all() -> None:
    planned = topology_of("unet", POOLING).model_copy(update={"convs_per_stage": (1, 1, 2, 2, 3, 3), "norm": "batch"})
    assert reshaped(planned) == planned
    assert reshaped(planned, "unet", None, None) == planned
    narrow = reshaped(planned, base_features=80, norm="instance")
    assert (narrow.convs_per_stage, narrow.norm) == (planned.convs_per_stage, "instance")
    assert narrow.features == (80, 160, 320, 320, 320, 320)


def test_an_unknown_network_lists_those_that_there_are() -> None:
    for asked in (lambda: topology_of("vnet", POOLING), lambda: reshaped(topology_of("unet", POOLING), "vnet")):
        with pytest.raises(AutosegError, match='no network "vnet".*unet, resunet, unet3plus'):
            asked()
