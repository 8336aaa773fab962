"""The steps of a long job: how long each took so far, which outlives a kill, and how long the others will take."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from autoseg.console import ShowProgress
from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.plan import Frozen
from autoseg.provenance import Origin
from autoseg.workspace import read_model

PLAN, FIND_BEST, REPORT = "plan", "find-best", "report"
SECONDS_BETWEEN_WRITES = 15.0
SHORTEST_MEASURED = 0.02  # share of a step after which its length can be estimated


class Step(NamedTuple):
    """A step of a run. name: such as "2d default fold 3". kind: steps of one kind take about as long as each other.

    guess_s: the seconds that are expected until a step of its kind was measured. is_scaled: whether nothing is known of its
    length: the guesses of all such steps are wrong by the same factor, so a measured step of another kind corrects them.
    """

    name: str
    kind: str
    guess_s: float
    is_scaled: bool = False


class Asked(Frozen):
    """The request of a run, with which it goes on where nothing else is asked for.

    recipes, name: what is trained, and the name of the model where it has one of its own. options: of planning, the
    configurations and the planner among them. epochs, iterations, settings (by name, as the texts that --set takes), max_hours:
    of training. cheaper_ways, not_worse: as find_best takes them; None for its own. at: when.
    """

    recipes: tuple[str, ...] = ()
    name: str | None = None
    options: dict[str, Any] = {}
    epochs: int | None = None
    iterations: int | None = None
    settings: dict[str, str] = {}
    max_hours: float | None = None
    skip_bad_cases: bool = False
    cheaper_ways: bool | None = None
    not_worse: float | None = None
    at: str = ""

    @property
    def training(self) -> Origin:
        """Return the settings of training; not the hours, which may grow."""
        flags = {"epochs": self.epochs, "iterations": self.iterations}
        return Origin.of(**flags | self.settings | {key: value for key, value in flags.items() if value is not None})

    def after(self, then: Asked) -> Asked:
        """Return the request, completed by that of an earlier run of the same models."""
        both = {"options": then.options | self.options, "settings": then.settings | self.settings}
        return Asked.model_validate(then.model_dump() | self.model_dump(exclude_defaults=True) | both)


class Ran(Frozen):
    """The machine on which a step ran last. machine: the GPU or processor in words; "" where no network ran. gpu: the one among
    several, as CUDA_VISIBLE_DEVICES says it. slurm: the number of its job there."""

    host: str
    machine: str = ""
    gpu: str = ""
    slurm: str = ""


class RunRecord(Frozen):
    """The content of run.json. steps: name to the seconds that it took, all runs together. whole: the steps that are finished.
    made_from: of some steps, a digest of what their result was made from. asked: what the last run was asked for. ran: where."""

    remedy: ClassVar[str] = "Remove it: it says no more than how long each step took."

    steps: dict[str, float] = {}
    whole: tuple[str, ...] = ()
    made_from: dict[str, str] = {}
    asked: Asked = Asked()
    ran: dict[str, Ran] = {}

    @property
    def spent_s(self) -> float:
        return sum(self.steps.values())


def read_record(path: Path) -> RunRecord:
    """Read run.json, or return an empty record where there is none. Raises AutosegError where it is damaged."""
    return read_model(path, RunRecord) if path.exists() else RunRecord()


class Steps:
    """A runner of steps, one after the other, that reports the share of all of them and keeps their times in run.json."""

    def __init__(self, path: Path, steps: Sequence[Step], asked: Asked | None = None, machine: str = "") -> None:
        self._path, self._steps = path, {step.name: step for step in steps}
        record = read_record(path)
        self._seconds, self._whole, self._made_from = dict(record.steps), set(record.whole), dict(record.made_from)
        self._asked, self._ran, self._machine = asked or record.asked, dict(record.ran), machine

    @property
    def spent_s(self) -> float:
        """Return the seconds that these steps took so far, those of killed runs included."""
        return sum(self._seconds.get(name, 0.0) for name in self._steps)

    def know(self, is_whole: Mapping[str, bool]) -> None:
        """Take over the names of the finished steps from a better source: other commands finish or undo steps, too."""
        self._whole = {name for name in self._whole if is_whole.get(name, True)} | {name for name in is_whole if is_whole[name]}

    def is_made_from(self, name: str, digest: str) -> bool:
        """Tell whether a finished step's result was made from this."""
        return name in self._whole and self._made_from.get(name) == digest

    @contextlib.contextmanager
    def run(self, name: str, overall: ShowProgress, made_from: str = "") -> Iterator[ShowProgress]:
        """Run a step. The block reports the share of it that is done, `overall` gets the share of all steps. made_from: see
        `is_made_from`.

        The share of all steps stays 0 as long as there are scaled steps and none was measured: the length of the job is not
        known. Where the block ends without an exception, the step is whole. Where it raises an AutosegError before it reported
        anything, it was refused and not begun: run.json stays as it was, or absent.
        """
        before, started, written = self._seconds.get(name, 0.0), time.monotonic(), time.monotonic()
        is_begun = is_refused = False
        self._whole.discard(name)

        def note(share: float, text: str) -> None:
            nonlocal written
            self._seconds[name] = before + time.monotonic() - started
            left_s = self._left_s(name, share)
            overall(self.spent_s / max(self.spent_s + left_s, 1e-9) if left_s is not None else 0.0, text)
            if time.monotonic() - written > SECONDS_BETWEEN_WRITES:
                self._write()
                written = time.monotonic()

        def report(share: float, text: str) -> None:
            nonlocal is_begun
            is_begun = True
            note(share, text)

        try:
            note(0.0, name)
            yield report
            self._whole.add(name)
            self._made_from[name] = made_from
            self._ran[name] = Ran(host=socket.gethostname(), machine=self._machine)
        except AutosegError:
            is_refused = not is_begun
            raise
        finally:
            if not is_refused:
                self._seconds[name] = before + time.monotonic() - started
                self._write()

    def _left_s(self, running: str, share: float) -> float | None:
        """Return the seconds that are left, as expected from the finished steps and the running one; None if unknown."""
        means = self._mean_s(running, share)
        scaled = {step.kind for step in self._steps.values() if step.is_scaled}
        if scaled and not scaled & means.keys():
            return None
        expected = self._expected_s(means)
        left = sum(seconds for name, seconds in expected.items() if name not in self._whole and name != running)
        return left + expected[running] * (1 - share)

    def _mean_s(self, running: str, share: float) -> dict[str, float]:
        """Return the mean seconds of the steps of each kind that were measured."""
        measured: dict[str, list[float]] = defaultdict(list)
        for name in self._whole & self._steps.keys() & self._seconds.keys():
            measured[self._steps[name].kind].append(self._seconds[name])
        step = self._steps[running]
        if share >= SHORTEST_MEASURED and step.kind not in measured:
            measured[step.kind].append(self._seconds[running] / share)
        return {kind: sum(seconds) / len(seconds) for kind, seconds in measured.items()}

    def _expected_s(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return each step's expected seconds: its kind's mean; else the guess, scaled as other kinds' guesses were wrong."""
        known = {step.kind: step.guess_s for step in self._steps.values() if step.is_scaled and step.kind in means}
        scale = sum(means[kind] for kind in known) / sum(known.values()) if known else 1.0
        return {
            name: means.get(step.kind, step.guess_s * (scale if step.is_scaled else 1.0)) for name, step in self._steps.items()
        }

    def _write(self) -> None:
        write_json(self._path, RunRecord(
            steps=self._seconds, whole=tuple(sorted(self._whole)), asked=self._asked, ran=self._ran,
            made_from={name: digest for name, digest in self._made_from.items() if digest}))
