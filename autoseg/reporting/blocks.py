"""Blocks that a page consists of: sections of paragraphs, tables, figures, pictures and commands. The template draws them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import PIL.Image
from markupsafe import Markup, escape

from autoseg.errors import AutosegError


@dataclass(frozen=True)
class Text:
    """A paragraph. is_note: something that is missing or went wrong, and stands out."""

    kind: ClassVar[str] = "text"
    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Command:
    """A line to be typed into a terminal."""

    kind: ClassVar[str] = "command"
    line: str


@dataclass(frozen=True)
class Table:
    """Cells as text. The first column names its row. left: further columns of words rather than numbers.
    marked: rows that stand out."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """picture: an element with its own text alternative. note: below it."""

    title: str
    picture: Markup
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """Side by side where there is room: three of them, or two wide ones."""

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure]
    is_wide: bool = False


@dataclass(frozen=True)
class Explained:
    """A thing, its value, and the reason for that value or its meaning."""

    name: str
    value: str
    why: str = ""


@dataclass(frozen=True)
class Explanations:
    """A list of things with their values and reasons."""

    kind: ClassVar[str] = "explanations"
    entries: Sequence[Explained]


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when a reader clicks on their summary."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: Sequence[Block]


Block = Text | Command | Table | Figures | Explanations | Heading | Folded


@dataclass
class Section:
    """A part of the page with an entry in the table of contents. anchor: for links."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def decisions(titles: Mapping[str, str], values: Mapping[str, str], reasons: Mapping[str, str]) -> Explanations:
    """List what was planned, each with its reason, then the reasons that have no title. titles, values: by the reason's name."""
    entries = [Explained(title, values[key], reasons.get(key, "")) for key, title in titles.items()]
    return Explanations([*entries, *(Explained(key, "", why) for key, why in reasons.items() if key not in titles)])


def figures(*candidates: Figure, is_wide: bool = False) -> list[Block]:
    """Show the figures that have a picture side by side; return no block where there is none."""
    shown = [figure for figure in candidates if figure.picture]
    return [Figures(shown, is_wide)] if shown else []


def embedded(png: bytes, size_px: tuple[int, int], alternative: str) -> Markup:
    """Return an <img> that holds the picture itself. png: the file's bytes. size_px: width, height."""
    data = base64.b64encode(png).decode("ascii")
    width, height = size_px
    return Markup(f'<img alt="{escape(alternative)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">')


@dataclass(frozen=True)
class Picture:
    """A PNG file. title: above it. alternative: what it shows, in words. note: below it."""

    path: Path
    title: str
    alternative: str
    note: str = ""

    def figure(self) -> Figure:
        """Return the picture as a part of the page. Raises AutosegError where the file is missing or is not a PNG."""
        try:
            png = self.path.read_bytes()
            with PIL.Image.open(self.path, formats=["PNG"]) as picture:
                size_px = picture.size
                picture.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise AutosegError(
                f"{self.path} cannot be shown: {error}. Remove it; training or validation draws it again.") from error
        return Figure(self.title, embedded(png, size_px, self.alternative), self.note)


def pictures(introduction: str, candidates: Iterable[Picture]) -> list[Block]:
    """Show the pictures that exist below an introduction, then name the damaged ones; return no block where there is none."""
    drawn, troubles = [], []
    for picture in candidates:
        if not picture.path.exists():
            continue
        try:
            drawn.append(picture.figure())
        except AutosegError as error:
            troubles.append(Text(str(error), is_note=True))
    return [*([Text(introduction), Figures(drawn, is_wide=True)] if drawn else ()), *troubles]
