"""What a page is made of: sections of paragraphs, tables, figures and commands. The template knows how each looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


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
    """What something is, its value, and why or what that means."""

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
    """Within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when asked for."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: Sequence[Block]


Block = Text | Command | Table | Figures | Explanations | Heading | Folded


@dataclass
class Section:
    """anchor: for links. title: in the table of contents, too."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def decisions(titles: Mapping[str, str], values: Mapping[str, str], reasons: Mapping[str, str]) -> Explanations:
    """What was planned, each with its reason; then the reasons for what has no title. titles, values: by the reason's name."""
    entries = [Explained(title, values[key], reasons.get(key, "")) for key, title in titles.items()]
    return Explanations([*entries, *(Explained(key, "", why) for key, why in reasons.items() if key not in titles)])


def figures(*candidates: Figure, is_wide: bool = False) -> list[Block]:
    """Those figures that have something to show, side by side; nothing where there is none."""
    shown = [figure for figure in candidates if figure.picture]
    return [Figures(shown, is_wide)] if shown else []
