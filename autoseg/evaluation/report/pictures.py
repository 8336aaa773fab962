"""PNG files inside the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
from markupsafe import Markup, escape

from autoseg.errors import AutosegError
from autoseg.evaluation.report.elements import Block, Figure, Figures, Text


def embedded(png: bytes, size_px: tuple[int, int], alternative: str) -> Markup:
    """<img> that holds the picture itself. png: the file's bytes. size_px: width, height."""
    data = base64.b64encode(png).decode("ascii")
    width, height = size_px
    return Markup(f'<img alt="{escape(alternative)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">')


def embedded_file(path: Path, alternative: str) -> Markup:
    """The same for a file. Raises AutosegError where it is missing or no PNG that can be read."""
    try:
        png = path.read_bytes()
        with PIL.Image.open(path, formats=["PNG"]) as picture:
            size_px = picture.size
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise AutosegError(f"{path} cannot be shown: {error}. Remove it; training or validation draws it again.") from error
    return embedded(png, size_px, alternative)


@dataclass(frozen=True)
class Picture:
    """A PNG file. title: above it. alternative: what it shows, in words. note: below it."""

    path: Path
    title: str
    alternative: str
    note: str = ""


def pictures(introduction: str, candidates: Iterable[Picture]) -> list[Block]:
    """Those pictures that are there, below an introduction, then what is wrong with others; nothing where there is none."""
    drawn, troubles = [], []
    for picture in candidates:
        if not picture.path.exists():
            continue
        try:
            drawn.append(Figure(picture.title, embedded_file(picture.path, picture.alternative), picture.note))
        except AutosegError as error:
            troubles.append(Text(str(error), is_note=True))
    return [*([Text(introduction), Figures(drawn, is_wide=True)] if drawn else ()), *troubles]
