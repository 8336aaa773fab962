"""Settings of a classifier's training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.bounds import FullPath, Many, Rate
from autoseg.plan import Norm
from autoseg.tasks.classification.network import Pooling
from autoseg.tasks.classification.plan import Loss, Sampling
from autoseg.trainers.settings import BatchSettings, OptimizerSettings


class ClassificationSettings(BatchSettings, OptimizerSettings):
    """Settings of the recipe `classifier`."""

    pretrained: FullPath | None = Field(
        None, description="--from: a trained model's folder, whose encoder the training starts from; none for random weights")
    epochs: Many = Field(24, description="at most; by default the plan's; optimizer steps are epochs × iterations")
    iterations: Many = Field(25, description="optimizer steps per epoch")
    batch_size: int | None = Field(None, ge=2, le=2**16, description="cases per step; none for the plan's")

    network: Literal["unet", "resunet"] | None = Field(None, description="whose encoder is used; none for the plan's")
    base_features: int | None = Field(None, ge=1, le=320, description="channels of the finest stage; none for the plan's")
    norm: Norm | None = Field(None, description="none for the plan's")
    pooling: Pooling = Field("both", description="over the voxels: their mean, maximum, or both")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of the pooled features that is left out in training")
    covariates: bool = Field(True, description="see the planned covariates; false for images alone")
    hidden: int = Field(16, ge=1, le=4096, description="width of the covariates' network")
    images_alone: bool = Field(
        True, description="where there are covariates, train a second network beside it that sees images alone, in the same "
                          "folds, so that the report says what either adds; doubles the time")

    sampling: Sampling | None = Field(
        None, description="draw cases evenly, or each class equally often; none for what the plan has by the counts")
    loss: Loss | None = Field(
        None, description="cross entropy, weighted by how rare a class is, or focal (Lin et al. 2017); none for the plan's")
    focal_gamma: float = Field(2.0, ge=0, le=10, description="of loss=focal: how much less a well predicted case counts")
    prior: bool = Field(
        True, description="bring probabilities back to the true frequencies of the classes where sampling or weights have "
                          "changed them (Saerens et al. 2002)")

    optimizer: Literal["sgd", "adam"] = Field("adam", description="SGD with Nesterov momentum, or Adam")
    learning_rate: Rate | None = Field(1e-3, description="at the start, after the warm-up")
    warmup: float | None = Field(
        0.05, ge=0, lt=1, description="share of the training over which the rate rises linearly from zero")
    weight_decay: float = Field(1e-4, ge=0, le=100, description="by which the optimizer pulls weights towards zero")

    early: float = Field(
        0.0, ge=0, le=0.5, description="share of the training cases that is not trained on, but chooses the epoch whose weights "
                                       "are kept, by its loss; the fold's validation cases choose nothing. 0 keeps the last "
                                       "epoch's")
    augmentation: Literal["default", "elastic", "none"] = Field(
        "default", description="as of segmentations in nnU-Net, elastic deformation instead, or none")
    mirror: bool = Field(True, description="mirror cases along each axis at random; false where a class is a side")
