"""Plans that follow a trained model: axes of another order, slices, channels by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.fingerprint import CaseFingerprint, Fingerprint
from autoseg.plan import IntensityStatistics, Plans
from autoseg.planners.segmentation.following import following, in_order_of
from autoseg.planners.segmentation.planners import PLANNERS
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.tasks.segmentation.pretrained import Pretrained
from autoseg.workspace import ModelFolder

STATISTICS = {str(channel): IntensityStatistics(mean=channel, std=1, median=0, percentile_00_5=-2, percentile_99_5=2)
              for channel in range(3)}


def case(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], orientation: str | None) -> CaseFingerprint:
    return CaseFingerprint(spacing_mm=spacing_mm, shape=shape, shape_after_crop=shape, share_kept=1, orientation=orientation)


def planned(cases: list[CaseFingerprint], orientation: str | None, channels: tuple[str, ...]) -> tuple[Plans, Fingerprint]:
    """The dataset's own plans, and the fingerprint with axes in this order."""
    names = [f"case_{number}" for number in range(len(cases))]
    fingerprint = Fingerprint(
        dataset="Dataset001_Made", versions={}, channel_names=channels, orientation=orientation,
        orientations={str(its.orientation): 1 for its in cases}, foreground_components=None, foreground_intensities=STATISTICS,
        labels={}, cases={name: its.in_order(orientation) for name, its in zip(names, cases, strict=True)})
    dataset = Dataset(
        name="Dataset001_Made", folder=Path("made"), layout="nnunet", channel_names=channels, file_ending=".nii.gz",
        labels=Labels(values={"background": 0, "one": 1}),
        training=tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names))
    return PLANNERS["default"](dataset, fingerprint), fingerprint


def model_with(
    description: ModelDescription, configuration: str = "3d_fullres", channels: tuple[str, ...] | None = None, **plans: object
) -> Pretrained:
    """The description's model under another configuration's name, with other plans."""
    its = description.configuration.model_copy(update={"normalization": ("ct", "none")[:len(description.channel_names)]})
    content = description.plans.model_copy(update={"configurations": {configuration: its}, **plans})
    return Pretrained("/models", ModelFolder(Path("/models") / configuration / "default"), description.model_copy(update={
        "configuration_name": configuration, "plans": content, "channel_names": channels or description.channel_names}))


def test_shapes_are_measured_along_the_models_axes(describe: Callable[..., ModelDescription]) -> None:
    """Files are stored with axes z, y, x as R-L, S-I, A-P; the model brings images to LPS and takes y first."""
    cases = [case((20, 30, 40), (4, 1, 2), "PSL")] * 3
    plans, fingerprint = planned(cases, "PSL", ("CT",))
    model = model_with(describe(1, 2, transpose=(1, 0, 2), spacing_mm=(2, 2, 2)), orientation="LPS", transpose=(1, 0, 2))
    seen = in_order_of(model, fingerprint, [(name, cases[0]) for name in fingerprint.cases])
    assert next(iter(seen.cases.values())).shape == (30, 40, 20), "(S-I, P-A, L-R)"
    found = following(plans, model, seen)
    assert (found.orientation, found.transpose) == ("LPS", (1, 0, 2))
    its = found.configurations["3d_fullres"]
    assert its.median_shape == (40, 15, 40), "A-P 40 of 2 mm, S-I 30 of 1 mm, L-R 20 of 4 mm; all of 2 mm"
    assert (its.spacing_mm, its.patch_size) == ((2, 2, 2), (8, 8, 8))


def test_a_model_without_orientation_sees_images_as_they_are_stored(describe: Callable[..., ModelDescription]) -> None:
    cases = [case((20, 30, 40), (1, 1, 1), "LPS"), case((40, 30, 20), (1, 1, 1), "SPL")]
    plans, fingerprint = planned(cases, "LPS", ("CT",))
    model = model_with(describe(1, 2))
    measured = list(zip(fingerprint.cases, cases, strict=True))
    seen = in_order_of(model, fingerprint, measured)
    assert [its.shape for its in seen.cases.values()] == [(20, 30, 40), (40, 30, 20)]
    assert following(plans, model, seen).orientation is None


def test_slices_keep_their_distance(describe: Callable[..., ModelDescription]) -> None:
    cases = [case((9, 32, 48), (5, 1, 1), "LPS")] * 2
    plans, fingerprint = planned(cases, "LPS", ("CT",))
    found = following(plans, model_with(describe(1, 2, patch_size=(16, 16), spacing_mm=(2, 2)), "2d"), fingerprint)
    assert list(found.configurations) == ["2d"]
    assert found.configurations["2d"].median_shape == (16, 24)


def test_channels_have_the_models_normalization_or_the_planners(describe: Callable[..., ModelDescription]) -> None:
    """The model: T2 as CT, PD not at all. The dataset: PD, a new one, T2."""
    plans, fingerprint = planned([case((20, 30, 40), (1, 1, 1), "LPS")] * 2, "LPS", ("PD", "ADC", "T2"))
    own = IntensityStatistics(mean=7, std=7, median=7, percentile_00_5=7, percentile_99_5=7)
    found = following(plans, model_with(
        describe(2, 2), channels=("T2", "PD"), foreground_intensities={"0": own, "1": own}), fingerprint)
    its = found.configurations["3d_fullres"]
    assert its.normalization == ("none", "zscore", "ct")
    assert [found.foreground_intensities[str(channel)].mean for channel in range(3)] == [7, 1, 7]
    assert "It does not have ADC, normalized by the planner's rule: " in its.reasons["normalization"]


def test_flat_images_cannot_follow_a_model_of_volumes(describe: Callable[..., ModelDescription]) -> None:
    plans, fingerprint = planned([case((1, 64, 64), (1, 1, 1), "LPS")] * 2, "LPS", ("CT",))
    with pytest.raises(AutosegError, match=r"sees volumes \(3d_fullres\), but the images of Dataset001_Made are too flat"):
        following(plans, model_with(describe(1, 2)), fingerprint)
