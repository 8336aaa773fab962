"""Checkpoints of nnU-Net v2, read without running what is in them."""

from __future__ import annotations

from _codecs import encode  # protocol 2 makes bytes with it
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError, some
from autoseg.inference.checkpoints import Weights
from autoseg.plan import Topology
from autoseg.tasks.segmentation.nnunet.weights import their_names, without_copies
from autoseg.torch_archives import TENSORS, DamagedArchiveError, MoreThanValuesError, load_archive

SCALARS = r"numpy\.(_core|core)\.multiarray\.scalar|numpy\.dtype|_codecs\.encode"  # what is in "logging"
PLAIN = r"torch\.(device|Size)|torch\._utils\._rebuild_parameter"
ALLOWED = f"{TENSORS}|{SCALARS}|{PLAIN}"
DTYPES = tuple(getattr(np.dtypes, f"{name}DType") for name in (
    "Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Bool", "Str"))
AGAIN = "Copy it again from where it is whole."


@dataclass(frozen=True)
class NnunetCheckpoint:
    """A checkpoint of nnU-Net's. file: where it lies. weights: by nnU-Net's names, still in the file. configuration, trainer:
    their names. mirror_axes: spatial axes along which prediction may mirror."""

    file: Path
    weights: Mapping[str, torch.Tensor]
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]

    @property
    def has_batch_norm(self) -> bool:
        """Tell whether the network normalizes over the batch."""
        return any(name.endswith(".running_mean") for name in self.weights)

    def for_network(self, network: nn.Module, topology: Topology, labels: Labels) -> Weights:
        """Return the weights in memory, as float32, by the names of our `network`.

        Raises AutosegError where the checkpoint holds those of another network.
        """
        expected, found = network.state_dict(), without_copies(self.weights)
        pairs = their_names(expected, topology)
        unknown = sorted(found.keys() - set(pairs.values()))
        missing = sorted(theirs for theirs in pairs.values() if theirs not in found)
        other = [theirs for ours, theirs in pairs.items()
                 if theirs in found and self.weights[found[theirs]].shape != expected[ours].shape]
        if unknown or missing or other:
            differ = [f"{what} {some(names, 3)}" for what, names in (("lacks", missing), ("has besides", unknown)) if names]
            differ += [f"has {theirs} of shape {tuple(self.weights[found[theirs]].shape)}" for theirs in other[:1]]
            raise AutosegError(
                f"{self.file} (trainer {self.trainer}) does not hold the weights of the network that plans.json and dataset.json "
                f"beside it describe: it {'; '.join(differ)}. autoseg reads nnU-Net's own PlainConvUNet and ResidualEncoderUNet; "
                "a trainer that builds another network can be used in nnU-Net alone.")
        return {ours: _in_memory(self.weights[found[theirs]], expected[ours]) for ours, theirs in pairs.items()}


def _in_memory(theirs: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return theirs.detach().to(like.dtype, copy=True).contiguous()


def read_checkpoint(file: Path) -> NnunetCheckpoint:
    """Return a checkpoint of nnU-Net's. Nothing in the file is run, and its weights stay in the file until they are used.

    Raises AutosegError where the file is damaged, holds other objects than tensors, plain values and numpy's scalars, or is not
    nnU-Net's.
    """
    try:
        content = load_archive(file, torch.device("cpu"), ALLOWED, [*DTYPES, *_scalars()], mapped=True)
    except DamagedArchiveError as error:
        raise AutosegError(f"{file} is damaged, or no checkpoint of torch.save: it cannot be read. {AGAIN}") from error
    except MoreThanValuesError as error:
        what = f"{error} " if str(error) else "other objects than tensors and plain values "
        raise AutosegError(
            f"{file} would run or make {what}when it is loaded, which a model has no need of. It was not loaded, and nothing in "
            "it was run. Do not open it with anything else, unless you trust where it is from.") from error
    return _checked(file, content)


def _scalars() -> list[Any]:
    """Return the functions that make numpy's numbers, with the names that old and new versions of numpy give them."""
    scalar: Any = np.float32(0).__reduce__()[0]
    return [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"), np.dtype, encode]


def _checked(file: Path, content: Any) -> NnunetCheckpoint:
    """Return the parts that prediction needs. Raises AutosegError where one is missing or of another kind."""
    expected = "Expected is a checkpoint_final.pth or checkpoint_best.pth as nnU-Net v2 writes it."
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise AutosegError(f"{file} holds no network_weights. {expected}")
    weights, arguments = content["network_weights"], content.get("init_args")
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()):
        raise AutosegError(f"{file}: network_weights holds more than names and tensors. {expected}")
    configuration = arguments.get("configuration") if isinstance(arguments, dict) else None
    trainer, axes = content.get("trainer_name"), content.get("inference_allowed_mirroring_axes", ())
    if not isinstance(configuration, str) or not isinstance(trainer, str):
        raise AutosegError(f"{file} does not say its configuration (init_args) or its trainer (trainer_name). {expected}")
    if axes is not None and not (isinstance(axes, (tuple, list)) and all(isinstance(axis, int) for axis in axes)):
        raise AutosegError(f"{file}: inference_allowed_mirroring_axes is {axes!r}, expected axes such as (0, 1, 2). {expected}")
    return NnunetCheckpoint(file, weights, configuration, trainer, tuple(axes or ()))
