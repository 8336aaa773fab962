"""Planners by name: `plan(dataset, fingerprint, memory_gb) -> Plans`."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.plan import Plans
from autoseg.planners.default import plan

PLANNERS: dict[str, Callable[..., Plans]] = {"default": plan}
