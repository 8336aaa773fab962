"""Settings of an anomaly detector's training: the GAN's, and those of the search that scores with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.bounds import Features, Many, Precision, Rate
from autoseg.tasks.anomaly.options import SearchSettings
from autoseg.trainers.settings import TrainingSettings


class AnomalySettings(TrainingSettings, SearchSettings):
    """Settings of the recipe `anogan` (Schlegl et al. 2017; DCGAN, Radford et al. 2016)."""

    epochs: Many = Field(100, description="at most; optimizer steps are epochs × iterations")
    iterations: Many = Field(100, description="optimizer steps per epoch")
    precision: Precision = Field(
        "auto", description="of matrix products; auto is bfloat16 where the device has it, else float32; no float16")
    batch_size: int = Field(64, ge=2, le=2**16, description="slices per step")

    conv_layers: int | None = Field(
        None, ge=1, le=8,
        description="that halve the resolution, or double it, in each network; none for as many as lead to 4 pixels")
    latent: Features = Field(100, description="entries of a latent vector")
    features: Features = Field(
        32, description="channels of the finest hidden layer; each coarser one has twice as many, at most 8 times")

    learning_rate: Rate = Field(2e-4, description="of generator, discriminator and encoder (Radford et al. 2016)")
    discriminator_rate: Rate | None = Field(
        None, description="another one for the discriminator (Heusel et al. 2017); none for learning_rate")
    adam_beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (Radford et al. 2016)")
    label_smoothing: float = Field(
        0.1, ge=0, lt=0.5,
        description="real slices count as 1 minus this for the discriminator, one-sided (Salimans et al. 2016)")
    discriminator_augmentation: tuple[Literal["intensity", "translation", "cutout"], ...] = Field(
        ("intensity", "translation"), description="of all that the discriminator sees, real and generated, which small datasets "
        "need (Zhao et al. 2020); empty for none")
    spectral_norm: bool = Field(
        False, description="spectral norm instead of batch norm in the discriminator (Miyato et al. 2018)")
    average: float = Field(
        0.999, ge=0, lt=1, description="share that the moving average of the generator's weights keeps per step; the average is "
        "what generates in the end (Yazici et al. 2019); 0 for the last weights")

    encoder: bool = Field(
        False, description="train an encoder after the GAN, which proposes where the search begins (izi_f of f-AnoGAN; Schlegl "
        "et al. 2019)")
    encoder_share: float = Field(0.2, gt=0, lt=1, description="share of the training, at its end, that is the encoder's")
    encoder_feature_weight: float = Field(
        1.0, ge=0, description="kappa of izi_f: weight of the discriminator's features against the residual")

    sample_epochs: Many = Field(10, description="epochs between two pictures of what fixed latent vectors generate")
    validation_slices: Many | None = Field(
        32, description="slices of each validation case that are scored, evenly spread; none for all")
