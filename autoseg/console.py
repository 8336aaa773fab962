"""What commands show while they work: a bar with the time left on a terminal, a line now and then in a log file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[float, str], None]
"""Called with the share of the work that is done (0..1) and a word about it."""

SECONDS_BETWEEN_LINES = 30


def show(content: Any) -> None:
    """Print text (as it is) or a rich table."""
    if isinstance(content, str):
        Console(soft_wrap=True, highlight=False).print(escape(content))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=160)).print(content)


@contextlib.contextmanager
def progress(title: str, quiet: bool = False) -> Iterator[Report]:
    """A function that shows how far the work of the block is."""
    if quiet:
        yield lambda share, text: None
    elif Console().is_terminal:
        with _bar() as bar:
            task = bar.add_task(title, total=1.0, text="")
            yield lambda share, text: bar.update(task, completed=share, text=escape(text))
    else:
        yield _Lines(title)


def counted(report: Report, total: int) -> Callable[[object], None]:
    """A function to be called with each finished item; reports the share of `total`."""
    done = 0

    def finish(item: object) -> None:
        nonlocal done
        done += 1
        report(done / max(total, 1), str(item))

    return finish


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=30), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[text]}"),
    )


class _Lines:
    """For log files: a line every half minute, and one when the work is complete."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = self.printed = time.monotonic()
        self.is_complete = False

    def __call__(self, share: float, text: str) -> None:
        now = time.monotonic()
        if (share < 1 or self.is_complete) and now - self.printed < SECONDS_BETWEEN_LINES:
            return
        self.printed = now
        self.is_complete = share >= 1
        elapsed = now - self.started
        left = f", {duration(elapsed / share - elapsed)} left" if 0 < share < 1 else ""
        print(f"{self.title}: {share:4.0%}, {duration(elapsed)}{left}  {text}", flush=True)


def duration(seconds: float) -> str:
    """"45 s", "12 min", "3 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
