"""Types of numbers that files and flags may hold: what they mean, and within which bounds they can be worked with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
AXES = ("LR", "AP", "IS")  # the ends of the world's axes


def whole_number(text: str) -> int | None:
    """Return the number that a text of the digits 0 to 9 means; None for any other text, such as "²"."""
    return int(text) if WHOLE_NUMBER.fullmatch(text) else None


def _is_permutation(axes: tuple[int, int, int]) -> tuple[int, int, int]:
    if sorted(axes) != [0, 1, 2]:
        raise ValueError("must hold each of the axes 0, 1 and 2 once")
    return axes


def _is_orientation(letters: str) -> str:
    if len(letters) != 3 or any(sum(letter in ends for letter in letters) != 1 for ends in AXES):
        raise ValueError('must be three letters, one of L and R, one of A and P, one of I and S, such as "LPS"')
    return letters


def _absolute(path: object) -> object:
    return str(Path(path).resolve()) if isinstance(path, (str, Path)) and str(path) else path


FullPath = Annotated[str, BeforeValidator(_absolute)]  # as a text, wherever the user's folder was when it was given
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveMm = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]  # as of images
PositiveMl = Annotated[float, Field(ge=1e-30, le=1e30, allow_inf_nan=False)]  # a voxel at least
Percentile = Annotated[float, Field(ge=0, le=100)]
LabelValue = Annotated[str, Field(pattern="^-?[0-9]{1,20}$")]  # as a key
LabelValues = Annotated[str, Field(pattern=r"^-?[0-9]{1,20}(\+-?[0-9]{1,20})*$")]  # a union of them, such as "1+2"
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Voxels = Annotated[int, Field(ge=1, lt=2**31)]  # along an axis of an image
PatchEdge = Annotated[int, Field(ge=1, le=2**14)]  # voxels along an axis of what a network sees at a time
Batch = Annotated[int, Field(ge=1, le=2**16)]
Many = Annotated[int, Field(ge=1, le=10**7)]  # epochs, iterations, steps
Rate = Annotated[float, Field(gt=0, le=100)]  # at which a network learns
Gigabytes = Annotated[float, Field(gt=0, le=10**5)]
Permutation = Annotated[tuple[int, int, int], AfterValidator(_is_permutation)]
Orientation = Annotated[str, AfterValidator(_is_orientation)]

Precision = Literal["auto", "float32", "bfloat16", "float16"]  # of what a network computes with
Engine = Literal["torch", "openvino"]  # what runs a network in prediction

Features = Annotated[int, Field(ge=1, le=2**13)]
Stride = Annotated[int, Field(ge=1, le=32)]
Kernel = Annotated[int, Field(ge=1, le=31)]  # odd: the convolution keeps the size
Convolutions = Annotated[int, Field(ge=1, le=100)]
MOST_STAGES = 16
