"""The setting `mirror`: which axes are flipped, and whether left and right change places."""

from __future__ import annotations

import pytest

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.plan import Configuration, Sides
from autoseg.settings import read_assignments
from autoseg.sides import Mirroring
from autoseg.topology.pooling import pool
from autoseg.topology.shapes import topology_of
from autoseg.trainers.segmentation import SegmentationSettings
from autoseg.trainers.segmentation.configure import augmentation_for, mirroring_of
from autoseg.trainers.settings import chosen_settings, flags_of

PAIRS = (("kidney_left", "kidney_right"),)
LABELS = Labels(values={"background": 0, "kidney_left": 3, "kidney_right": 1})
SIDES = Sides(axis=2, pairs=PAIRS, reason="because")


def planned(*patch: int) -> Configuration:
    axes = len(patch)
    return Configuration(
        spacing_mm=(1.0,) * axes, median_shape=patch, patch_size=patch, batch_size=2, normalization=("zscore",),
        normalize_inside_mask=(False,), network=topology_of("unet", pool((1,) * axes, patch)))


def settings_of(*texts: str) -> SegmentationSettings:
    return chosen_settings(read_assignments(texts), SegmentationSettings())


@pytest.mark.parametrize(("text", "expected"), [
    ("mirror=auto", Mirroring((0, 1, 2), (2,), PAIRS)), ("mirror=no_swap", Mirroring((0, 1, 2))),
    ("mirror=no_left_right", Mirroring((0, 1))), ("mirror=none", Mirroring()), ("mirror=", Mirroring()),
    ("mirror=2,0", Mirroring((0, 2), (2,), PAIRS)), ("mirror=0,1", Mirroring((0, 1))), ("augmentation=none", Mirroring()),
    ("augmentation=elastic", Mirroring((0, 1, 2), (2,), PAIRS))])
def test_every_choice_in_3d(text: str, expected: Mirroring) -> None:
    assert mirroring_of(planned(16, 16, 16), settings_of(text), LABELS, SIDES) == expected


def test_in_2d_the_axes_are_those_of_slices() -> None:
    flat = planned(16, 16)
    assert mirroring_of(flat, settings_of(), LABELS, SIDES) == Mirroring((0, 1), (0, 1), PAIRS)
    assert mirroring_of(flat, settings_of("mirror=1"), LABELS, SIDES) == Mirroring((1,), (1,), PAIRS)
    assert mirroring_of(flat, settings_of("mirror=0"), LABELS, SIDES) == Mirroring((0,))
    assert mirroring_of(planned(16, 40), settings_of(), LABELS, SIDES) == Mirroring((0, 1), (1,), PAIRS)  # not turned round
    assert mirroring_of(flat, settings_of("mirror=no_left_right"), LABELS, SIDES) == Mirroring((0,))
    sagittal = Sides(axis=0, pairs=PAIRS)  # from slice to slice: no flip of a slice moves anything from left to right
    assert mirroring_of(flat, settings_of(), LABELS, sagittal) == Mirroring((0, 1))
    assert mirroring_of(flat, settings_of("mirror=no_left_right"), LABELS, sagittal) == Mirroring((0, 1))


def test_flat_patches_are_turned_round_within_their_slices() -> None:
    """From left to right within slices: a flip of either of their axes. From slice to slice: that flip alone."""
    flat = planned(8, 32, 32)
    assert mirroring_of(flat, settings_of(), LABELS, SIDES) == Mirroring((0, 1, 2), (1, 2), PAIRS)
    assert mirroring_of(flat, settings_of(), LABELS, Sides(axis=0, pairs=PAIRS)) == Mirroring((0, 1, 2), (0,), PAIRS)


@pytest.mark.parametrize("sides", [None, Sides(axis=None, reason="1 case does not say it."), Sides(axis=2)])
def test_where_nothing_is_paired_all_axes_are_mirrored_as_ever(sides: Sides | None) -> None:
    assert mirroring_of(planned(16, 16, 16), settings_of(), LABELS, sides) == Mirroring((0, 1, 2))


def test_what_cannot_be_done_is_refused() -> None:
    unknown = Sides(axis=None, reason="1 case does not say it.")
    with pytest.raises(AutosegError, match=r"mirror=no_left_right: .* 1 case does not say it\. .*--set mirror=0,1"):
        mirroring_of(planned(16, 16, 16), settings_of("mirror=no_left_right"), LABELS, unknown)
    with pytest.raises(AutosegError, match="mirror=0,2: the patch has the axes 0,1"):
        mirroring_of(planned(16, 16), settings_of("mirror=0,2"), LABELS, SIDES)
    for text in ("mirror=left", "mirror=0,3", "mirror=0 1"):
        with pytest.raises(AutosegError, match="takes auto, no_swap, no_left_right, none, or axes of the patch, such as 0,1"):
            settings_of(text)


@pytest.mark.parametrize(("pairs", "said"), [
    ([("kidney_left", "kidney_rihgt")], "there is no label kidney_rihgt"),
    ([("kidney_left", "kidney_right"), ("kidney_right", "kidney_left")], "kidney_left, kidney_right is named twice")])
def test_pairs_that_a_user_wrote_into_the_plans_are_checked(pairs: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(AutosegError, match=f"{said}. Correct the pairs under sides in plans.json"):
        mirroring_of(planned(16, 16, 16), settings_of(), LABELS, Sides(axis=2, pairs=tuple(pairs)))


def test_the_setting_is_written_as_it_was_typed() -> None:
    defaults = SegmentationSettings()
    for text in ("mirror=no_swap", "mirror=0,2", "mirror=none"):
        its = settings_of(text)
        assert flags_of(its, defaults) == ("--set", text)
        assert SegmentationSettings.model_validate(its.model_dump(mode="json")) == its


def test_augmentation_swaps_the_values_of_the_labels() -> None:
    augmentation = augmentation_for(planned(16, 16, 16), settings_of(), LABELS, SIDES)
    assert augmentation is not None
    assert (augmentation.swap_axes, dict(augmentation.swapped)) == ((2,), {3: 1, 1: 3})
    without = augmentation_for(planned(16, 16, 16), settings_of("mirror=no_swap"), LABELS, SIDES)
    assert without is not None and (without.mirror_axes, without.swapped) == ((0, 1, 2), ())
