"""The training loop: runs any Learner and names none. Read from top to bottom."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

import torch
from torch import nn

from autoseg.commands import as_flag
from autoseg.console import ShowProgress, show_once_unless_quiet, show_unless_quiet
from autoseg.distributed import world
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.threads import spread_threads
from autoseg.trainers.checkpoint import load_state, save_state, save_weights
from autoseg.trainers.gradients import LEFT_OUT
from autoseg.trainers.history import draw_progress, smoothed
from autoseg.trainers.schedule import Schedule
from autoseg.trainers.settings import TrainingSettings
from autoseg.training_log import Epoch, TrainingRecord, write_log
from autoseg.workspace import FoldFolder, read_model


class Batches(Protocol):
    """A source of batches, of whatever kind the learner takes."""

    def batches(self, first: int, count: int) -> Iterator[Any]:
        """Yield batches number `first` to `first + count - 1`, which depend on their numbers alone."""


class Learner(Protocol):
    """The networks, the optimizers, and what one training step does. A recipe builds it, and `loop.py` runs it.

    modules: by name; their weights are the checkpoint. optimizers: by name. A learner whose class has `in_parts = True` makes
    a step with several processes, each of which has its share of a batch, and in `accumulate` parts.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def set_steps(self, steps: int) -> dict[str, Any]:
        """Choose what follows from the number of optimizer steps, and return it by the settings' names. It is called before the
        first step, and once more in a timed training, as soon as the steps have been measured."""

    def set_progress(self, progress: float) -> None:
        """Set the learning rates for this share (0..1) of the training done."""

    def end_epoch(self, training_loss: float) -> None:
        """Take note that an epoch is over. training_loss: mean of its training losses."""

    @property
    def is_exhausted(self) -> bool:
        """Tell whether the training is over before its last epoch."""

    def training_step(self, batch: Any) -> dict[str, float]:
        """Make one optimizer step; return losses and other values by name, "loss" among them. The log keeps their means."""

    def validation_step(self, batch: Any) -> tuple[dict[str, float], torch.Tensor]:
        """Return losses, and counts (classes, 3) of true positive, false positive and false negative voxels."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values from which training can continue."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""


SECONDS_BETWEEN_STATES = 60
SECONDS_BETWEEN_PICTURES = 30


@dataclass
class Run:
    """A training in progress. next_epoch: the first one that is not finished.

    validation: the online validation takes `validation_batches` of it after each epoch (None: a fifth of the epoch's
    iterations, which a timed training shortens); None for no online validation.
    after_epoch: called with the epochs that are done, once they are in the log. keeps_best: whether the weights of the best
    online validation are kept, too, as a prediction may choose them.
    """

    learner: Learner
    training: Batches
    validation: Batches | None
    class_names: list[str]
    settings: TrainingSettings
    folder: FoldFolder
    schedule: Schedule
    report: ShowProgress
    validation_batches: int | None = None
    after_epoch: Callable[[int], None] | None = None
    keeps_best: bool = False
    history: list[Epoch] = field(default_factory=list)
    best: float = -1.0

    @property
    def next_epoch(self) -> int:
        return len(self.history)


def train(run: Run) -> None:
    """Train to the end of the schedule and write `checkpoint_final.safetensors`.

    Goes on from `training_state.pt` where it is there. Raises AutosegError where the loss is no longer a number.
    """
    here = world()
    _require_parts(run)
    resume(run)
    choose_by_steps(run)
    is_on_cpu = _device(run).type == "cpu"
    if is_on_cpu and not run.history and (note := run.schedule.before_cpu()):
        show_unless_quiet(note)
    run.schedule.begin()
    keeper, is_last = _Keeper(run), here.tell(is_over(run))
    while not is_last:
        if is_on_cpu:
            spread_threads()
        epoch = Epoch.model_validate(here.tell(train_epoch(run, is_on_cpu).model_dump()))
        run.history.append(epoch)
        run.learner.end_epoch(epoch.training_loss)
        is_last = here.tell(is_over(run))
        if here.is_main:
            keeper.keep(epoch, is_last)
    if here.is_main:
        save_weights(run.folder.checkpoint_final, run.learner.modules, _facts(run))
    here.wait()


def _require_parts(run: Run) -> None:
    """Raise AutosegError where the recipe's learner is not made for the several processes, or parts of a batch, that it gets."""
    if getattr(run.learner, "in_parts", False):
        return
    if world().size > 1:
        raise AutosegError(f"This recipe is trained by one process, and {world().size} were started: its learner "
                           f"({type(run.learner).__name__}) does not say that it can share a batch. Train it on one GPU.")
    if (parts := getattr(run.settings, "accumulate", 1)) > 1:
        raise AutosegError(f"accumulate={parts}: this recipe's learner ({type(run.learner).__name__}) does not say that it can "
                           "compute a batch in parts. Leave it out.")


class _Keeper:
    """A writer of a training's files after each epoch: the log always, the state and the picture now and then."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.saved = self.drawn = time.monotonic()

    def keep(self, epoch: Epoch, is_last: bool) -> None:
        """Write what is due after this epoch, which is in the history already."""
        run = self.run
        write_log(run.folder.log_jsonl, run.history)
        if run.after_epoch is not None:
            run.after_epoch(run.next_epoch)
        if epoch.smoothed_dice is not None and epoch.smoothed_dice > run.best:
            run.best = epoch.smoothed_dice
            if run.keeps_best:
                save_weights(run.folder.checkpoint_best, run.learner.modules, _facts(run))
        if time.monotonic() - self.saved > SECONDS_BETWEEN_STATES or is_last:
            save_state(run.folder.training_state, _state(run))
            self.saved = time.monotonic()
        if time.monotonic() - self.drawn > SECONDS_BETWEEN_PICTURES or is_last or run.next_epoch == 1:
            draw_progress(run.folder.progress_png, run.history, _title(run))
            self.drawn = time.monotonic()


def choose_by_steps(run: Run) -> None:
    """Have the learner choose what follows from the number of steps; say it, and write it to the fold's `training.json`."""
    chosen = run.learner.set_steps(run.schedule.steps)
    if not chosen or not run.schedule.is_measured:
        return
    listed = ", ".join(f"{key}={as_flag(value)}" for key, value in chosen.items())
    show_once_unless_quiet(f"For {run.schedule.steps} optimizer steps: {listed}. What you give with --set wins.")
    if world().is_main and run.folder.training_json.exists():
        record = read_model(run.folder.training_json, TrainingRecord)
        write_json(run.folder.training_json, record.model_copy(update={"chosen": chosen}))


def is_over(run: Run) -> bool:
    """Tell whether all epochs are done, or the recipe says that more would change nothing."""
    return run.next_epoch >= run.schedule.epochs or run.learner.is_exhausted


def train_epoch(run: Run, is_on_cpu: bool = False) -> Epoch:
    """Make all iterations of one epoch, and the online validation after them. is_on_cpu: say early if it will take long."""
    number, started = run.next_epoch, time.monotonic()
    torch.manual_seed(run.settings.seed + number)  # random parts of networks, such as dropout, repeat when a run is continued
    steps: list[dict[str, float]] = []
    rate = left_out = 0.0
    batches = run.training.batches(number * run.schedule.iterations, run.schedule.iterations)
    for iteration, batch in enumerate(batches):
        run.learner.set_progress(run.schedule.progress(number, iteration))
        rate = next(iter(run.learner.optimizers.values())).param_groups[0]["lr"]
        steps.append(run.learner.training_step(batch))
        if new := steps[-1].pop(LEFT_OUT, 0.0):
            left_out += new
            show_once_unless_quiet(f"Warning: in epoch {number + 1} the gradient of a step was not finite. Such steps are left "
                                   f"out, and counted in log.jsonl ({LEFT_OUT}).")
        if math.isnan(steps[-1]["loss"]):
            raise AutosegError(
                f"The training loss became NaN in epoch {number + 1}, iteration {iteration + 1}. The last saved state is "
                f"complete. Look for extreme intensities with `autoseg verify`, or lower the learning rate, {rate:.2g} here, "
                f"with --set learning_rate=."
            )
        if is_on_cpu and (note := run.schedule.long_without_gpu(number, iteration + 1)):
            show_unless_quiet(note)
        was_measured = run.schedule.is_measured
        is_over_now = run.schedule.is_epoch_over(number, iteration + 1)
        if run.schedule.is_measured and not was_measured:
            choose_by_steps(run)
        run.report(run.schedule.shown(number, iteration + 1), _line(run, number, steps[-1]))
        if is_over_now:
            break
    validation_loss, dice = validate(run, number)
    mean = _mean([value for value in dice.values() if value is not None])
    means = _means(steps)
    seconds = time.monotonic() - started
    run.schedule.end_epoch(number, seconds)
    return Epoch(
        epoch=number, learning_rate=rate, training_loss=means.pop("loss"), validation_loss=validation_loss,
        values=means | ({LEFT_OUT: left_out} if left_out else {}), dice=dice, mean_dice=mean,
        smoothed_dice=smoothed(run.history, mean), seconds=round(seconds, 3),
        finished_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def validate(run: Run, epoch: int) -> tuple[float | None, dict[str, float | None]]:
    """Return mean loss and pooled Dice per class over some patches of the validation cases."""
    if run.validation is None:
        return None, {}
    count = run.validation_batches or max(1, run.schedule.iterations // 5)
    total, overlap = torch.zeros((), dtype=torch.float64), torch.zeros(len(run.class_names), 3, dtype=torch.int64)
    for batch in run.validation.batches(*world().turns(epoch * count, count)):
        loss, counts = run.learner.validation_step(batch)
        total += loss["loss"]
        overlap += counts
    total, overlap = world().sum(total), world().sum(overlap)
    dice: dict[str, float | None] = {}
    for name, (tp, fp, fn) in zip(run.class_names, overlap.tolist(), strict=True):
        dice[name] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
    return float(total) / count, dice


def resume(run: Run) -> None:
    """Continue from the state of an earlier run where there is one."""
    goes_on = world().tell(is_there := run.folder.training_state.exists())
    if goes_on != is_there:
        raise AutosegError(f"Process {world().rank} of {world().size} does not find the {run.folder.training_state} of the first "
                           "one: all processes need the workspace on a disk that they share.")
    if not goes_on:
        return
    state = load_state(run.folder.training_state, _device(run))
    try:
        with warnings.catch_warnings():  # of torch, about values that do not fit
            warnings.simplefilter("ignore")
            run.schedule.load_state_dict(state["schedule"])
            run.learner.set_steps(run.schedule.steps)
            before = _options(run.learner)
            run.learner.load_state_dict(state["learner"])
            run.history = [Epoch.model_validate(entry) for entry in state["history"]]
            run.best = float(state["best"])
        _require_fitting_optimizers(run.learner, before)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise AutosegError(
            f"{run.folder.training_state} does not fit this network and these settings "
            f"({(str(error) or type(error).__name__).splitlines()[0]}). Start the fold anew with --restart."
        ) from error


def _options(learner: Learner) -> list[dict[str, Any]]:
    """Return the options of each group of the optimizers' parameters, but for the rate, which the schedule sets."""
    return [{key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
            for optimizer in learner.optimizers.values() for group in optimizer.param_groups]


def _require_fitting_optimizers(learner: Learner, before: list[dict[str, Any]]) -> None:
    """Raise ValueError where optimizers have other options than before the state was loaded, or remember what does not fit their
    parameters."""
    for now, then in zip(_options(learner), before, strict=True):
        if other := [key for key in then if key in now and now[key] != then[key]]:
            raise ValueError(f"the optimizer has another {other[0]}")
    for name, optimizer in learner.optimizers.items():
        if len({frozenset(remembered) for remembered in optimizer.state.values()}) > 1:
            raise ValueError(f"the optimizer {name} does not remember the same of all weights")
        for parameter, remembered in optimizer.state.items():
            for key, value in remembered.items():
                shape = value.shape if isinstance(value, torch.Tensor) and not value.is_complex() else None
                if value is not None and shape != (torch.Size() if key == "step" else parameter.shape):
                    raise ValueError(f"the optimizer {name} remembers a {key} that does not fit the network")


def _device(run: Run) -> torch.device:
    return next(next(iter(run.learner.modules.values())).parameters()).device


def _state(run: Run) -> dict[str, Any]:
    return {
        "learner": run.learner.state_dict(),
        "history": [epoch.model_dump() for epoch in run.history],
        "best": run.best,
        "schedule": run.schedule.state_dict(),
        "settings": run.settings.model_dump(mode="json"),
    }


def _facts(run: Run) -> dict[str, str]:
    return {"epochs": str(len(run.history)), "iterations": str(run.schedule.iterations)}


def _title(run: Run) -> str:
    fold, recipe, configuration = (path.name for path in (run.folder.root, *run.folder.root.parents[:2]))
    return f"{configuration}, {recipe}, {fold}"


def _line(run: Run, epoch: int, step: dict[str, float]) -> str:
    last = run.history[-1] if run.history else None
    losses = ", ".join(f"{name} {value:.3f}" for name, value in step.items() if name != "loss") or f"loss {step['loss']:.3f}"
    dice = f", Dice {last.mean_dice:.3f}" if last and last.mean_dice is not None else ""
    return f"epoch {epoch + 1}/{run.schedule.epochs}, {losses}{dice}"


def _means(steps: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each name, over the steps that gave it: a recipe may train one network after another."""
    names = dict.fromkeys(name for step in steps for name in step)
    values = {name: [step[name] for step in steps if name in step] for name in names}
    return {name: sum(given) / len(given) for name, given in values.items()}


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
