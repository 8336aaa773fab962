"""Names of weights: ours, and those of nnU-Net v2's PlainConvUNet and ResidualEncoderUNet (dynamic_network_architectures)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from autoseg.plan import Topology

PART = {"0": "conv", "1": "norm"}  # of our ConvNorm
CONVOLUTION = {"first": "conv1", "second": "conv2"}  # of a residual block
COPY = re.compile(r"decoder\.encoder\.|.*\.all_modules\.")  # the same tensors again, under other names
WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")  # what distributed and compiled trainings leave before names
PLAIN_STAGE = re.compile(r"^(encoder\.stages\.\d+)\.convs\.")


def their_name(ours: str, topology: Topology) -> str:
    """Return nnU-Net's name of one of our network's weights. Raises ValueError for a network that it does not have."""
    deepest = topology.stages - 2  # they count decoder stages from the coarsest
    if found := re.fullmatch(r"(up|heads)\.(\d+)\.(\w+)", ours):
        kind = {"up": "transpconvs", "heads": "seg_layers"}[found[1]]
        return f"decoder.{kind}.{deepest - int(found[2])}.{found[3]}"
    if found := re.fullmatch(r"decoder\.(\d+)\.(\d+)\.([01])\.(\w+)", ours):
        return f"decoder.stages.{deepest - int(found[1])}.convs.{found[2]}.{PART[found[3]]}.{found[4]}"
    if topology.name == "resunet":
        return _their_residual_name(ours)
    if topology.name == "unet" and (found := re.fullmatch(r"encoder\.(\d+)\.(\d+)\.([01])\.(\w+)", ours)):
        return f"encoder.stages.{found[1]}.0.convs.{found[2]}.{PART[found[3]]}.{found[4]}"
    raise ValueError(f"nnU-Net has no weight like {ours} of {topology.name}")


def _their_residual_name(ours: str) -> str:
    if found := re.fullmatch(r"encoder\.0\.0\.([01])\.(\w+)", ours):
        return f"encoder.stem.convs.0.{PART[found[1]]}.{found[2]}"
    name = re.sub(r"^encoder\.0\.1\.", "encoder.0.", ours)  # the first stage stands behind the stem
    if found := re.fullmatch(r"encoder\.(\d+)\.(\d+)\.(first|second)\.([01])\.(\w+)", name):
        return f"encoder.stages.{found[1]}.blocks.{found[2]}.{CONVOLUTION[found[3]]}.{PART[found[4]]}.{found[5]}"
    if found := re.fullmatch(r"encoder\.(\d+)\.(\d+)\.skip\.(\d+)\.([01])\.(\w+)", name):
        return f"encoder.stages.{found[1]}.blocks.{found[2]}.skip.{found[3]}.{PART[found[4]]}.{found[5]}"
    raise ValueError(f"nnU-Net has no weight like {ours} of a residual encoder")


def their_names(ours: Iterable[str], topology: Topology) -> dict[str, str]:
    """Return each of our names with nnU-Net's. Raises ValueError as `their_name`."""
    return {name: their_name(name, topology) for name in ours}


def without_copies(names: Iterable[str]) -> dict[str, str]:
    """Return the names of a checkpoint by the name that each weight has in a network alone: without wrappers, copies left out."""
    bare = {WRAPPERS.sub("", name): name for name in names}
    return {PLAIN_STAGE.sub(r"\1.0.convs.", short): name for short, name in bare.items() if not COPY.match(short)}


def with_copies(theirs: str) -> list[str]:
    """Return all names under which nnU-Net's checkpoint holds a weight, the one that was given first."""
    again = re.sub(r"\.(conv|norm)\.(\w+)$", lambda found: f".all_modules.{['conv', 'norm'].index(found[1])}.{found[2]}", theirs)
    names = [theirs] if again == theirs else [theirs, again]
    return [*names, *(f"decoder.{name}" for name in names if name.startswith("encoder."))]
