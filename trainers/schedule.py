"""Length of a training: a number of epochs, or as many as fit into a given time."""

from __future__ import annotations

import time

from autoseg.distributed import world
from autoseg.errors import AutosegError
from autoseg.trainers.settings import TrainingSettings
from autoseg.trainers.settings.by_steps import UNMEASURED
from autoseg.wording import rough_duration

MEASURED_STEPS = 10  # steps of the first epoch that are timed, after UNTIMED_STEPS of warming up
UNTIMED_STEPS = 3
FEWEST_EPOCHS = 20  # epochs are shortened so that at least so many fit: validation and checkpoints need some
SHORTEST_EPOCH = 5
ANNOUNCED_S = 30  # so long are steps measured at most, where they are slow
LONG_S = 2 * 3600  # a training on a CPU that takes longer is announced
MANY_STEPS = 5000  # more take hours on a CPU, as a rule
BOUNDED_BY = "--max-hours fits it into a time; --epochs and --iterations make it shorter."


class Schedule:
    """The length of a training: epochs, iterations per epoch, and the share that is done.

    With `max_hours` the first steps are timed, iterations per epoch are chosen so that at least 20 epochs fit, and
    after each epoch the number of epochs is estimated anew, so that the share reaches 1 when the time is over.

    steps: optimizer steps of the whole training; with `max_hours` as many as the first ones promised. Settings that follow from
    their number are chosen by it. is_measured: whether it is known. elapsed_s: seconds of training before this run of the
    process (where a training continues). reserve: the share of the time that is kept for the validation at the end.
    """

    def __init__(self, settings: TrainingSettings, elapsed_s: float = 0.0, reserve: float = 0.1) -> None:
        self.epochs = settings.epochs
        self.iterations = settings.iterations
        self.most_epochs = settings.epochs
        self.whole_s = None if settings.max_hours is None else settings.max_hours * 3600
        self.seconds = None if self.whole_s is None else self.whole_s * (1 - reserve)
        self.steps = self.epochs * self.iterations if self.whole_s is None else UNMEASURED
        self.started = time.monotonic() - elapsed_s
        self._first_step: float | None = None
        self._begun: float | None = None
        self._steps_here = 0
        self._told = False
        self.is_measured = self.whole_s is None
        self._shown = 0.0

    @property
    def elapsed_s(self) -> float:
        """Return the seconds of training so far, earlier runs of the process included."""
        return time.monotonic() - self.started

    def progress(self, epoch: int, iteration: int) -> float:
        """Return the share of all optimizer steps that lie before this one, 0..1."""
        return min(1.0, (epoch * self.iterations + iteration) / (self.epochs * self.iterations))

    def shown(self, epoch: int, iteration: int) -> float:
        """Return the share to be shown, 0..1, which never falls: of the time where that ends the training, else of the steps."""
        share = self.progress(epoch, iteration)
        if self.whole_s is not None and not (self.is_measured and self.epochs == self.most_epochs):
            share = min(1.0, self.elapsed_s / self.whole_s)
        self._shown = max(self._shown, share)
        return self._shown

    def is_epoch_over(self, epoch: int, iteration: int) -> bool:
        """Tell whether the epoch ends before this iteration; in the first epochs of a timed training this measures the steps."""
        if self.seconds is not None and epoch == 0:
            self._require_time(iteration, self.seconds)
            self._measure(iteration, self.seconds)
            self._follow_main()
        return iteration >= self.iterations

    def begin(self) -> None:
        """Take note that the first step of this run of the process begins."""
        self._begun = time.monotonic()

    def _require_time(self, iteration: int, seconds: float) -> None:
        """Raise AutosegError where the first step took more than all the time that was given."""
        if iteration != 1 or self._begun is None or self.elapsed_s <= seconds:
            return
        raise AutosegError(
            f"--max-hours leaves {_short(seconds)} for training, but one step took "
            f"{_short(time.monotonic() - self._begun)}: nothing would be learned. Give more hours, make a step cheaper "
            "(a smaller patch_size or batch_size with --set), or leave --max-hours out.")

    def before_cpu(self) -> str | None:
        """Return what to say before an untimed training of many steps on a CPU: nobody knows yet how long they take."""
        if self.seconds is not None or self.epochs * self.iterations < MANY_STEPS:
            return None
        return (f"There is no GPU in use: {self.epochs} epochs of {self.iterations} steps take hours or days on a CPU, and an "
                f"estimate follows after the first steps. {BOUNDED_BY}")

    def long_without_gpu(self, epoch: int, iteration: int) -> str | None:
        """Return, once, after some steps of an untimed training on a CPU, an estimate of its length if that is long."""
        if self.seconds is not None or self._told:
            return None
        done = epoch * self.iterations + iteration
        self._steps_here += 1
        if self._steps_here <= UNTIMED_STEPS:
            self._first_step = time.monotonic()
        measured, now = self._steps_here - UNTIMED_STEPS, time.monotonic()
        if self._first_step is None or measured < 1 or (measured < MEASURED_STEPS and now - self._first_step < ANNOUNCED_S):
            return None
        self._told = True
        left_s = (now - self._first_step) / measured * (self.epochs * self.iterations - done)
        if left_s < LONG_S:
            return None
        return (f"There is no GPU in use: on this CPU the training takes about {rough_duration(left_s)} (estimated from its "
                f"first steps; {self.epochs} epochs of {self.iterations} steps). {BOUNDED_BY}")

    def _measure(self, iteration: int, seconds: float) -> None:
        if self.is_measured:
            return
        if iteration == UNTIMED_STEPS:
            self._first_step = time.monotonic()
        if self.elapsed_s >= seconds:  # there is time for a few steps, and not for an epoch
            self.iterations, self.epochs, self.is_measured = iteration, 1, True
        if iteration != UNTIMED_STEPS + MEASURED_STEPS or self._first_step is None:
            return
        self.is_measured = True
        step_s = (time.monotonic() - self._first_step) / MEASURED_STEPS
        steps = (seconds - self.elapsed_s) / (step_s * 1.15) + iteration  # online validation takes about 15 %
        self.iterations = max(SHORTEST_EPOCH, iteration, min(self.iterations, int(steps / FEWEST_EPOCHS)))
        self.epochs = max(1, min(self.most_epochs, int(steps / self.iterations)))
        self.steps = self.epochs * self.iterations

    def end_epoch(self, epoch: int, epoch_s: float) -> None:
        """Estimate the number of epochs anew from the time that this one took."""
        if self.seconds is not None:
            more = int(max(0.0, self.seconds - self.elapsed_s) / epoch_s)
            self.epochs = max(epoch + 1, min(self.most_epochs, epoch + 1 + more))
            self._follow_main()

    def _follow_main(self) -> None:
        """Take over what the main process has measured: no two may disagree on how long the training is."""
        self.epochs, self.iterations, self.steps, self.is_measured = world().tell(
            [self.epochs, self.iterations, self.steps, self.is_measured])

    def state_dict(self) -> dict[str, float]:
        """Return plain values from which a training can continue."""
        return {"epochs": self.epochs, "iterations": self.iterations, "steps": self.steps, "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from what `state_dict` returned."""
        self.epochs, self.iterations = int(state["epochs"]), int(state["iterations"])
        self.steps = int(state.get("steps", self.epochs * self.iterations))
        self.started, self.is_measured = time.monotonic() - state["elapsed_s"], True


def _short(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else rough_duration(seconds)
