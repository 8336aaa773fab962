"""What each kind of network makes of a pooling: features and convolutions by stage."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.errors import AutosegError
from autoseg.plan import Topology
from autoseg.topology.pooling import Pooling

BASE_FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}
CONVS_PER_STAGE = 2


def unet_topology(pooling: Pooling, base_features: int = BASE_FEATURES) -> Topology:
    """A plain U-Net over this pooling: `base_features`, doubled at each stage up to 320 (3D) or 512 (2D)."""
    return Topology(
        features=features_by_stage(pooling, base_features),
        strides=pooling.strides,
        kernel_sizes=pooling.kernel_sizes,
        convs_per_stage=(CONVS_PER_STAGE,) * pooling.stages,
    )


def features_by_stage(pooling: Pooling, base_features: int) -> tuple[int, ...]:
    """Doubled at each stage, up to 320 in 3D and 512 in 2D (Isensee et al. 2021)."""
    most = MOST_FEATURES[len(pooling.patch_size)]
    return tuple(min(most, base_features * 2**stage) for stage in range(pooling.stages))


SHAPES: dict[str, Callable[[Pooling, int], Topology]] = {"unet": unet_topology}


def topology_of(network: str, pooling: Pooling, base_features: int = BASE_FEATURES) -> Topology:
    """The shape of the network of this name over a pooling. Raises AutosegError that lists the names there are."""
    if network not in SHAPES:
        raise AutosegError(f'There is no network "{network}". There are: {", ".join(SHAPES)}.')
    return SHAPES[network](pooling, base_features)
