"""Whole plans. Expected numbers marked "nnU-Net 2.8.1" are what its ExperimentPlanner gave for the same fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.plan import IntensityStatistics, Plans
from autoseg.planners.segmentation.planners import PLANNERS

Triple = tuple[float, float, float]


def _plan(
    spacings_mm: list[Triple], shapes: list[tuple[int, int, int]], classes: int = 2,
    channels: tuple[str, ...] = ("MRI",), share_kept: float = 1.0, memory_gb: float | None = None, planner: str = "default",
) -> Plans:
    names = [f"case_{number:03d}" for number in range(len(shapes))]
    statistics = IntensityStatistics(mean=0, std=1, median=0, percentile_00_5=-2, percentile_99_5=2)
    fingerprint = Fingerprint(
        dataset="Dataset001_Made", versions={}, channel_names=channels, orientations={}, foreground_components=None,
        foreground_intensities={str(channel): statistics for channel in range(len(channels))}, labels={},
        cases={
            name: CaseFingerprint(spacing_mm=spacing_mm, shape=shape, shape_after_crop=shape, share_kept=share_kept,
                                  orientation="LPS")
            for name, spacing_mm, shape in zip(names, spacings_mm, shapes, strict=True)
        },
    )
    dataset = Dataset(
        name="Dataset001_Made", folder=Path("made"), layout="nnunet", channel_names=channels, file_ending=".nii.gz",
        labels=Labels(values={f"label_{value}": value for value in range(classes)}),
        training=tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names),
    )
    return PLANNERS[planner](dataset, fingerprint, memory_gb)


def test_small_isotropic_volumes_get_a_patch_of_the_whole_image() -> None:
    plans = _plan([(1, 1, 1)] * 207, [(35, 50, 35)] * 207, classes=3)  # nnU-Net 2.8.1, 207 cases of Hippocampus
    assert set(plans.configurations) == {"2d", "3d_fullres"}
    fullres, slices = plans.configurations["3d_fullres"], plans.configurations["2d"]
    assert (fullres.patch_size, fullres.batch_size) == ((40, 56, 40), 7)
    assert fullres.network.features == (32, 64, 128, 256)
    assert fullres.network.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert (slices.patch_size, slices.batch_size) == ((56, 40), 283)
    assert (slices.batch_dice, fullres.batch_dice) == (True, False)
    assert slices.median_shape == (50, 35)


def test_coarse_slices_are_pooled_later_than_the_plane() -> None:
    plans = _plan(  # nnU-Net 2.8.1
        [(10, 1.5, 1.5), (5, 1.4, 1.4), (10, 1.6, 1.6), (10, 1.5, 1.5), (8, 1.5, 1.5)] * 20,
        [(9, 256, 216), (18, 232, 256), (10, 256, 256), (9, 224, 216), (10, 256, 232)] * 20, classes=4)
    fullres = plans.configurations["3d_fullres"]
    assert fullres.spacing_mm == (5, 1.5, 1.5)
    assert fullres.median_shape == (18, 256, 232)
    assert (fullres.patch_size, fullres.batch_size) == ((20, 256, 256), 3)
    assert fullres.network.strides == (
        (1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2))
    assert fullres.network.kernel_sizes == ((1, 3, 3),) + ((3, 3, 3),) * 6
    assert plans.configurations["2d"].batch_size == 49


def test_large_volumes_get_a_low_resolution_configuration() -> None:
    plans = _plan(  # nnU-Net 2.8.1
        [(3.0, 0.78, 0.78), (5.0, 0.8, 0.8), (1.0, 0.7, 0.7)] * 70,
        [(107, 512, 512), (60, 512, 512), (300, 512, 512)] * 70, classes=3, channels=("CT",))
    fullres, lowres = plans.configurations["3d_fullres"], plans.configurations["3d_lowres"]
    assert fullres.spacing_mm == (1, 0.78, 0.78)
    assert (fullres.patch_size, fullres.batch_size) == ((96, 160, 160), 2)
    assert lowres.spacing_mm == pytest.approx((2.03279, 1.58558, 1.58558), abs=1e-5)
    assert lowres.median_shape == (148, 252, 252)
    assert [plans.configurations[name].pools_batch for name in ("2d", "3d_fullres", "3d_lowres")] == [True, True, False]
    assert (lowres.patch_size, lowres.batch_size) == ((96, 160, 160), 2)
    assert lowres.network.strides == ((1, 1, 1),) + ((2, 2, 2),) * 4 + ((1, 2, 2),)
    assert lowres.normalization == ("ct",)
    assert "3%" in lowres.reasons["spacing_mm"]
    assert "covers 3% of the median shape" in fullres.reasons["3d_lowres"]
    cascade = plans.configurations["3d_cascade_fullres"]  # inherits all from 3d_fullres
    assert list(plans.configurations) == ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    assert cascade.previous_stage == "3d_lowres" and "sees what 3d_lowres" in cascade.reasons["previous_stage"]
    assert cascade.model_copy(update={"previous_stage": None, "reasons": fullres.reasons}) == fullres


def test_a_low_resolution_that_saves_too_little_is_dropped() -> None:
    plans = _plan([(1, 1, 1)] * 40, [(256, 224, 192)] * 40)
    assert "3d_lowres" not in plans.configurations
    assert "save less than half" in plans.configurations["3d_fullres"].reasons["3d_lowres"]


def test_sagittal_slices_come_first() -> None:
    plans = _plan([(0.6, 0.6, 4.0)] * 30, [(512, 448, 15)] * 30, classes=8)  # nnU-Net 2.8.1
    assert plans.transpose == (2, 0, 1)
    fullres = plans.configurations["3d_fullres"]
    assert fullres.spacing_mm == (4.0, 0.6, 0.6)
    assert (fullres.patch_size, fullres.batch_size) == ((12, 384, 384), 2)
    assert fullres.network.kernel_sizes == ((1, 3, 3),) * 2 + ((3, 3, 3),) * 5
    slices = plans.configurations["2d"]
    assert (slices.patch_size, slices.batch_size) == ((512, 448), 14)


@pytest.mark.parametrize("slice_mm", [999.0, 1.0, 0.5], ids=["as nnU-Net reads PNG", "equal", "thinner than pixels"])
def test_images_of_one_slice_get_2d_alone(slice_mm: float) -> None:
    plans = _plan([(slice_mm, 1, 1)] * 40, [(1, 512, 512)] * 40, channels=("rgb_to_0_1",) * 3)  # nnU-Net 2.8.1 at 999
    assert set(plans.configurations) == {"2d"}
    slices = plans.configurations["2d"]
    assert slices.spacing_mm == (1, 1)
    assert (slices.patch_size, slices.batch_size) == ((512, 512), 2)
    assert slices.network.features == (32, 64, 128, 256, 512, 512, 512, 512)
    assert slices.normalization == ("rgb", "rgb", "rgb")


def test_more_memory_gives_a_larger_patch() -> None:
    shapes = [(160, 192, 160)] * 100
    at_8_gb = _plan([(1, 1, 1)] * 100, shapes, classes=4).configurations["3d_fullres"]
    at_24_gb = _plan([(1, 1, 1)] * 100, shapes, classes=4, memory_gb=24).configurations["3d_fullres"]
    assert (at_24_gb.patch_size, at_24_gb.batch_size) == ((160, 192, 160), 3)  # nnU-Net 2.8.1
    assert at_8_gb.patch_size < at_24_gb.patch_size


def test_normalization_follows_the_channel_name_and_the_share_that_the_crop_keeps() -> None:
    names = ("ct", "NoNorm", "zscore", "rescale_to_0_1", "rgb_to_0_1", "FLAIR")
    cropped = _plan([(1, 1, 1)] * 2, [(64, 64, 64)] * 2, channels=names, share_kept=0.74).configurations["2d"]
    assert cropped.normalization == ("ct", "none", "zscore", "rescale_0_1", "rgb", "zscore")
    assert cropped.normalize_inside_mask == (False, False, True, False, False, True)
    whole = _plan([(1, 1, 1)] * 2, [(64, 64, 64)] * 2, channels=names, share_kept=0.75).configurations["2d"]
    assert not any(whole.normalize_inside_mask)
    assert "zscore, FLAIR: z-score of each case" in whole.reasons["normalization"]


def test_each_decision_has_a_reason() -> None:
    for configuration in _plan([(1, 1, 1)] * 9, [(512, 512, 512)] * 9).configurations.values():
        assert {"spacing_mm", "patch_size", "network", "batch_size", "normalization"} <= set(configuration.reasons)
        assert all(reason.endswith(".") for reason in configuration.reasons.values())


def test_slices_too_small_to_pool_leave_3d_alone_and_tiny_images_are_refused() -> None:
    assert set(_plan([(1, 1, 1)] * 5, [(40, 7, 7)] * 5).configurations) == {"3d_fullres"}
    with pytest.raises(AutosegError, match="too small for a network: their median shape is 7 × 7 × 7"):
        _plan([(1, 1, 1)] * 5, [(7, 7, 7)] * 5)


def test_nothing_to_plan_from_and_no_memory_are_refused() -> None:
    with pytest.raises(AutosegError, match="No training case is left"):
        _plan([], [])
    with pytest.raises(AutosegError, match="must be positive"):
        _plan([(1, 1, 1)], [(64, 64, 64)], memory_gb=0)


def test_plans_survive_the_disk() -> None:
    plans = _plan([(1, 1, 1)] * 3, [(64, 64, 64)] * 3)
    assert Plans.model_validate_json(plans.model_dump_json()) == plans
