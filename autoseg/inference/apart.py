"""What the descriptions of models apart from segmentation share (see `autoseg.kinds`)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from autoseg.plan import Frozen
from autoseg.projections.plan import ProjectionPlans
from autoseg.slices.plan import SlicePlans

PlansType = TypeVar("PlansType", bound=SlicePlans | ProjectionPlans)


class DescriptionApart(Frozen, Generic[PlansType]):
    """What every kind's `model.json` says, beside what is its own.

    dataset: its name. plans: without cases. recipe, settings, flags, name, versions: as in
    `autoseg.inference.model.ModelDescription`.
    """

    dataset: str
    plans: PlansType
    recipe: str
    settings: dict[str, Any]
    flags: tuple[str, ...] = ()
    versions: dict[str, str]
    name: str | None = None

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Of the images that it takes."""
        return self.plans.channel_names

    @property
    def called(self) -> str:
        """As the user knows it: by its name, or its recipe's."""
        return self.name or self.recipe
