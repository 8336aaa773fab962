"""Verbs by their names: each is the function however often, and after whatever, it is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import autoseg
from autoseg import api


@pytest.mark.parametrize("name", api.__all__)
def test_a_verb_is_what_its_module_defines_and_no_module(name: str) -> None:
    assert api.MODULES[name] != f"autoseg.api.{name}", "once that is imported, the module would stand in the verb's place"
    defined = getattr(importlib.import_module(api.MODULES[name]), name)
    assert getattr(api, name) is defined and getattr(api, name) is defined
    mine = getattr(autoseg, name) if name in autoseg.__all__ else defined
    assert getattr(mine, "__wrapped__", mine) is defined


def test_all_modules_are_there_and_every_verb_is_still_a_function() -> None:
    program = ("import autoseg, autoseg.api as api, importlib, pkgutil\n"
               "for found in pkgutil.walk_packages(autoseg.__path__, 'autoseg.'): importlib.import_module(found.name)\n"
               "assert all(callable(getattr(module, name)) for module in (api, autoseg) for name in module.__all__)")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_is_no_verb_is_told_as_python_does() -> None:
    for module in (api, autoseg):
        with pytest.raises(AttributeError, match="has no attribute 'segment'"):
            module.segment  # noqa: B018
