"""The one way to draw: colours, style and size of figures, and how they become PNG files, PNG bytes or inline SVG.

matplotlib is imported inside the functions, so that commands that draw nothing start fast.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from autoseg.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that people with colour-blindness can tell apart (Okabe and Ito 2008)
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
INK, GRAY, GRID = "#24292f", "#6e7781", "#d8dee4"
PALE_BLUE = "#cfe3f1"  # fills boxes and bars
LINES: tuple[tuple[str, Any], ...] = (  # colour and dashes: no line is told by its colour alone
    (BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"), (ORANGE, (0, (5, 1, 1, 1, 1, 1))), (INK, (0, (1, 1))))
PAGE_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 12, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.8, "axes.axisbelow": True,
}
PICTURE_STYLE: Mapping[str, Any] = {"font.family": "sans-serif", "font.size": 12}
ANY_ID = re.compile(r' id="[A-Za-z]+[A-Za-z0-9.]*_\d+"')


@contextlib.contextmanager
def style(settings: Mapping[str, Any], name: str = "") -> Iterator[None]:
    """Draw and save figures of the block with these matplotlib settings. name: makes ids inside an SVG the figure's own."""
    import matplotlib

    chosen: dict[Any, Any] = {**settings, **({"svg.hashsalt": name} if name else {})}
    with matplotlib.rc_context(chosen):
        yield


def new_figure(width_in: float, height_in: float, layout: Any = "constrained", **options: Any) -> Figure:
    """Return an empty figure that belongs to no window. layout, options: those of matplotlib's Figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout=layout, **options)
    FigureCanvasAgg(figure)
    return figure


def save_png(path: Path, figure: Figure, dpi: int = 100) -> None:
    """Write the figure as a PNG file, complete or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png", metadata={"Software": "autoseg"})


def is_our_png(path: Path) -> bool:
    """Tell whether `save_png` wrote a file."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            return picture.info.get("Software") == "autoseg"
    except (OSError, ValueError, SyntaxError):
        return False


def png(figure: Figure) -> tuple[bytes, tuple[int, int]]:
    """Return the bytes of an opaque PNG, and its width and height in pixels."""
    import numpy as np
    import PIL.Image
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), (pixels.shape[1], pixels.shape[0])


def svg(figure: Figure, alternative: str) -> Markup:
    """Return the figure's <svg> element, without prolog and metadata, and without ids that another figure has, too.

    alternative: what the figure shows, for those who do not see it.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    target = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(target, metadata=nothing)
    text = target.getvalue()
    text = ANY_ID.sub("", text[text.index("<svg"):])
    opening, rest = text.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)  # the page sets the width
    return Markup(f'{opening} role="img" aria-label="{escape(alternative)}">{rest}')
