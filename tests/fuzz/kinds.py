"""All targets and all cases of the corpus, by name."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module

from tests.fuzz.attempt import Case, Target
from tests.fuzz.images import image_targets


@lru_cache
def targets(reader: str) -> dict[str, Target]:
    """Return every target. reader: "module:function" that reads images (see `images.Reader`)."""
    module, _, function = reader.partition(":")
    return image_targets(getattr(import_module(module), function))


@lru_cache
def cases(reader: str) -> dict[str, Case]:
    """Return every case of the corpus. reader: as in `targets`."""
    return {}


def target_named(name: str, reader: str) -> Target:
    """Return a target. Raises KeyError where there is none of this name."""
    return targets(reader)[name]


def case_named(name: str, reader: str) -> Case:
    """Return a case of the corpus. Raises KeyError where there is none of this name."""
    return cases(reader)[name]
