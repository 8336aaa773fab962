"""What the plan and the settings make together."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.plan import Configuration
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.topology.values import values_put_out
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.segmentation.configure import cost_note, effective_configuration, memory_planned


def planned(*patch: int, batch_size: int = 2) -> Configuration:
    """A U-Net for a patch of voxels of 1 mm."""
    axes = len(patch)
    return Configuration(
        spacing_mm=(1.0,) * axes, median_shape=patch, patch_size=patch, batch_size=batch_size, normalization=("zscore",),
        normalize_inside_mask=(False,), network=topology_of("unet", pool((1,) * axes, patch)))


def test_without_settings_it_is_the_plan() -> None:
    assert effective_configuration(planned(16, 16, 16), SegmentationSettings(), 2) == planned(16, 16, 16)


def test_a_patch_that_cannot_be_halved_is_refused_with_one_that_can() -> None:
    with pytest.raises(AutosegError, match=r"\(16, 15, 16\) \(z,y,x\) cannot be halved evenly .* is 16,16,16"):
        effective_configuration(planned(16, 16, 16), SegmentationSettings(patch_size=(16, 15, 16)), 2)
    for patch in ((16, 0, 16), (-16, -16, 16)):
        with pytest.raises(AutosegError, match="each axis needs a voxel at least"):
            effective_configuration(planned(16, 16, 16), SegmentationSettings(patch_size=patch), 2)
    for patch in ((4, 4, 4), (7, 7, 7)):
        with pytest.raises(AutosegError, match="is too small: two axes of 8 voxels, or one of 12"):
            effective_configuration(planned(16, 16, 16), SegmentationSettings(patch_size=patch), 2)
    with pytest.raises(AutosegError, match=r"has 3 entries, but the configuration 2 axes \(y,x\)"):
        effective_configuration(planned(16, 16), SegmentationSettings(patch_size=(16, 16, 16)), 2)


def test_a_patch_that_the_planned_network_halves_evenly_keeps_it() -> None:
    effective = effective_configuration(planned(16, 16, 16), SegmentationSettings(patch_size=(32, 64, 16)), 2)
    assert effective.patch_size == (32, 64, 16) and effective.network == planned(16, 16, 16).network


def test_the_depth_of_the_network_follows_a_patch_that_the_planned_one_does_not_fit() -> None:
    """192 = 6·2⁵ and 48 = 6·2³: the short axis is halved three times, the others five times."""
    settings = SegmentationSettings(patch_size=(192, 192, 48), base_features=30, norm="batch", deep_supervision=False)
    plan = planned(128, 128, 128)
    effective = effective_configuration(plan, settings, 3)
    assert effective.network.strides == ((1, 1, 1), *((2, 2, 2),) * 3, *((2, 2, 1),) * 2)
    assert effective.network.features == (30, 60, 120, 240, 320, 320)
    assert effective.network.norm == "batch" and not effective.network.deep_supervision
    assert values_put_out(effective.patch_size, effective.network, 3) == pytest.approx(
        192 * 192 * 48 / 128**3 * 30 / 32 * values_put_out(plan.patch_size, plan.network, 3), rel=0.02)


def test_a_network_that_costs_more_gets_fewer_patches_where_memory_is_short_and_says_so() -> None:
    plan = planned(16, 16, 16, batch_size=12)
    costly = effective_configuration(plan, SegmentationSettings(network="unet3plus"), 2)
    ratio = values_put_out((16, 16, 16), costly.network, 2) / values_put_out((16, 16, 16), plan.network, 2)
    assert costly.batch_size == int(12 / ratio) < 12
    assert f"so {costly.batch_size} patches make a batch instead of 12" in (cost_note(costly, plan, 2) or "")
    own = effective_configuration(plan, SegmentationSettings(network="unet3plus", batch_size=12), 2)
    assert own.batch_size == 12
    assert f"12 patches {ratio:.1f} times what was planned for. Where memory runs out" in (cost_note(own, plan, 2) or "")


def test_a_network_that_costs_more_keeps_its_patches_where_the_memory_is_there() -> None:
    """As where a batch was held small by the dataset's size, not by memory."""
    plan = planned(16, 16, 16, batch_size=4)
    values = values_put_out(plan.patch_size, plan.network, 2)
    plan = plan.model_copy(update={"memory_values": 40.0 * values})
    assert memory_planned(plan, 2) == 40 * values
    costly = effective_configuration(plan, SegmentationSettings(network="unet3plus"), 2)
    assert costly.batch_size == 4 and cost_note(costly, plan, 2) is None


def test_two_patches_are_taken_at_least_and_what_that_costs_is_told() -> None:
    plan = planned(16, 16, 16, batch_size=2)
    costly = effective_configuration(plan, SegmentationSettings(network="unet3plus"), 2)
    assert costly.batch_size == 2
    assert "a plan that makes room for it" in (cost_note(costly, plan, 2) or "")


def test_a_network_that_costs_less_keeps_the_planned_batch_and_says_nothing() -> None:
    plan = planned(16, 16, 16, batch_size=12)
    narrow = effective_configuration(plan, SegmentationSettings(base_features=2), 2)
    assert narrow.batch_size == 12 and cost_note(narrow, plan, 2) is None
    assert cost_note(plan, plan, 2) is None


def test_a_guided_network_is_a_unet3plus() -> None:
    with pytest.raises(AutosegError, match="classification_guided=true is for the network unet3plus, but this one is unet"):
        effective_configuration(planned(16, 16), SegmentationSettings(classification_guided=True), 2)
    guided = effective_configuration(planned(16, 16), SegmentationSettings(network="unet3plus", classification_guided=True), 2)
    assert guided.network.classification_guided
