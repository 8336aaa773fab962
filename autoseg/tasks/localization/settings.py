"""How a projection is looked at, and when an answer counts as found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoseg.plan import Frozen


class LocationSettings(Frozen, allow_inf_nan=False):
    """Of a prediction; a locator has those that it was trained with."""

    threshold: float = Field(
        0.5, ge=0, le=1, description="confidence below which the answer is \"not found\" and no slice: how much stronger the "
        "strongest response is than any other, 0 to 1")
    zooms: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field(
        (1.0, 0.88, 1.13), min_length=1, description="sizes at which a projection is looked at, of its own; the mean response "
        "counts: an answer that is not the same at each is less sure")
