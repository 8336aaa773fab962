"""UNet 3+ (Huang et al. 2020): every decoder level takes from every scale; 2D and 3D, with strides and kernels of any plan."""

from __future__ import annotations

import torch
from torch import nn

from autoseg.networks.blocks import ConvNormAct, ConvStage, Logits, head, initialize_he, max_pool
from autoseg.networks.upsampled import convolve_upsampled
from autoseg.plan import Norm, Topology

RELU = 0.0  # negative slope
ABSENT = 10.0  # what is subtracted from an absent class's logits: about e^10 in odds, and finite in any mean


class UNet3Plus(nn.Module):
    """Full-scale skips: each decoder level fuses all encoder levels at or above its resolution and all levels below it.

    Level 0 is the finest; the last one, the bottleneck, is the encoder's last stage and the decoder's first level. Finer levels
    are max-pooled, coarser ones upsampled linearly, and each goes through a convolution of its own to C = `features[0]`
    channels; together they are `stages` · C channels, which `topology.convs_up[level]` convolutions fuse. Every convolution
    but the heads is followed by norm and ReLU. Heads are convolutions with the level's kernel.

    With `classification_guided`, the bottleneck tells which classes the patch holds (dropout 0.5, 1-convolution, maximum over
    space). In prediction, the logits of a class with a probability below one half are lowered by `ABSENT`. That is right for
    softmax and for regions alike: background, too, is a class that a patch holds or not.

    forward: (B, channels_in, *spatial) float -> list of logits (B, classes, *spatial_i), finest first; in training mode with
    deep supervision one of each level, the bottleneck included, else the finest alone. In training mode with
    `classification_guided` the presence of each class, logits (B, classes, 1, ...), is the last entry. `spatial` must be
    divisible by the product of the strides along each axis.
    """

    def __init__(self, topology: Topology, channels_in: int, classes: int) -> None:
        super().__init__()
        features, kernels, norm, stages = topology.features, topology.kernel_sizes, topology.norm, topology.stages
        self.strides = topology.strides
        inputs = (channels_in, *features[:-1])
        self.encoder = nn.ModuleList(
            ConvStage(*arguments, norm=norm, negative_slope=RELU)
            for arguments in zip(inputs, features, kernels, [None] * stages, topology.convs_per_stage, strict=True)
        )
        fused = stages * features[0]
        levels = range(stages - 1)  # finest first
        self.skips = nn.ModuleList(  # skips[level][source]
            nn.ModuleList(
                FullScaleSkip(channels, features[0], kernels[level], norm)
                for channels in (*features[:level + 1], *(fused,) * (stages - 2 - level), features[-1])
            )
            for level in levels
        )
        self.decoder = nn.ModuleList(
            ConvStage(fused, fused, kernels[level], None, topology.convs_up[level], norm, RELU) for level in levels
        )
        channels_of_levels = [*(fused for _ in levels), features[-1]]
        heads = zip(channels_of_levels, kernels, strict=True)
        self.heads = nn.ModuleList(head(channels, classes, kernel) for channels, kernel in heads)
        if not topology.deep_supervision:
            del self.heads[1:]
        self.presence = PresenceOfClasses(features[-1], classes, topology.dimensions) if topology.classification_guided else None
        initialize_he(self, RELU)

    def forward(self, x: torch.Tensor) -> Logits:
        *by_level, (*_, bottleneck) = self._encode(x)
        levels = [bottleneck]  # the decoder's levels so far, finest first
        for level in reversed(range(len(self.decoder))):
            sources = [*by_level.pop(), *levels]  # popped, so that prediction can free them
            levels.insert(0, self.decoder[level](_from_all_scales(self.skips[level], sources)))
            del sources
        heads = self.heads if self.training else self.heads[:1]
        logits = [head(level) for head, level in zip(heads, levels, strict=False)]
        if self.presence is None:
            return logits
        present = self.presence(bottleneck)
        return [*logits, present] if self.training else [without_absent(logits[0], present)]

    def _encode(self, x: torch.Tensor) -> list[list[torch.Tensor]]:
        """Return for each stage all stages so far, finest first, at this stage's resolution."""
        so_far: list[torch.Tensor] = []
        by_level = []
        for stage, stride in zip(self.encoder, self.strides, strict=True):
            so_far = [max_pool(finer, stride) for finer in so_far]
            so_far.append(stage(so_far[-1] if so_far else x))
            by_level.append(so_far)
        return by_level


class FullScaleSkip(nn.Module):
    """A ConvNormAct of a source at `size`, to which it is upsampled linearly where it is coarser."""

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        self.convolution, self.norm, self.activation = ConvNormAct(channels_in, channels_out, kernel, None, norm, RELU)

    def forward(self, source: torch.Tensor, size: torch.Size) -> torch.Tensor:
        same_size = source.shape[2:] == size
        convolved = self.convolution(source) if same_size else convolve_upsampled(self.convolution, source, size)
        activated: torch.Tensor = self.activation(self.norm(convolved))
        return activated


def _from_all_scales(skips: nn.Module, sources: list[torch.Tensor]) -> torch.Tensor:
    """Return what a decoder level fuses, at the resolution of the first source: (B, stages · C, *s)."""
    size = sources[0].shape[2:]
    return torch.cat([skip(source, size) for skip, source in zip(skips.children(), sources, strict=True)], dim=1)


class PresenceOfClasses(nn.Module):
    """A head that tells which classes a patch holds: (B, C, *s) -> logits (B, classes, 1, ...)."""

    def __init__(self, channels_in: int, classes: int, dimensions: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.head = head(channels_in, classes, (1,) * dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        evidence: torch.Tensor = self.head(self.dropout(x))
        return evidence.amax(dim=tuple(range(2, x.ndim)), keepdim=True)


def without_absent(logits: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
    """Lower the logits (B, K, *s) of absent classes by `ABSENT`. presence: logits (B, K, 1, ...)."""
    return logits - ABSENT * (presence < 0).to(logits.dtype)
