"""Planners of segmentation by name: `PLANNERS[name](dataset, fingerprint, memory_gb) -> Plans`.

All share the rules of nnU-Net v2. `default` and `resenc_*` plan what nnU-Net 2.8.1 plans with its default planner and its presets
ResEnc M, L and XL (Isensee et al. 2024); `unet3plus` plans as `default` does, but patches for which a UNet 3+ has the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoseg.dataset import Dataset
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plans
from autoseg.planners.segmentation import default
from autoseg.planners.segmentation.memory import Budget

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")  # what a planner may plan, depending on the data
LEFT_BY_LOSS = 0.75  # share of the memory: the recipe unet3plus compares all levels at full resolution, which takes the rest


@dataclass(frozen=True)
class Planner:
    """nnU-Net's rules with a network and a budget of its own. name: the one that its plans carry. summary: a line about it."""

    name: str
    summary: str
    budget: Budget

    @property
    def memory_gb(self) -> float:
        """Return the memory of the GPU that it plans for unless told otherwise, GB."""
        return self.budget.memory_gb

    def budget_for(self, memory_gb: float | None, gpus: int | None = None) -> Budget:
        """Return the budget for a GPU of this memory, GB, or for several; None: the planner's own, and one. Raises AutosegError
        where the memory is not positive."""
        return replace(self.budget if memory_gb is None else self.budget.at(memory_gb), gpus=gpus or 1)

    def __call__(
        self, dataset: Dataset, fingerprint: Fingerprint, memory_gb: float | None = None, gpus: int | None = None
    ) -> Plans:
        """Plan `2d`, and for volumes `3d_fullres` and, where its patch sees too little of them, the other two.

        memory_gb: of the GPU that the plan is for, GB; None for the planner's own. gpus: of one training; None for one.
        Raises AutosegError where no case is left, memory_gb is too small, or the images are too small for any network.
        """
        plans = default.plan(dataset, fingerprint, self.budget_for(memory_gb, gpus), self.name)
        return plans if memory_gb in (None, self.memory_gb) else plans.model_copy(update={"memory_gb": memory_gb})


def _like_default(network: str, share: float = 1.0) -> Budget:
    """Return nnU-Net's default: a patch leaves room for two, a batch holds 5 % of all voxels. share: the network's, of memory."""
    values = {2: share * 8.5e7, 3: share * 5.6e8}
    return Budget(network, memory_gb=8, values=values, patches={2: 2, 3: 2}, share_of_dataset=0.05)


def _residual(memory_gb: float, values: dict[int, float]) -> Budget:
    """Return nnU-Net's preset: the patch leaves room for the batch of `values`; a batch may hold the whole dataset."""
    return Budget("resunet", memory_gb, values, patches={2: 12, 3: 2}, share_of_dataset=1)


PLANNERS = {planner.name: planner for planner in (
    Planner("default", "a plain U-Net, as nnU-Net's default planner has it; for 8 GB", _like_default("unet")),
    Planner("resenc_m", "a residual encoder U-Net, as nnU-Net's ResEnc M; for 8 GB", _residual(8, {2: 1.35e8, 3: 6.8e8})),
    Planner("resenc_l", "a residual encoder U-Net, as nnU-Net's ResEnc L; for 24 GB", _residual(24, {2: 3.8e8, 3: 2.1e9})),
    Planner("resenc_xl", "a residual encoder U-Net, as nnU-Net's ResEnc XL; for 40 GB", _residual(40, {2: 5.6e8, 3: 3.6e9})),
    Planner("unet3plus", "a UNet 3+, with patches that fit its memory; for 8 GB", _like_default("unet3plus", LEFT_BY_LOSS)),
)}
SUMMARIES = {planner.name: planner.summary for planner in PLANNERS.values()}
