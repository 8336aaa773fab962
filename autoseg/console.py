"""Progress that commands show while they work: a bar with the time left on a terminal, a line now and then in a log file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column

from autoseg.output import allow_any_encoding
from autoseg.speech import spoken
from autoseg.wording import rough_duration

ShowProgress = Callable[[float, str], None]
"""Called with the share of the work that is done (0..1) and a word about it."""

SECONDS_BETWEEN_LINES = 30
MOST_SEEN = 400  # shares that a clock remembers
WIDTH_BESIDE_TITLE = 80  # characters that bar, time and text take

_outer: list[ShowProgress] = []  # receive progress while a longer job shows its own
_silent: list[bool] = []  # not empty while a quiet job runs
_told: set[str] = set()
_bars: list[Console] = []  # console of the bar that is shown now: prints above the bar


def show(content: Any) -> None:
    """Print text (as it is) or a rich table."""
    allow_any_encoding()
    console = _bars[-1] if _bars else Console()
    if isinstance(content, str):
        console.print(escape(spoken(content)), soft_wrap=True, highlight=False)
    else:
        (console if console.is_terminal else Console(width=160)).print(content)


def show_all(contents: Iterable[Any]) -> None:
    """Show tables and sentences one after the other."""
    for content in contents:
        show(content)


def show_unless_quiet(text: str) -> None:
    """Print a text, but not while a job runs that is to be quiet."""
    if not _silent:
        show(text)


def show_once_unless_quiet(text: str) -> None:
    """Print a text that this process has not printed yet, but not while a job runs that is to be quiet."""
    if not _silent:
        show_once(text)


def show_once(text: str) -> None:
    """Print a text that this process has not printed yet."""
    if text not in _told:
        _told.add(text)
        show(text)


@contextlib.contextmanager
def progress(title: str, quiet: bool = False, spent_s: float | None = None) -> Iterator[ShowProgress]:
    """Yield a function that shows how far the work of the block is; inside a longer job, that job's progress shows it.

    spent_s: seconds that earlier runs spent on the share that is done already; None where they are not known.
    """
    allow_any_encoding()
    clock = _Clock(spent_s)
    if _outer:
        yield lambda share, text: _outer[-1](share, f"{title}: {text}")
    elif quiet:
        _silent.append(True)
        try:
            yield lambda share, text: None
        finally:
            _silent.pop()
    elif Console().is_terminal:
        with _bar(title) as bar:
            yield lambda share, text: bar.update(TaskID(0), completed=share, time=clock.read(share), text=escape(text))
    else:
        yield _Lines(title, clock)


@contextlib.contextmanager
def inside(report: ShowProgress) -> Iterator[None]:
    """Send what the block would show as its own progress to `report`, the progress of a longer job that contains it."""
    _outer.append(report)
    try:
        yield
    finally:
        _outer.pop()


def counted(report: ShowProgress, total: int) -> Callable[[object], None]:
    """Return a function that is called with each finished item, and reports the share of `total`."""
    done = 0

    def finish(item: object) -> None:
        nonlocal done
        done += 1
        report(done / max(total, 1), str(item))

    return finish


class Shares:
    """Progress by the shares of cases that are under way, however many at once, and the number of those that are done."""

    def __init__(self, report: ShowProgress, total: int) -> None:
        self._report, self._total, self._done = report, total, 0
        self._shares: dict[str, float] = {}

    def progress(self, case: str, share: float) -> None:
        """Take note of how much of a case is done."""
        self._shares[case] = share
        self._report((self._done + sum(self._shares.values())) / self._total, f"case {case}")

    def finish(self, case: str) -> None:
        """Take note of a case that is done."""
        self._done += 1
        self._shares.pop(case, None)
        self._report((self._done + sum(self._shares.values())) / self._total, f"case {case}")


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Progress]:
    """Yield a bar with one task. Where the line is short the title stands above it, so that time and text are not cut."""
    console = Console()
    is_wide = console.width - len(title) >= WIDTH_BESIDE_TITLE
    if not is_wide:
        console.print(escape(title), highlight=False)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=20), TaskProgressColumn(), TextColumn("{task.fields[time]}"),
        TextColumn("{task.fields[text]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        console=console, expand=True,
    )
    bar.add_task(escape(title) if is_wide else "", total=1.0, time="", text="")
    _bars.append(console)
    try:
        with bar:
            yield bar
    finally:
        _bars.pop()


class _Clock:
    """A clock that tells how long work took, and will take."""

    def __init__(self, spent_s: float | None) -> None:
        self._spent_s, self._started = spent_s or 0.0, time.monotonic()
        self._seen: list[tuple[float, float]] = [] if spent_s is None else [(0.0, 0.0)]  # shares, and when they were reported

    def read(self, share: float) -> str:
        """Return the time in words, such as "12 min, 33 min left".

        The speed is that of the last half of the work that was seen since the first share: it follows where work slows down, and
        one slow piece does not make it jump.
        """
        elapsed = self._spent_s + time.monotonic() - self._started
        if not self._seen:
            self._seen.append((share, elapsed))
        first, at = self._since(share)
        if share > self._seen[-1][0]:
            self._seen.append((share, elapsed))
            self._seen = self._seen if len(self._seen) <= MOST_SEEN else self._seen[::2]
        left = f", {rough_duration((elapsed - at) / (share - first) * (1 - share))} left" if first < share < 1 else ""
        return rough_duration(elapsed) + left

    def _since(self, share: float) -> tuple[float, float]:
        """Return the last share that was reported before half of the work until `share`, and when."""
        half = (self._seen[0][0] + share) / 2
        return next(seen for seen in reversed(self._seen) if seen[0] <= half or seen == self._seen[0])


class _Lines:
    """Progress for log files: a line every half minute, and one when the work is complete."""

    def __init__(self, title: str, clock: _Clock) -> None:
        self.title, self.clock = title, clock
        self.printed = time.monotonic()
        self.is_complete = False

    def __call__(self, share: float, text: str) -> None:
        now, read = time.monotonic(), self.clock.read(share)
        if (share < 1 or self.is_complete) and now - self.printed < SECONDS_BETWEEN_LINES:
            return
        self.printed = now
        self.is_complete = share >= 1
        print(f"{self.title}: {share:4.0%}, {read}  {text}", flush=True)
