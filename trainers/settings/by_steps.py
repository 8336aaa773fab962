"""Optimizer settings that follow from the number of optimizer steps: a short training learns with other ones than a long one.

SGD: rate / (1 - momentum), the length of the step along a gradient that stays the same, is 1 in nnU-Net, and stays so. Momentum
averages over about 1 / (1 - momentum) gradients, 100 in nnU-Net; in a short training over a share of its steps. docs/training.md
tells how the numbers were found.
"""

from __future__ import annotations

STEPS_OF_ONE_GRADIENT = 120  # 1 - momentum is this divided by the number of steps, within the limits
LEAST, MOST = 0.01, 0.3  # of 1 - momentum: nnU-Net's 0.99 for 12000 steps and more, and 0.7 for 400 and fewer
LONG = round(STEPS_OF_ONE_GRADIENT / LEAST)  # steps from which on all is as in nnU-Net
ADAM_STEPS, ADAM_LEAST, ADAM_MOST = 3, 3e-4, 0.01  # Adam's rate is the first divided by the number of steps, within the limits
WARMUP = 0.05  # share of the steps of a training of fewer than LONG steps
UNMEASURED = 1000  # steps assumed before the first ones of a timed training have been measured


def momentum_for(steps: int) -> float:
    """Return the momentum of SGD, to two digits."""
    return round(1 - min(MOST, max(LEAST, STEPS_OF_ONE_GRADIENT / steps)), 2)


def sgd_rate_for(momentum: float) -> float:
    """Return the first rate of SGD with this momentum, at most 0.3."""
    return min(MOST, round(1 - momentum, 6))


def adam_rate_for(steps: int) -> float:
    """Return the first rate of Adam."""
    return float(f"{min(ADAM_MOST, max(ADAM_LEAST, ADAM_STEPS / steps)):.2g}")


def warmup_for(steps: int) -> float:
    """Return the share of the steps over which the rate rises; in long trainings it does not, as in nnU-Net."""
    return WARMUP if steps < LONG else 0.0
