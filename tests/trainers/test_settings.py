"""Settings from the command line: parsed, checked, and refused with the list of what there is."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.trainers.settings import Settings, parse_settings


def test_texts_become_numbers_tuples_and_none() -> None:
    settings = parse_settings(["patch_size=64,32,16", "mirror_axes=", "batch_size=none", "learning_rate=1e-3"])
    assert settings.patch_size == (64, 32, 16)
    assert settings.mirror_axes == ()
    assert settings.batch_size is None
    assert settings.learning_rate == 0.001


def test_flags_win_over_set_and_none_leaves_the_default() -> None:
    assert parse_settings(["epochs=5"], epochs=7).epochs == 7
    assert parse_settings([], epochs=None) == Settings()


def test_an_unknown_key_lists_the_keys_that_there_are() -> None:
    with pytest.raises(AutosegError, match='no setting "learningrate".*learning_rate'):
        parse_settings(["learningrate=1"])


@pytest.mark.parametrize("text", ["epochs=0", "epochs=many", "momentum=1", "precision=float8", "foreground_share=1.5"])
def test_a_bad_value_is_named(text: str) -> None:
    with pytest.raises(AutosegError, match=text.split("=")[0]):
        parse_settings([text])


def test_an_assignment_without_equals_sign_is_refused() -> None:
    with pytest.raises(AutosegError, match="key=value"):
        parse_settings(["epochs"])


def test_hours_that_never_end_are_refused() -> None:
    with pytest.raises(AutosegError, match="max_hours=inf: Input should be a finite number"):
        parse_settings([], max_hours=float("inf"))
