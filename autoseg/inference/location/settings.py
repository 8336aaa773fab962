"""When an answer counts as found."""

from __future__ import annotations

from pydantic import Field

from autoseg.plan import Frozen


class LocationSettings(Frozen, allow_inf_nan=False):
    """Of a prediction; a locator has those that it was trained with."""

    threshold: float = Field(
        0.5, ge=0, le=1, description="confidence below which the answer is \"not found\" and no slice: how much stronger the "
        "strongest response is than any other, 0 to 1")
