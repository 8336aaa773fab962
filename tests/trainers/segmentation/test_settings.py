"""Settings from the command line: parsed, checked, and refused with the list of what there is."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.networks import NETWORKS
from autoseg.settings import read_assignments
from autoseg.trainers.augmentation import AUGMENTATIONS
from autoseg.trainers.losses import LOSSES
from autoseg.trainers.one_network import OPTIMIZERS
from autoseg.trainers.rates import RATES
from autoseg.trainers.segmentation import RECIPES, SegmentationSettings
from autoseg.trainers.segmentation.settings import notes_on
from autoseg.trainers.settings import (
    ExpLogSettings,
    choices_of,
    chosen_settings,
    description_of,
    differences,
    flags_of,
    listed,
)


def test_texts_become_numbers_tuples_and_none() -> None:
    texts = ["patch_size=64,32,16", "mirror=", "batch_size=none", "learning_rate=1e-3"]
    settings = chosen_settings(read_assignments(texts), SegmentationSettings())
    assert settings.patch_size == (64, 32, 16)
    assert settings.mirror == ()
    assert settings.batch_size is None
    assert settings.learning_rate == 0.001


def test_flags_win_over_set_and_none_leaves_the_default() -> None:
    assert chosen_settings(read_assignments(["epochs=5"]), SegmentationSettings(), epochs=7).epochs == 7
    assert chosen_settings(read_assignments([]), SegmentationSettings(), epochs=None) == SegmentationSettings()


def test_an_unknown_key_lists_the_keys_that_there_are() -> None:
    with pytest.raises(AutosegError, match='no setting "learningrate".*learning_rate'):
        chosen_settings(read_assignments(["learningrate=1"]), SegmentationSettings())


@pytest.mark.parametrize("text", ["epochs=0", "epochs=many", "momentum=1", "precision=float8", "foreground_share=1.5", "seed=-1",
                                  "patch_size=", "base_features=1000"])
def test_a_bad_value_is_named(text: str) -> None:
    with pytest.raises(AutosegError, match=text.split("=")[0]):
        chosen_settings(read_assignments([text]), SegmentationSettings())


def test_an_assignment_without_equals_sign_is_refused() -> None:
    with pytest.raises(AutosegError, match="key=value"):
        chosen_settings(read_assignments(["epochs"]), SegmentationSettings())


def test_hours_that_never_end_are_refused() -> None:
    with pytest.raises(AutosegError, match="max_hours=inf: Input should be a finite number"):
        chosen_settings(read_assignments([]), SegmentationSettings(), max_hours=float("inf"))


def test_settings_of_parts_are_named_with_a_dot() -> None:
    settings = chosen_settings(
        {"loss": "exp_log", "exp_log.gamma": 0.5, "exp_log.class_weights": [1, 2.5]}, SegmentationSettings())
    assert settings.exp_log == ExpLogSettings(gamma=0.5, class_weights=(1, 2.5))


def test_an_unknown_key_of_a_part_lists_the_keys_that_there_are() -> None:
    with pytest.raises(AutosegError, match=r'no setting "exp_log.gama".*exp_log.gamma'):
        chosen_settings(read_assignments(["exp_log.gama=1"]), SegmentationSettings())


def test_an_unknown_name_lists_the_names_that_there_are() -> None:
    with pytest.raises(AutosegError, match=r"loss='dice'.*'dice_ce', 'exp_log' or 'hybrid'"):
        chosen_settings(read_assignments(["loss=dice"]), SegmentationSettings())


@pytest.mark.parametrize("text", ["exp_log.gamma=0", "exp_log.class_weights=1,-1", "plateau.factor=1", "hybrid.ssim_scales=6"])
def test_a_bad_value_of_a_part_is_named(text: str) -> None:
    with pytest.raises(AutosegError, match=text.split("=")[0]):
        chosen_settings(read_assignments([text]), SegmentationSettings())


def test_none_is_a_word_where_a_setting_has_it_among_its_names() -> None:
    assert chosen_settings(read_assignments(["augmentation=none"]), SegmentationSettings()).augmentation == "none"
    assert chosen_settings(read_assignments(["network=none"]), SegmentationSettings(network="resunet")).network is None


def test_a_recipe_starts_from_its_own_settings_and_tells_what_was_changed() -> None:
    multiscale = RECIPES["multiscale"].settings
    texts = ["exp_log.gamma=0.5", "deep_supervision=false", "mirror="]
    settings = chosen_settings(read_assignments(texts), multiscale, epochs=7, max_hours=1.5)
    assert (settings.base_features, settings.learning_rate) == (30, 3e-4)
    flags = flags_of(settings, multiscale)
    assert flags[:4] == ("--epochs", "7", "--max-hours", "1.5")
    assert sorted(flags[5::2]) == ["deep_supervision=false", "exp_log.gamma=0.5", "mirror="]
    again = chosen_settings(read_assignments([flag for flag in flags if "=" in flag]), multiscale, epochs=7, max_hours=1.5)
    assert again == settings and not differences(again, settings)


def test_every_setting_has_a_meaning_or_names_its_values() -> None:
    for key, _ in listed(SegmentationSettings()):
        assert description_of(SegmentationSettings, key) or choices_of(SegmentationSettings, key), key


def test_floats_come_back_as_they_were() -> None:
    settings = SegmentationSettings(foreground_share=0.1 + 0.2, max_hours=48)
    flags = flags_of(settings, SegmentationSettings())
    assert flags == ("--max-hours", "48", "--set", f"foreground_share={0.1 + 0.2!r}")
    assert chosen_settings(read_assignments([flags[3]]), SegmentationSettings(), max_hours=48.0) == settings


@pytest.mark.parametrize(("texts", "words"), [
    (["exp_log.gamma=0.5"], "exp_log.gamma changes nothing here: it is of --set loss=exp_log"),
    (["deep_supervision=false", "supervision.weights=equal"], "--set deep_supervision=true"),
    (["optimizer=adam", "momentum=0.9"], "--set optimizer=sgd"), (["plateau.patience=3"], "--set schedule=plateau"),
    (["schedule=plateau", "epochs=30"], "Add --set schedule=poly"),
])
def test_what_changes_nothing_is_told(texts: list[str], words: str) -> None:
    chosen = chosen_settings(read_assignments(texts), SegmentationSettings())
    assert any(words in note for note in notes_on(chosen, SegmentationSettings()))


def test_what_is_in_use_is_not_told() -> None:
    texts = ["loss=exp_log", "exp_log.gamma=0.5", "supervision.weights=equal", "schedule=plateau", "plateau.patience=3"]
    assert notes_on(chosen_settings(read_assignments(texts), SegmentationSettings()), SegmentationSettings()) == []
    assert notes_on(RECIPES["multiscale"].settings, RECIPES["multiscale"].settings) == []


def test_the_names_that_settings_take_are_those_that_there_are() -> None:
    for key, parts in (("network", NETWORKS), ("loss", LOSSES), ("optimizer", OPTIMIZERS), ("schedule", RATES)):
        assert set(choices_of(SegmentationSettings, key)) == set(parts), key
    assert set(choices_of(SegmentationSettings, "augmentation")) == {*AUGMENTATIONS, "none"}
