"""Planners by name: `plan(dataset, fingerprint, memory_gb) -> Plans`."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.plan import Plans
from autoseg.planners.default import plan

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres")  # that a planner may plan, as the data suggest
PLANNERS: dict[str, Callable[..., Plans]] = {"default": plan}
