"""A planner: a name, and what it lets the network cost."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.dataset import Dataset
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plans
from autoseg.planners.segmentation import default
from autoseg.planners.segmentation.memory import Budget


@dataclass(frozen=True)
class Planner:
    """nnU-Net's rules with a network and a budget of its own. name: that its plans carry. summary: in one line."""

    name: str
    summary: str
    budget: Budget

    @property
    def memory_gb(self) -> float:
        """Of the GPU that it plans for unless told otherwise, GB."""
        return self.budget.memory_gb

    def __call__(self, dataset: Dataset, fingerprint: Fingerprint, memory_gb: float | None = None) -> Plans:
        """Plan `2d`, and for volumes `3d_fullres` and, where its patch sees too little of them, `3d_lowres`.

        memory_gb: of the GPU that the plan is for, GB; None for the planner's own.
        Raises AutosegError where no case is left, memory_gb is too small, or the images are too small for any network.
        """
        budget = self.budget if memory_gb is None else self.budget.at(memory_gb)
        plans = default.plan(dataset, fingerprint, budget, self.name)
        return plans if memory_gb in (None, self.memory_gb) else plans.model_copy(update={"memory_gb": memory_gb})
