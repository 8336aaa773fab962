"""What is installed: the four folders under one name, and nothing generic beside it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

import autoseg
import autoseg.api

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


def test_every_other_file_of_a_package_is_installed_with_it(arguments: dict[str, Any]) -> None:
    folders = {name: ROOT / place for name, place in arguments["package_dir"].items()}
    others = {
        path for folder in folders.values() for path in folder.iterdir()
        if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
    }
    installed = {
        path for name, patterns in arguments["package_data"].items() for pattern in patterns
        for path in folders[name].glob(pattern)
    }
    assert others == installed and {path.name for path in installed} == {"py.typed", "template.html"}


def test_every_verb_is_there_at_once_and_nothing_heavy_with_it() -> None:
    script = ("import sys, autoseg; assert not {'torch', 'numpy', 'rich'} & set(sys.modules); "
              "assert all(callable(getattr(autoseg, name)) for name in autoseg.__all__); "
              "assert {'run', 'find_best', 'report', 'postprocess', 'cross_validation'} <= set(autoseg.__all__); "
              "assert not {'torch', 'matplotlib', 'SimpleITK', 'scipy.stats', 'jinja2'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT)


def test_older_names_are_the_same_verbs_for_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[Any, ...]] = []
    for verb in ("plan_and_preprocess", "predict_files", "evaluate"):
        monkeypatch.setattr(autoseg.api, verb, lambda *given, _verb=verb, **named: called.append((_verb, *given, named)))
    autoseg.plan_slices("D", normal="all")
    autoseg.plan_projection("D", find="L3")
    autoseg.predict_anomalies("i", "o", dataset="D")
    autoseg.predict_locations("i", "o", model="M")
    autoseg.evaluate_anomalies("r", "p")
    assert called == [
        ("plan_and_preprocess", "D", {"planner": "slices", "normal": "all"}),
        ("plan_and_preprocess", "D", {"planner": "projection", "find": "L3"}),
        ("predict_files", "i", "o", {"dataset": "D", "configuration": "slices"}),
        ("predict_files", "i", "o", {"model": "M"}), ("evaluate", "r", "p", {})]
    for name in ("plan_nothing", "nothing"):
        with pytest.raises(AttributeError):
            getattr(autoseg, name)


def test_the_four_commands_have_entry_points_that_exist(arguments: dict[str, Any]) -> None:
    from importlib import import_module

    commands = dict(entry.split(" = ") for entry in arguments["entry_points"]["console_scripts"])
    assert set(commands) == {"autoseg", "autoseg_plan_and_preprocess", "autoseg_train", "autoseg_predict"}
    for target in commands.values():
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function))
