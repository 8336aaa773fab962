"""PNG files inside the page."""

from __future__ import annotations

import base64
from pathlib import Path

import PIL.Image
from markupsafe import Markup, escape

from autoseg.errors import AutosegError


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
