"""The content of a dataset as its headers tell it, for a user who wants to know whether it is what was meant."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from autoseg import image_io
from autoseg.dataset import Dataset
from autoseg.errors import AutosegError, many
from autoseg.plan import Frozen


class Seen(Frozen):
    """The content of a dataset.

    folder: of the dataset. shapes, spacings_mm: lowest and highest along (z, y, x) of training images whose headers can be read,
    or None. orders: axis orders (x, y, z, such as "LPS") with their number of cases, where known. labels: values by name.
    """

    name: str
    folder: Path
    training_cases: int
    test_cases: int
    channels: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    spacings_mm: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    orders: dict[str, int]
    labels: dict[str, int | tuple[int, ...]]

    @property
    def in_words(self) -> list[str]:
        """Return lines for a terminal."""
        labels = ", ".join(f"{name} {value if isinstance(value, int) else list(value)}" for name, value in self.labels.items())
        lines = [f"Cases: {self.training_cases} for training, {self.test_cases} for testing", f"Labels: {labels}"]
        if self.channels:
            lines.insert(1, f"Channels: {', '.join(self.channels)}")
        if self.shapes and self.spacings_mm:
            lines.append(f"Voxels (z, y, x): {_range(*self.shapes)}")
            lines.append(f"Spacing in mm (z, y, x): {_range(*self.spacings_mm)}")
        if self.orders:
            lines.append("Axis orders: " + ", ".join(f"{order} in {many(count, 'case')}" for order, count in self.orders.items()))
        return lines


def see(dataset: Dataset) -> Seen:
    """Return what the headers of a dataset's first channels tell; files that cannot be read are passed over."""
    found = []
    for case in dataset.training:
        try:
            found.append(image_io.read_geometry(case.images[0])[:2])
        except AutosegError:
            continue
    shapes = list(zip(*(shape[1:] for shape, _ in found), strict=True))
    spacings = list(zip(*(geometry.spacing_mm for _, geometry in found), strict=True))
    return Seen(
        name=dataset.name, folder=dataset.folder, training_cases=len(dataset.training), test_cases=len(dataset.test),
        channels=dataset.channel_names, labels=dataset.labels.values,
        shapes=(tuple(map(min, shapes)), tuple(map(max, shapes))) if found else None,  # type: ignore[arg-type]
        spacings_mm=(tuple(map(min, spacings)), tuple(map(max, spacings))) if found else None,  # type: ignore[arg-type]
        orders=dict(Counter(
            order for _, geometry in found if (order := geometry.orientation) is not None).most_common()))


def _range(lowest: tuple[float, ...], highest: tuple[float, ...]) -> str:
    return " × ".join(f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
                      for low, high in zip(lowest, highest, strict=True))
