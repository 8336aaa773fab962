"""Pictures: images of a single slice, which may be gray in truth though they are stored in colour."""

from __future__ import annotations

import numpy as np

COLOURS = ({"red", "green", "blue"}, {"r", "g", "b"})
GRAY_NAMES, COLOUR_NAMES = ("gray",), ("red", "green", "blue")
GRAY_TOLERANCE, GRAY_SHARE = 16, 0.99  # of 255; of the pixels


def is_picture(array: np.ndarray) -> bool:
    """Tell whether (C, Z, Y, X) is a single slice in the file's own plane, as pictures are."""
    return array.shape[1] == 1


def is_gray(array: np.ndarray) -> bool:
    """Tell whether (C, 1, Y, X) holds one gray channel, or three that are the same but for traces.

    These are 16 of 255 between the channels at 99 % of the pixels: JPEG and watermarks leave some colour.
    """
    if len(array) != 3:
        return len(array) == 1
    largest = float(np.iinfo(array.dtype).max if array.dtype in (np.uint8, np.uint16) else array.max())
    return bool((np.ptp(array, axis=0) <= GRAY_TOLERANCE * largest / 255).mean() >= GRAY_SHARE)


def is_colour(channel_names: tuple[str, ...]) -> bool:
    """Tell whether channels are the colours of a picture, which share one window."""
    return {name.lower() for name in channel_names} in COLOURS
