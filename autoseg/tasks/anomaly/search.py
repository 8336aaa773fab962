"""The closest slice that a generator knows: a search for its latent vector (AnoGAN; Schlegl et al. 2017).

    z  ->  G(z)  ->  (1 - λ) Σ|x - G(z)|  +  λ Σ|f(x) - f(G(z))|  ->  its gradient moves z        f: a layer of the discriminator

All slices of a case are searched at once. Each has its own vector, its own state of Adam and its own end: one that no longer
improves leaves the batch, so that the others go on for less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from autoseg.bounds import Precision
from autoseg.device import autocast, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.model import GanNetworks
from autoseg.tasks.anomaly.options import SearchSettings

Progress = Callable[[float], None]  # called with the share of the search that is done, 0 to 1

VALUES_AT_ONCE = 2**20  # values of slices that are searched as one batch: 256 of 64 × 64 pixels, 16 of 256 × 256
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam (Kingma and Ba 2015)


@dataclass(frozen=True)
class Found:
    """The result of a search for N slices (C, S, S), in their order.

    score: (N,) float32, (1 - λ) residual + λ discrimination. residual: (N,), Σ|x - G(z)| over channels and pixels.
    discrimination: (N,), Σ|f(x) - f(G(z))|. generated: (N, C, S, S) float32, G(z), -1 to 1. maps: (N, S, S) float32, mean of
    |x - G(z)| over the channels, 0 to 2. steps: (N,) int64, updates of the latent vector, in all restarts together.
    """

    score: np.ndarray
    residual: np.ndarray
    discrimination: np.ndarray
    generated: np.ndarray
    maps: np.ndarray
    steps: np.ndarray


def search(
    networks: GanNetworks, slices: torch.Tensor, settings: SearchSettings, seed: int, progress: Progress | None = None,
    positions: Sequence[int] | None = None, precision: Precision = "auto",
) -> Found:
    """Find the best latent vector that is seen for each slice, and its scores, computed in float32.

    slices: (N, C, S, S) float32, N at least 1, -1 to 1, on the networks' device. positions: of the slices in their case; None for
    0 to N - 1. A random first proposal depends on the seed, the restart and the slice's position, and on nothing else.
    precision: of the convolutions in the search; "auto" is bfloat16 on a CPU that has it, else float32.
    Raises AutosegError where settings ask for an encoder that there is none of.
    """
    if settings.start == "encoder" and networks.encoder is None:
        raise AutosegError("start=encoder: this detector was trained without an encoder. Take --set start=random.")
    numbers = range(len(slices)) if positions is None else positions
    at_once = max(1, VALUES_AT_ONCE // slices[0].numel())
    found: list[Found] = []
    for first in range(0, len(slices), at_once):
        part = slices[first: first + at_once]
        report = share_of(progress, first / len(slices), len(part) / len(slices))
        found.append(_Search(networks, part, settings, precision).run(seed, numbers[first: first + at_once], report))
    return Found(*(np.concatenate([getattr(part, field.name) for part in found]) for field in fields(Found)))


@dataclass
class _Batch:
    """The slices whose search goes on. Row i of each tensor is of the slice `rows[i]`.

    latent: (B, L) as it is now. best, lowest: the vector of the lowest loss that was seen, and this. mark: the loss when it last
    improved enough; since: updates from then on. first, second: moments of Adam. slices, features: what is searched for.
    """

    rows: torch.Tensor
    latent: torch.Tensor
    best: torch.Tensor
    lowest: torch.Tensor
    mark: torch.Tensor
    since: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    slices: torch.Tensor
    features: torch.Tensor

    @classmethod
    def at(cls, latent: torch.Tensor, slices: torch.Tensor, features: torch.Tensor) -> _Batch:
        """Begin with all slices, at their first proposals."""
        count = len(latent)
        return cls(
            rows=torch.arange(count, device=latent.device), latent=latent, best=latent.clone(),
            lowest=latent.new_full((count,), torch.inf), mark=latent.new_full((count,), torch.inf),
            since=torch.zeros(count, dtype=torch.int64, device=latent.device), first=torch.zeros_like(latent),
            second=torch.zeros_like(latent), slices=slices, features=features)

    def note(self, loss: torch.Tensor, tolerance: float) -> None:
        """Remember what is best so far. loss: (B,), of `latent`."""
        is_lower = loss < self.lowest
        self.best = torch.where(is_lower[:, None], self.latent, self.best)
        self.lowest = torch.where(is_lower, loss, self.lowest)
        has_improved = loss < self.mark * (1 - tolerance)
        self.mark = torch.where(has_improved, loss, self.mark)
        self.since = torch.where(has_improved, 0, self.since + 1)

    def update(self, gradient: torch.Tensor, step: int, settings: SearchSettings) -> None:
        """Do the update number `step`, from 1, of Adam (Kingma and Ba 2015). gradient: (B, L)."""
        self.first = BETAS[0] * self.first + (1 - BETAS[0]) * gradient
        self.second = BETAS[1] * self.second + (1 - BETAS[1]) * gradient.square()
        mean, scale = self.first / (1 - BETAS[0] ** step), (self.second / (1 - BETAS[1] ** step)).sqrt()
        self.latent = self.latent - settings.search_rate * mean / (scale + EPSILON)
        if settings.clip_latent:
            self.latent = self.latent.clamp(-1, 1)

    def part(self, chosen: torch.Tensor) -> _Batch:
        """Return the rows that are chosen. chosen: (B,) bool."""
        return _Batch(*(getattr(self, field.name)[chosen] for field in fields(self)))


class _Search:
    """A search for slices that fit into memory together."""

    def __init__(self, networks: GanNetworks, slices: torch.Tensor, settings: SearchSettings, precision: Precision) -> None:
        self.networks, self.settings = networks, settings
        self.slices = slices.contiguous(memory_format=memory_format(slices.device, dimensions=2))
        self.dtype = _dtype_of_search(precision, slices.device)
        with torch.no_grad():
            self.features = networks.discriminator.features(self.slices)

    def run(self, seed: int, positions: Sequence[int], progress: Progress | None) -> Found:
        share = 1 / self.settings.restarts
        found = [self._restart(seed, restart, positions, share_of(progress, restart * share, share))
                 for restart in range(self.settings.restarts)]
        best = np.argmin([one.score for one in found], axis=0)
        chosen = {field.name: np.stack([getattr(one, field.name) for one in found])[best, np.arange(len(best))]
                  for field in fields(Found)}
        return Found(**{**chosen, "steps": np.sum([one.steps for one in found], axis=0)})

    def _restart(self, seed: int, restart: int, positions: Sequence[int], progress: Progress | None) -> Found:
        latent, steps = self._descend(self._proposal(seed, restart, positions), progress)
        if progress is not None:
            progress(1.0)
        return self._scored(latent, steps)

    def _proposal(self, seed: int, restart: int, positions: Sequence[int]) -> torch.Tensor:
        """Return where the search begins, (N, L): at what the encoder says the first time, else anywhere between -1 and 1."""
        if restart == 0 and self.networks.encoder is not None and self.settings.start != "random":
            with torch.no_grad():
                return self.networks.encoder(self.slices)  # type: ignore[no-any-return]
        drawn = [np.random.default_rng([seed, restart, position]).uniform(-1, 1, self.networks.generator.latent)
                 for position in positions]
        return torch.tensor(np.array(drawn), dtype=torch.float32, device=self.slices.device)

    def _descend(self, proposal: torch.Tensor, progress: Progress | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best vectors (N, L) from one proposal on, and updates (N,), once all have had theirs or improve no more."""
        settings = self.settings
        batch = _Batch.at(proposal, self.slices, self.features)
        latent, steps = proposal.clone(), torch.full_like(batch.rows, settings.search_steps)
        for step in range(1, settings.search_steps + 1):
            gradient = self._look(batch, with_gradient=True)
            goes_on = batch.since < settings.patience
            if not goes_on.all():
                ended = batch.part(~goes_on)
                latent[ended.rows], steps[ended.rows] = ended.best, step - 1
                batch, gradient = batch.part(goes_on), gradient[goes_on]
            if not len(batch.rows):
                return latent, steps
            batch.update(gradient, step, settings)
            if progress is not None:
                progress(step / settings.search_steps)
        self._look(batch, with_gradient=False)
        latent[batch.rows] = batch.best
        return latent, steps

    def _look(self, batch: _Batch, with_gradient: bool) -> torch.Tensor:
        """Note the loss; return its gradient (B, L), or nothing of use."""
        latent = batch.latent.detach().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient), autocast(latent.device, self.dtype):
            generated = self.networks.generator(latent)
            losses = _distance(batch.slices, generated) * (1 - self.settings.lambda_)
            if self.settings.lambda_:
                features = self.networks.discriminator.features(generated)
                losses = losses + _distance(batch.features, features) * self.settings.lambda_
        batch.note(losses.detach(), self.settings.tolerance)
        return torch.autograd.grad(losses.sum(), latent)[0] if with_gradient else latent

    def _scored(self, latent: torch.Tensor, steps: torch.Tensor) -> Found:
        with torch.no_grad():
            generated = self.networks.generator(latent)
            residual = _distance(self.slices, generated)
            discrimination = _distance(self.features, self.networks.discriminator.features(generated))
            maps = (self.slices - generated).abs().mean(1)
        score = (1 - self.settings.lambda_) * residual + self.settings.lambda_ * discrimination
        values = (score, residual, discrimination, generated, maps, steps)
        return Found(*(value.contiguous().cpu().numpy() for value in values))


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return (B,): the sum of the absolute differences of each row."""
    return (one - other).abs().flatten(1).sum(1, dtype=torch.float32)


def _dtype_of_search(precision: Precision, device: torch.device) -> torch.dtype:
    if precision == "auto" and device.type != "cpu":
        return torch.float32
    return resolve_precision(precision, device)


def share_of(progress: Progress | None, start: float, share: float) -> Progress | None:
    """Return what reports a part of the work that begins at `start` as progress of the whole."""
    return None if progress is None else lambda done: progress(start + share * done)
