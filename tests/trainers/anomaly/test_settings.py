"""Settings of a detector's training, as a user types them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.settings import choices_of, flags_of, listed, parse_settings

DEFAULTS = AnomalySettings()


def test_the_defaults_are_the_published_ones() -> None:
    """Schlegl et al. 2017: lambda 0.1; Radford et al. 2016: latent vectors of 100 entries, Adam(0.0002, 0.5)."""
    assert (DEFAULTS.lambda_, DEFAULTS.latent, DEFAULTS.learning_rate, DEFAULTS.adam_beta1) == (0.1, 100, 0.0002, 0.5)
    assert DEFAULTS.search_steps == 5000 and not DEFAULTS.encoder and DEFAULTS.discriminator_rate is None


@pytest.mark.parametrize(("text", "field", "value"), [
    ("lambda=0.2", "lambda_", 0.2), ("lambda=0", "lambda_", 0), ("conv_layers=3", "conv_layers", 3), ("latent=8", "latent", 8),
    ("conv_layers=none", "conv_layers", None), ("search_steps=0", "search_steps", 0), ("restarts=4", "restarts", 4),
    ("discriminator_augmentation=cutout", "discriminator_augmentation", ("cutout",)), ("encoder=true", "encoder", True),
    ("discriminator_augmentation=intensity,cutout", "discriminator_augmentation", ("intensity", "cutout")),
    ("discriminator_augmentation=", "discriminator_augmentation", ()), ("discriminator_rate=4e-4", "discriminator_rate", 4e-4),
    ("validation_slices=none", "validation_slices", None), ("start=encoder", "start", "encoder"),
    ("clip_latent=false", "clip_latent", False), ("average=0", "average", 0), ("spectral_norm=true", "spectral_norm", True),
])
def test_a_setting_is_given_as_it_is_called_in_files(text: str, field: str, value: object) -> None:
    changed = parse_settings([text], DEFAULTS)
    assert getattr(changed, field) == value
    assert changed == DEFAULTS.model_copy(update={field: value})


@pytest.mark.parametrize("text", [
    "lambda=1.5", "lambda=-0.1", "conv_layers=0", "conv_layers=9", "latent=0", "features=0", "batch_size=1", "encoder=2",
    "label_smoothing=0.5", "average=1", "adam_beta1=1", "encoder_share=0", "encoder_share=1", "encoder_feature_weight=-1",
    "search_steps=-1", "restarts=0", "patience=0", "tolerance=1", "search_rate=0", "learning_rate=nan", "learning_rate=inf",
    "epochs=0", "discriminator_augmentation=blur", "start=nowhere", "validation_slices=0", "sample_epochs=0",
    "precision=float8",
])
def test_a_value_that_cannot_be_is_named(text: str) -> None:
    key, _, value = text.partition("=")
    with pytest.raises(AutosegError, match=rf"{key}.*{value.removesuffix('.0')}"):
        parse_settings([text], DEFAULTS)


@pytest.mark.parametrize("text", ["lambda_=0.2", "lamda=0.2", "patch_size=64", "search=5"])
def test_a_setting_that_there_is_not_lists_those_that_there_are(text: str) -> None:
    key = text.partition("=")[0]
    with pytest.raises(AutosegError, match=f'no setting "{key}". .*There are: .*lambda, latent,.*search_steps'):
        parse_settings([text], DEFAULTS)


def test_flags_give_the_same_settings_again() -> None:
    changed = AnomalySettings(
        lambda_=0.25, epochs=7, iterations=9, max_hours=1.5, conv_layers=3, discriminator_augmentation=(), encoder=True,
        discriminator_rate=1e-5, spectral_norm=True, validation_slices=None, start="random", average=0, search_steps=5)
    flags = flags_of(changed, DEFAULTS)
    assert ("--set", "lambda=0.25") in pairwise(flags) and flags_of(DEFAULTS, DEFAULTS) == ()
    pairs = list(zip(flags[::2], flags[1::2], strict=True))
    typed = {flag.strip("-").replace("-", "_"): float(value) for flag, value in pairs if flag != "--set"}
    assert set(typed) == {"epochs", "iterations", "max_hours"}
    assert parse_settings([value for flag, value in pairs if flag == "--set"], DEFAULTS, **typed) == changed


def test_files_hold_every_setting_by_the_name_that_set_takes() -> None:
    content = DEFAULTS.model_dump(mode="json")
    assert content["lambda"] == 0.1 and "lambda_" not in content and content.keys() == dict(listed(DEFAULTS)).keys()
    assert AnomalySettings.model_validate(content) == DEFAULTS
    search = SearchSettings().model_dump(mode="json")
    assert search.items() <= content.items()  # what a search takes is part of what a training takes


def test_the_proposals_that_a_search_may_start_from_are_listed() -> None:
    assert choices_of(AnomalySettings, "start") == choices_of(SearchSettings, "start") == ("auto", "encoder", "random")
