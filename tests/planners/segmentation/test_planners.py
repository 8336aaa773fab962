"""Every planner: one contract, and what nnU-Net's presets plan for the same fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.plan import IntensityStatistics, Plans
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.topology.values import values_put_out

HIPPOCAMPUS = ([(1, 1, 1)] * 207, [(35, 50, 35)] * 207)
HEART = (
    [(10, 1.5, 1.5), (5, 1.4, 1.4), (10, 1.6, 1.6), (10, 1.5, 1.5), (8, 1.5, 1.5)] * 20,
    [(9, 256, 216), (18, 232, 256), (10, 256, 256), (9, 224, 216), (10, 256, 232)] * 20,
)
ABDOMEN = (
    [(3.0, 0.78, 0.78), (5.0, 0.8, 0.8), (1.0, 0.7, 0.7)] * 70, [(107, 512, 512), (60, 512, 512), (300, 512, 512)] * 70)
Images = tuple[list[tuple[float, ...]], list[tuple[int, ...]]]


def plan(planner: str, images: Images, memory_gb: float | None = None, gpus: int | None = None) -> Plans:
    """Of images of one channel with three labels. images: spacings, mm, and shapes by case, (z, y, x)."""
    names = [f"case_{number:03d}" for number in range(len(images[0]))]
    statistics = IntensityStatistics(mean=0, std=1, median=0, percentile_00_5=-2, percentile_99_5=2)
    fingerprint = Fingerprint(
        dataset="Dataset001_Made", versions={}, channel_names=("MRI",), orientations={}, foreground_components=None,
        foreground_intensities={"0": statistics}, labels={},
        cases={
            name: CaseFingerprint(spacing_mm=spacing_mm, shape=shape, shape_after_crop=shape, share_kept=1, orientation="LPS")
            for name, spacing_mm, shape in zip(names, *images, strict=True)
        },
    )
    dataset = Dataset(
        name="Dataset001_Made", folder=Path("made"), layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz",
        labels=Labels(values={"background": 0, "one": 1, "two": 2}),
        training=tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names),
    )
    return PLANNERS[planner](dataset, fingerprint, memory_gb, gpus)


@pytest.mark.parametrize(("planner", "images", "expected"), [
    ("resenc_m", HIPPOCAMPUS, {"2d": ((56, 40), 1618), "3d_fullres": ((40, 56, 40), 58)}),
    ("resenc_l", HIPPOCAMPUS, {"2d": ((56, 40), 4554), "3d_fullres": ((40, 56, 40), 142)}),
    ("resenc_xl", HIPPOCAMPUS, {"2d": ((56, 40), 5660), "3d_fullres": ((40, 56, 40), 142)}),
    ("resenc_m", ABDOMEN, {"2d": ((512, 512), 12), "3d_fullres": ((96, 160, 160), 2), "3d_lowres": ((96, 160, 160), 2)}),
    ("resenc_l", ABDOMEN, {"2d": ((512, 512), 35), "3d_fullres": ((128, 256, 224), 2), "3d_lowres": ((128, 256, 224), 2)}),
    ("resenc_xl", ABDOMEN, {"2d": ((512, 512), 52), "3d_fullres": ((160, 320, 256), 2)}),
])
def test_residual_presets_plan_as_nnunets(
    planner: str, images: Images, expected: dict[str, tuple[tuple[int, ...], int]]
) -> None:
    """Expected: of nnU-Net 2.8.1's nnUNetPlannerResEncM, L and XL for the same fingerprint, each at its own memory."""
    plans = plan(planner, images)
    found = {name: (one.patch_size, one.batch_size) for name, one in plans.configurations.items()}
    cascade = {"3d_cascade_fullres": expected["3d_fullres"]} if "3d_lowres" in expected else {}
    assert found == expected | cascade
    assert plans.planner == planner
    for configuration in plans.configurations.values():
        network = configuration.network
        assert network.name == "resunet"
        assert network.convs_per_stage == (1, 3, 4, 6, 6, 6, 6, 6)[:network.stages]
        assert network.convs_up == (1,) * (network.stages - 1)


def test_a_residual_preset_leaves_room_for_twelve_slices_where_the_default_does_for_two() -> None:
    images: Images = ([(1, 0.5, 0.5)] * 40, [(1, 2048, 2048)] * 40)
    default, residual = (plan(name, images).configurations["2d"] for name in ("default", "resenc_m"))
    assert default.batch_size == 2
    assert residual.batch_size >= 12
    assert "until a batch of 2 fits into 8 GB" in default.reasons["patch_size"]
    assert "until a batch of 12 fits into 8 GB" in residual.reasons["patch_size"]


@pytest.mark.parametrize("images", [HIPPOCAMPUS, HEART, ABDOMEN], ids=["hippocampus", "heart", "abdomen"])
def test_a_unet3plus_gets_patches_that_cost_no_more_than_the_defaults(images: Images) -> None:
    for dimensions, name in ((2, "2d"), (3, "3d_fullres")):
        configuration = plan("unet3plus", images).configurations[name]
        values = values_put_out(configuration.patch_size, configuration.network, 3)
        budget = PLANNERS["default"].budget
        held = budget.values[dimensions] * {2: 12, 3: 2}[dimensions]
        assert configuration.network.name == "unet3plus"
        assert configuration.batch_size * values <= held * (1 + 0.5 / configuration.batch_size)  # batches are rounded


@pytest.mark.parametrize("name", sorted(PLANNERS))
def test_each_planner_plans_for_its_own_memory_or_the_given_one(name: str) -> None:
    own, given = plan(name, ABDOMEN), plan(name, ABDOMEN, PLANNERS[name].memory_gb)
    assert own == given
    assert own.planner == name
    small = plan(name, ABDOMEN, 4).configurations["3d_fullres"]
    assert small.patch_size < own.configurations["3d_fullres"].patch_size
    with pytest.raises(AutosegError, match="must be positive"):
        plan(name, ABDOMEN, 0)
    with pytest.raises(AutosegError, match="No patch fits into 1e-06 GB"):
        plan(name, ABDOMEN, 1e-6)


@pytest.mark.parametrize("name", sorted(PLANNERS))
def test_reasons_say_what_the_planner_does(name: str) -> None:
    planner = PLANNERS[name]
    reasons = plan(name, ABDOMEN).configurations["3d_fullres"].reasons
    words = {"unet": "Features start at 32", "resunet": "1, 3, 4, 6, 6, 6", "unet3plus": "32 channels from each of the"}
    assert words[planner.budget.network] in reasons["network"]
    assert f"{planner.memory_gb:g} GB" in reasons["batch_size"]
    assert ("hold 5% of" in reasons["batch_size"]) == (planner.budget.share_of_dataset < 1)
    assert ("hold all of" in reasons["batch_size"]) == (planner.budget.share_of_dataset == 1)


@pytest.mark.parametrize("name", ["default", "resenc_m"])
def test_several_gpus_of_one_training_hold_a_batch_together(name: str) -> None:
    one, four = (plan(name, ABDOMEN, gpus=gpus).configurations["3d_fullres"] for gpus in (None, 4))
    assert four.patch_size == one.patch_size and four.batch_size == 4 * one.batch_size
    assert "on each of 4 GPUs, together" in four.reasons["batch_size"]
    assert plan(name, ABDOMEN, gpus=1) == plan(name, ABDOMEN)
    few = ([(1.0, 1.0, 1.0)] * 3, [(64, 64, 64)] * 3)
    own, three = (plan(name, few, gpus=gpus).configurations["2d"].batch_size for gpus in (None, 3))
    assert three % 3 == 0 and three >= 3 and (name != "default" or own - 3 < three <= max(own, 3))  # 5 % of the dataset at most
