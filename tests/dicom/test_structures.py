from __future__ import annotations

from itertools import pairwise

from autoseg.image_io.dicom.codes import ANATOMY, Code, Coding
from autoseg.image_io.dicom.structures import colour, structures_of


def test_classes_and_regions_are_structures_in_the_order_of_their_values() -> None:
    own = Coding(Code("1", "99X", "Own"))
    whole, tumor, core = structures_of({"core": (2, 3), "tumor": (1,), "whole": (1, 2, 3)}, {"core": own})
    assert [whole.name, tumor.name, core.name] == ["whole", "tumor", "core"]
    assert (core.values, core.coding, core.coding.category) == ((2, 3), own, ANATOMY)
    assert structures_of({"liver": 1})[0].values == (1,)


def test_colours_differ_and_show_on_black() -> None:
    colours = [colour(index) for index in range(150)]
    assert len(set(colours)) == 150
    assert all(max(rgb) >= 150 for rgb in colours)
    assert min(sum(abs(a - b) for a, b in zip(*two, strict=True)) for two in pairwise(colours)) > 100
