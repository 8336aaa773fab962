"""Warnings for cases that are unlike the training data: they are predicted all the same, and the user learns what to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from autoseg.image import AxisOrder, Geometry, Image, axis_order
from autoseg.plan import TrainingChannel, TrainingImages
from autoseg.training_images import ChannelMeasures, ImageMeasures, measure_image

USUAL_ORDERS = ("LPS", "RAS")  # in which most scans are stored, and in which most models were trained
FAR_SPACING = 3.0  # times finer or coarser than any training image
MANY_TILES, MORE_VOLUME = 500, 20.0  # tiles, and times the volume of the largest training image
BEYOND, NARROWER = 3.0, 0.1  # of the range of all training images, of the width of the narrowest: where the unit is absolute
OTHER_SCALE = 300.0  # times, where each image is scaled by itself: more than from 8 to 16 bits
NEGATIVE = 0.25  # share of the highest value: a lowest value below that is no rounding


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


def unlike_training(image: Image, training: TrainingImages | None, absolute: Sequence[bool]) -> tuple[str, ...]:
    """Return what about an image (C, Z, Y, X) as read is far from all training images (see `image_warnings`)."""
    return tuple(image_warnings(measure_image(image), training, absolute))


def image_warnings(
    image: ImageMeasures, training: TrainingImages | None, absolute: Sequence[bool], tiles: int = 0
) -> Iterator[str]:
    """Yield what about an image is far from all training images.

    training: None where the model does not know them. absolute: of each channel, whether its intensities have a unit of their own
    (CT), so that they are not scaled image by image. tiles: of the sliding window.
    """
    if image.repairs:
        yield f"its series was repaired: {', '.join(image.repairs)}. Look at it before you trust the result"
    if training is None:
        return
    for what, its, trained_on in (("modality", image.modality, training.modalities),
                                  ("body part", image.body_part, training.body_parts)):
        if its and trained_on and its not in trained_on:
            yield f"its {what} is {its}, and that of the training images {' or '.join(trained_on)}, as the headers say"
    for mm, (smallest, largest) in zip(image.spacing_mm, training.spacing_mm, strict=True):
        if mm > FAR_SPACING * largest or mm < smallest / FAR_SPACING:
            yield (f"its spacing is {_listed(image.spacing_mm)} mm, and that of the training images is "
                   f"{_listed(low for low, _ in training.spacing_mm)} to {_listed(high for _, high in training.spacing_mm)} mm "
                   "(finest axis first). Look whether its header is right")
            break
    if tiles >= MANY_TILES and image.volume_ml > MORE_VOLUME * training.largest_ml:
        yield (f"it takes {tiles} tiles, as it is {image.volume_ml:.3g} ml large, and the largest training image "
               f"{training.largest_ml:.3g} ml. This may take very long: look whether its spacing is right, or cut it")
    for number, (channel, trained, has_unit) in enumerate(zip(image.channels, training.channels, absolute, strict=False)):
        if problem := _unlike_channel(channel, trained, has_unit):
            yield f"channel {number}: {problem}"


def _unlike_channel(channel: ChannelMeasures, trained: TrainingChannel, has_unit: bool) -> str:
    """Say why intensities are unlike those of the training images; "" where they are not."""
    found = f"its values run from {channel.low:.4g} to {channel.high:.4g}"
    usual = f"those of the training images from {trained.low[0]:.4g} to {trained.high[1]:.4g}"
    if channel.width == 0:
        return "" if trained.width[0] == 0 else f"it has hardly any value but {channel.median:.4g}, so there is nothing to see"
    if has_unit:
        margin = BEYOND * (trained.high[1] - trained.low[0])
        is_far = channel.low < trained.low[0] - margin or channel.high > trained.high[1] + margin
        has_no_negative = channel.low >= 0 > trained.low[1]
        if is_far or has_no_negative or channel.width < NARROWER * trained.width[0]:
            return f"{found}, {usual}. Look whether it is of the same kind and in the same unit"
    elif channel.low < -NEGATIVE * abs(channel.high) and trained.low[0] >= 0:
        return f"{found}, and those of no training image are below 0. Look whether it is of the same kind"
    elif channel.width > OTHER_SCALE * trained.width[1] or channel.width < trained.width[0] / OTHER_SCALE:
        return (f"{found}, {usual}. Each image is scaled by itself, so that the unit does no harm; look whether it is of the "
                "same kind")
    return ""


def _listed(numbers: Iterable[float]) -> str:
    return " × ".join(f"{number:.3g}" for number in numbers)
