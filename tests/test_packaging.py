"""What is installed: the four folders under one name, and nothing generic beside it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    found: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **given: found.update(given))
    runpy.run_path("setup.py")
    return found


def test_every_package_is_autosegs_and_every_file_lies_in_one_package(arguments: dict[str, Any]) -> None:
    places = arguments["package_dir"]
    assert {name.split(".")[0] for name in arguments["packages"]} == {"autoseg"}
    assert {places[f"autoseg.{folder}"] for folder in ("planners", "trainers", "postprocessing")} == {
        "planners", "trainers", "postprocessing"}
    real = {Path(place).resolve() for place in places.values()}
    assert len(real) == len(places)
    for folder in ("autoseg", "planners", "trainers", "postprocessing"):
        for path in (ROOT / folder).rglob("*.py"):
            if not any(parent.is_symlink() for parent in path.parents):
                assert path.parent in real, f"{path} would not be installed"


def test_the_four_commands_have_entry_points_that_exist(arguments: dict[str, Any]) -> None:
    from importlib import import_module

    commands = dict(entry.split(" = ") for entry in arguments["entry_points"]["console_scripts"])
    assert set(commands) == {"autoseg", "autoseg_plan_and_preprocess", "autoseg_train", "autoseg_predict"}
    for target in commands.values():
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function))
