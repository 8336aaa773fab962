"""One model at work."""

from __future__ import annotations

import pytest
import torch

from autoseg.plan import Plans
from autoseg.tasks.segmentation.member import EnsembleMember
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


@pytest.mark.parametrize("name", ["unet", "unet3plus"])
def test_slices_are_predicted_alike_together_and_in_parts(describe, name: str) -> None:
    member, tile = member_of(describe, name), torch.randn(9, 1, 32, 32)
    with torch.inference_mode():
        whole = member.model.networks[0](tile)[0]
    assert torch.allclose(member._predict_tile(tile, member.model.networks, [member.mirroring.axes]), whole, atol=1e-5)
