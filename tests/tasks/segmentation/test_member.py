"""One model at work."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from autoseg.plan import Plans
from autoseg.tasks.segmentation.member import EnsembleMember, split_rows
from autoseg.tasks.segmentation.model import LoadedModel

CPU = torch.device("cpu")


def member_of(describe, name: str) -> EnsembleMember:
    description = describe(patch_size=(32, 32))
    configuration = description.configuration
    topology = configuration.network.model_copy(update={"name": name})
    plans: Plans = description.plans.model_copy(update={
        "configurations": {"tiny": configuration.model_copy(update={"network": topology})}})
    description = description.model_copy(update={"plans": plans})
    torch.manual_seed(0)
    return EnsembleMember(LoadedModel(description, [description.build().eval()], ("0",)), CPU, "float32")


def test_a_costlier_network_sees_fewer_slices_at_a_time(describe) -> None:
    assert member_of(describe, "unet").tiles_at_once(64) == 64
    assert member_of(describe, "unet3plus").tiles_at_once(64) == 49  # of two stages: 1.3 times a U-Net's values
    assert member_of(describe, "unet3plus").tiles_at_once(1) == 1


def test_rows_that_are_split_are_not_kept() -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def rows() -> Iterator[tuple[int, np.ndarray]]:
        for row in range(100):
            assert sum(known() is not None for known in alive) <= 2  # of one, zip's tuple holds the parts
            logits = np.full((6, 2, 2), row, np.float32) + np.arange(6, dtype=np.float32)[:, None, None] / 10
            alive.append(weakref.ref(logits))
            yield row, logits
            del logits

    parts = split_rows(rows(), classes=2, parts=3)
    seen = 0
    for row, (first, second, third) in enumerate(zip(*parts, strict=True)):
        assert first[0] == second[0] == third[0] == row
        assert [part[1][:, 0, 0].tolist() for part in (first, second, third)] == [
            pytest.approx([row + part / 5, row + part / 5 + 0.1], abs=1e-5) for part in range(3)]
        del first, second, third
        seen += 1
    assert seen == 100
    one, other = split_rows(iter([(0, np.zeros((2, 1, 1))), (1, np.zeros((2, 1, 1)))]), 1, 2)
    next(one), next(one)
    with pytest.raises(ValueError, match="not taken in lock-step"):
        next(other)


@pytest.mark.parametrize("name", ["unet", "unet3plus"])
def test_slices_are_predicted_alike_together_and_in_parts(describe, name: str) -> None:
    member, tile = member_of(describe, name), torch.randn(9, 1, 32, 32)
    with torch.inference_mode():
        whole = member.model.networks[0](tile)[0]
    assert torch.allclose(member._predict_tile(tile, member.model.networks, [member.mirroring.axes]), whole, atol=1e-5)
