"""AnoGAN's training (Schlegl et al. 2017): a DCGAN on normal slices, then the encoder of f-AnoGAN where it is asked for."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from autoseg.device import autocast, resolve_precision, to_device
from autoseg.tasks.anomaly.dcgan import Discriminator, Encoder, GanShape, Generator, require_buildable
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.trainers.anomaly.augmentation import augment
from autoseg.trainers.anomaly.settings import AnomalySettings
from autoseg.trainers.gradients import CheckedSteps

ADAM_BETA2 = 0.999
SMALLEST_MAP = 4  # pixels to which DCGAN's networks bring an image down


def gan_shape(plans: SlicePlans, settings: AnomalySettings) -> GanShape:
    """Return the shape of the networks for these slices.

    Raises AutosegError where the slices cannot be halved as often as the settings say.
    """
    layers = settings.conv_layers or (plans.image_size // SMALLEST_MAP).bit_length() - 1
    shape = GanShape(image_size=plans.image_size, channels=plans.channels, latent=settings.latent, conv_layers=layers,
                     features=settings.features)
    require_buildable(shape)
    return shape


def draw_latent(count: int, latent: int, device: torch.device, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return (count, latent) float32, even between -1 and 1 (Radford et al. 2016)."""
    return (torch.rand(count, latent, generator=generator) * 2 - 1).to(device)


class GanLearner:
    """A GAN in training, and after its share of the training its encoder (see `autoseg.trainers.loop.Learner`).

    modules: "generator" is the moving average that is used in the end.
    """

    def __init__(self, shape: GanShape, settings: AnomalySettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device, self.shape = settings, device, shape
        self.dtype = resolve_precision(settings.precision, device)
        if self.dtype == torch.float16:  # "auto" on CUDA; a GAN's losses need the range of bfloat16
            self.dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        self.generator = Generator(shape)
        self.discriminator = Discriminator(shape, settings.spectral_norm)
        to_device(self.generator, device, 2)
        to_device(self.discriminator, device, 2)
        self.averaged = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.modules: dict[str, nn.Module] = {"generator": self.averaged, "discriminator": self.discriminator}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": self._adam(self.generator, settings.learning_rate),
            "discriminator": self._adam(self.discriminator, settings.discriminator_rate or settings.learning_rate)}
        if settings.encoder:
            self.modules["encoder"] = to_device(Encoder(shape), device, 2)
            self.optimizers["encoder"] = self._adam(self.modules["encoder"], settings.learning_rate)
        self.steps, self.checked = 0, CheckedSteps()
        self.is_encoders_turn = False

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), rate, (self.settings.adam_beta1, ADAM_BETA2))

    def set_steps(self, steps: int) -> dict[str, Any]:
        """Return nothing: all settings of a GAN are its own, however long it is trained."""
        return {}

    def set_progress(self, progress: float) -> None:
        """Leave the rates as they are; the last share of the training is the encoder's, where there is one.

        Once it has begun it goes on: with max_hours, progress falls a little where steps turn out to be quick.
        """
        if self.settings.encoder:
            has_begun = bool(self.optimizers["encoder"].state)
            self.is_encoders_turn = has_begun or progress >= 1 - self.settings.encoder_share

    def end_epoch(self, training_loss: float) -> None:
        """Do nothing: a GAN's losses do not say how good it is."""

    @property
    def is_exhausted(self) -> bool:
        """Return False: a GAN is trained to its last epoch."""
        return False

    def training_step(self, batch: torch.Tensor) -> dict[str, float]:
        """Make a step of the discriminator and one of the generator, or one of the encoder. batch: (B, C, S, S) float32.

        Returns "loss" (of all networks trained), each network's own, and D(x) and D(G(z)), means between 0 and 1.
        """
        values = self._encoder_step(batch) if self.is_encoders_turn else self._gan_step(batch)
        return values | self.checked.take()

    def validation_step(self, batch: torch.Tensor) -> tuple[dict[str, float], torch.Tensor]:
        """Raise an error: a GAN has no loss to be validated; its fold is validated by the scores."""
        raise NotImplementedError

    def _gan_step(self, real: torch.Tensor) -> dict[str, float]:
        self.generator.train()
        self.discriminator.train().requires_grad_(True)
        with autocast(self.device, self.dtype):
            generated = self.generator(draw_latent(len(real), self.shape.latent, self.device)).float()
        of_real, of_generated = self._judge(real), self._judge(generated.detach())
        wanted = torch.full_like(of_real, 1 - self.settings.label_smoothing)
        bce = functional.binary_cross_entropy_with_logits
        discriminator_loss = bce(of_real, wanted) + bce(of_generated, torch.zeros_like(of_generated))
        self._step("discriminator", discriminator_loss)
        self.discriminator.requires_grad_(False)
        judged = self._judge(generated)
        generator_loss = bce(judged, torch.ones_like(judged))
        self._step("generator", generator_loss)
        self._average()
        self.steps += 1
        return {
            "loss": discriminator_loss.item() + generator_loss.item(), "generator_loss": generator_loss.item(),
            "discriminator_loss": discriminator_loss.item(), "D(x)": of_real.detach().sigmoid().mean().item(),
            "D(G(z))": of_generated.detach().sigmoid().mean().item()}

    def _judge(self, images: torch.Tensor) -> torch.Tensor:
        """Return the discriminator's logits (B,) float32 of augmented images."""
        with autocast(self.device, self.dtype):
            logits: torch.Tensor = self.discriminator(augment(images, self.settings.discriminator_augmentation))
        return logits.float()

    def _encoder_step(self, real: torch.Tensor) -> dict[str, float]:
        """Make a step of izi_f of f-AnoGAN: mean square of x - G(E(x)), and of the discriminator's features of the two."""
        encoder = self.modules["encoder"].train()
        discriminator = self.discriminator.eval().requires_grad_(False)
        with autocast(self.device, self.dtype):
            generated = self.averaged(encoder(real))
            wanted, found = (discriminator.features(images).float() for images in (real, generated))
        residual = functional.mse_loss(generated.float(), real)
        loss = residual + self.settings.encoder_feature_weight * functional.mse_loss(found, wanted)
        self._step("encoder", loss)
        return {"loss": loss.item(), "encoder_loss": loss.item()}

    def _step(self, network: str, loss: torch.Tensor) -> None:
        self.optimizers[network].zero_grad(set_to_none=True)
        loss.backward()
        self.checked.step(self.optimizers[network])

    @torch.no_grad()
    def _average(self) -> None:
        """Update the moving average. It follows quickly at first, so that the weights it began with are forgotten."""
        keep = min(self.settings.average, (1 + self.steps) / (10 + self.steps))
        for mine, its in zip((*self.averaged.parameters(), *self.averaged.buffers()),
                             (*self.generator.parameters(), *self.generator.buffers()), strict=True):
            if mine.is_floating_point():
                mine.lerp_(its, 1 - keep)
            else:
                mine.copy_(its)

    @torch.no_grad()
    def samples(self, count: int) -> torch.Tensor:
        """Return what fixed latent vectors generate now, (count, C, S, S) float32 between -1 and 1, on the CPU."""
        fixed = torch.Generator().manual_seed(self.settings.seed)
        latent = draw_latent(count, self.shape.latent, self.device, fixed)
        images: torch.Tensor = self.averaged(latent).float().cpu()
        return images

    def state_dict(self) -> dict[str, Any]:
        """Return weights of all networks, optimizers, and the number of steps."""
        networks = {**self.modules, "last_generator": self.generator}
        return {
            "modules": {name: module.state_dict() for name, module in networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, on this device or on another one."""
        for name, module in {**self.modules, "last_generator": self.generator}.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.steps = int(state["steps"])
