"""A recipe: what is trained, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoseg.trainers.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """build: `(configuration, data, settings, device) -> Task`. settings: where the user sets nothing else; their class says
    which there are. summary: in a line."""

    build: Callable[..., Any]
    settings: Settings
    summary: str
