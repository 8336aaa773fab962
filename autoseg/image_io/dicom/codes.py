"""Codes of structures: what a segment or region of interest is, in numbers that other programs know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from autoseg.image_io.dicom.common_structures import ALTERED, ANATOMICAL, TISSUES


class Code(NamedTuple):
    """A coded concept. value: such as "10200004". scheme: that it is of, such as SCT (SNOMED CT). meaning: for people."""

    value: str
    scheme: str
    meaning: str


ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ALTERATION = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "SCT", "Tissue")
LEFT, RIGHT, BOTH = Code("7771000", "SCT", "Left"), Code("24028007", "SCT", "Right"), Code("51440002", "SCT", "Bilateral")
SIDES = {"left": LEFT, "l": LEFT, "lt": LEFT, "lh": LEFT, "right": RIGHT, "r": RIGHT, "rt": RIGHT, "rh": RIGHT, "bilateral": BOTH,
         "both": BOTH}
SAME_WORDS = {"disk": "disc", "vertebral": "vertebra", "vertebrae": "vertebra"}
NOT_ALONE = {"mass", "clot", "effusion", "plaque", "bleeding", "primary"}  # may be part of other names, such as "muscle mass"
DENIED = {"no", "non", "not", "without"}
LEVELS = re.compile(r"([ctls]\d{1,2})([ctls]\d{1,2})")  # of a disc, written together: "l4l5"
Words = tuple[str, ...]


@dataclass(frozen=True)
class Coding:
    """Codes of a structure. type: what it is. category: the kind of thing that is. modifier: its side, where it has one."""

    type: Code
    category: Code = ANATOMY
    modifier: Code | None = None


UNKNOWN = Coding(TISSUE, TISSUE)


def coding_of(name: str) -> Coding:
    """Return the codes of a structure by its name, whatever the order, case and joints of its words ("kidney_left",
    "LeftKidney", "vertebrae_L1"); those of tissue, which are always right, where it is not a common one.

    Words of a side become the modifier. A tumor, lesion or cyst is one wherever it is ("liver tumor", "lesion_2").
    """
    words = _words(name)
    sides = [SIDES[word] for word in words if word in SIDES]
    known = _common()
    for modifier, kept in ((None, words), (sides[0] if sides else None, tuple(word for word in words if word not in SIDES))):
        for form in _forms(kept):
            if (found := known.get(tuple(sorted(form)))) is not None:
                return Coding(found.type, found.category, modifier)
    if not DENIED & {*words}:
        for word in reversed(words):
            for form in _forms((word,)):
                found = known.get(form)
                if found is not None and found.category == ALTERATION and form[0] not in NOT_ALONE:
                    return Coding(found.type, found.category, sides[0] if sides else None)
    return UNKNOWN


def _words(name: str) -> Words:
    """Return the words of a name, in lower case."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name)
    words = re.findall(r"[^\W_]+", LEVELS.sub(r"\1 \2", re.sub(r"(?<=[^\W\d_]{3})(?=\d)", " ", name.lower())))
    return tuple(SAME_WORDS.get(word, word) for word in words)


def _forms(words: Words) -> Iterator[Words]:
    """Yield the words, then in the singular, then both without numbers that count alike things."""
    singular = tuple(_singular(word) for word in words)
    for form in (words, singular):
        yield form
    for form in (words, singular):
        if without := tuple(word for word in form if not word.isdecimal()):
            yield without


def _singular(word: str) -> str:
    if len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word[:-1] if word.endswith("s") else word


@cache
def _common() -> Mapping[Words, Coding]:
    """Return the codes of common structures by the words of their names, sorted."""
    return {tuple(sorted(_words(name))): Coding(Code(*code), category)
            for category, table in ((TISSUE, TISSUES), (ALTERATION, ALTERED), (ANATOMY, ANATOMICAL))
            for code, names in table.items() for name in names.split(", ")}
