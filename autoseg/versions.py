"""The versions that every artefact records."""

from __future__ import annotations

import platform
from importlib import metadata

RECORDED = ("autoseg", "torch", "numpy", "scipy", "SimpleITK", "nibabel", "blosc2")


def versions() -> dict[str, str]:
    """Return package name to installed version, and Python's own; read from package metadata, without importing any."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
