"""The encoder of a trained model that a classifier starts from: of a segmentation, or of another classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from autoseg.errors import AutosegError
from autoseg.inference.checkpoints import checkpoint_files, part_of, read_weights
from autoseg.plan import Topology
from autoseg.tasks.classification.network import ENCODERS, Classifier
from autoseg.workspace import ModelFolder, described

NETWORK, ENCODER = "network", "encoder."  # of the names of weights


@dataclass(frozen=True)
class Pretrained:
    """A trained encoder. topology: its shape. spacing_mm: (z, y, x) or (y, x) of what it was trained on; None where that is not
    known."""

    model: ModelFolder
    topology: Topology
    spacing_mm: tuple[float, ...] | None

    @classmethod
    def at(cls, path: str) -> Pretrained:
        """Read what a model's folder says of its encoder. Raises AutosegError where it holds none that a classifier can take."""
        model = ModelFolder(Path(path))
        content = described(model)
        if not content:
            raise AutosegError(f"{path} is not a trained model: it has no model.json. Give the folder that holds it with --from.")
        plans: Any = content.get("plans", {})
        configuration = plans.get("configurations", {}).get(content.get("configuration_name"), plans)
        shape = content.get("shape", {}).get("encoder") or configuration.get("network")
        try:
            topology = Topology.model_validate(shape)
        except ValidationError as error:
            raise AutosegError(f"{path} has no encoder that a classifier can start from. Give a model of "
                               "segmentations.") from error
        if topology.name not in ENCODERS:
            raise AutosegError(f"{path} has the network {topology.name}, but a classifier can start from the encoder of "
                               f"{' or '.join(ENCODERS)} alone.")
        if list(plans.get("transpose", (0, 1, 2))) != [0, 1, 2]:
            raise AutosegError(f"{path} sees volumes in another order of axes ({plans['transpose']}) than a classifier does, "
                               "which cannot start from it.")
        spacing = configuration.get("spacing_mm")
        return cls(model, topology, None if spacing is None else tuple(map(float, spacing)))

    def require_fitting(self, encoder: Topology) -> None:
        """Raise AutosegError where a classifier's encoder is of another shape."""
        keys = ("name", "features", "strides", "kernel_sizes", "convs_per_stage", "norm")
        if other := [key for key in keys if getattr(self.topology, key) != getattr(encoder, key)]:
            raise AutosegError(f"The encoder of {self.model.shown} has another {', '.join(other)} than the plan's. Plan with "
                               "the same --from, and leave out settings of the network.")

    def fill(self, network: Classifier, fold: str) -> int:
        """Give every branch the encoder's weights, of the same fold where the model has it, else of its first; return how many
        tensors could not be taken, as the images have other channels."""
        files = checkpoint_files(self.model, None, "final")
        weights = part_of(read_weights(files.get(fold) or next(iter(files.values()))), NETWORK)
        prefix = ENCODER if any(name.startswith(ENCODER) for name in weights) else f"answer.{ENCODER}"
        its = {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}
        left_out = 0
        for branch in network.branches:
            own = branch.encoder.state_dict()
            taken = {name: values for name, values in its.items() if name in own and own[name].shape == values.shape}
            left_out = len(own) - len(taken)
            with torch.no_grad():
                branch.encoder.load_state_dict(own | taken)
        return left_out
