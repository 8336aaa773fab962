"""Warnings for cases that are unlike the training data: they are predicted all the same, and the user learns what to look at."""

from __future__ import annotations

from collections.abc import Iterator

from autoseg.image import AxisOrder, Geometry, axis_order

USUAL_ORDERS = ("LPS", "RAS")  # in which most scans are stored, and in which most models were trained


def axis_order_warnings(geometry: Geometry, shape: tuple[int, ...], trained: str | None) -> Iterator[str]:
    """Yield a warning where an image cannot be brought to the axis order that a model was trained in.

    shape: (Z, Y, X) of the image. trained: the order, such as "LPS"; None where the model does not know it.
    """
    stored, usual = geometry.orientation, " or ".join(USUAL_ORDERS)
    if trained is None:
        if stored is not None and stored not in USUAL_ORDERS and shape[0] > 1:
            yield (f"it is stored in the axis order {stored}, and the model does not know the order that it was trained in, so "
                   f"that axes stay as stored. Most models were trained in {usual}: store it so if nothing is found")
    elif stored is None:
        yield (f"its file does not say how its axes run in the patient. It is taken as it is stored, as if it were {trained}, "
               "the order that the model was trained in")
    elif stored != trained and axis_order(stored, trained, shape) == AxisOrder():
        yield (f"it is a single slice stored in the axis order {stored}, which cannot be brought to {trained}, the order that "
               "the model was trained in. It is taken as it is stored")
