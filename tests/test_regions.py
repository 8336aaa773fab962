"""Regions that cannot be painted back are refused, with an order that works where one exists."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli.main import main
from autoseg.dataset import Labels
from autoseg.regions import painting_fault

NESTED = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}


def painted(regions: dict[str, tuple[int, ...]], order: tuple[int, ...], value: int) -> int:
    """Paint as prediction does, from the logits of a perfect prediction."""
    labels = Labels.model_construct(values=dict(regions), regions_class_order=order, ignore=None)
    logits = np.array([1.0 if value in values else -1.0 for values in regions.values()])[:, None, None, None]
    return int(labels.from_logits(logits)[0, 0, 0])


def comes_back(regions: dict[str, tuple[int, ...]], order: tuple[int, ...]) -> bool:
    values = {value for of_region in regions.values() for value in of_region}
    return all({name for name in regions if value in regions[name]} ==
               {name for name in regions if painted(regions, order, value) in regions[name]} for value in values)


@pytest.mark.parametrize(("order", "expected"), [
    ((1, 2, 3), ""), ((1, 1, 3), "2 becomes 1"), ((1, 2, 9), "3 becomes 9"), ((3, 2, 1), "1 becomes 3, 3 becomes 1")])
def test_nested_regions_are_checked_value_by_value(order: tuple[int, ...], expected: str) -> None:
    fault = painting_fault(NESTED, order)
    assert expected in fault and bool(fault) == bool(expected)
    assert not fault or fault.endswith('Write "regions_class_order": [1, 2, 3]')


def test_the_order_that_is_proposed_works_and_where_none_does_none_is_proposed() -> None:
    chance = random.Random(0)
    seen = {"good": 0, "order": 0, "none": 0}
    for _ in range(300):
        names = "abc"[:chance.randint(2, 3)]
        regions = {name: tuple(sorted(chance.sample((1, 2, 3, 4), chance.randint(1, 3)))) for name in names}
        if max(map(len, regions.values())) == 1:  # classes, which are not painted
            continue
        order = tuple(chance.choice((1, 2, 3, 4)) for _ in regions)
        fault = painting_fault(regions, order)
        assert bool(fault) != comes_back(regions, order), (regions, order)
        if not fault:
            seen["good"] += 1
            continue
        listed = re.search(r'"regions_class_order": (\[[\d, ]+\])$', fault)
        possible = any(comes_back(dict(outermost_first), paints) for outermost_first in itertools.permutations(regions.items())
                       for paints in itertools.product((1, 2, 3, 4), repeat=len(regions)))
        assert bool(listed) == possible, (regions, order, fault)
        seen["order" if possible else "none"] += 1
        if listed:
            listing = re.findall(r'"(\w)": \[', fault.split("innermost, ")[-1]) if "innermost" in fault else list(regions)
            assert comes_back({name: regions[name] for name in listing}, tuple(json.loads(listed[1])))
        else:
            own = [int(value) for value in re.findall(r"\d", fault.split("Give the value")[1].split(", which")[0])]
            more = regions | {f"only{value}": (value,) for value in own}
            assert "No order" not in painting_fault(more, (1,) * len(more))
    assert min(seen.values()) > 10, seen


def test_values_that_no_region_tells_apart_may_become_one() -> None:
    assert painting_fault({"whole": (1, 2)}, (1,)) == ""


@pytest.mark.parametrize("command", ["verify", "plan_and_preprocess", "evaluate"])
def test_every_command_refuses_them(
    tiny_dataset: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((tiny_dataset / "dataset.json").read_text())
    content |= {"labels": {"background": 0, "lesion": 2, "whole": [1, 2]}, "regions_class_order": [2, 1]}
    (tiny_dataset / "dataset.json").write_text(json.dumps(content))
    truth = str(tiny_dataset / "labelsTr")
    arguments = [truth, truth, "-o", str(tmp_path / "s.json")] if command == "evaluate" else [str(tiny_dataset)]
    assert main([command, *arguments, "--workspace", str(tmp_path / "w")]) == 1
    error = capsys.readouterr().err
    assert "dataset.json: the regions cannot be painted back" in error and "2 becomes 1" in error
    assert '"whole": [1, 2], "lesion": [2], with "regions_class_order": [1, 2]' in error
