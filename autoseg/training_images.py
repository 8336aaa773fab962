"""Measures of the training images: a few numbers, made at planning, that plans and model.json hold.

Prediction compares each image with them (see `autoseg.inference.unlike`), from a sample of its voxels on a regular grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from autoseg.image import Image
from autoseg.image_io import scan_of
from autoseg.intensities import EXTREME
from autoseg.plan import Frozen, Span, TrainingChannel, TrainingImages

SAMPLED_PER_AXIS = 40  # voxels: a stride that leaves about so many along each axis
LOW, HIGH = 0.5, 99.5  # percentiles of the non-zero voxels


class ChannelMeasures(Frozen):
    """The measures of one channel of an image, in its own unit: low and high percentile, and median, of its non-zero voxels."""

    low: float
    median: float
    high: float

    @property
    def width(self) -> float:
        """Return the distance from low to high."""
        return self.high - self.low


class ImageMeasures(Frozen):
    """The measures of one image. spacing_mm: finest axis first. volume_ml: of the whole image, with what is cropped later.
    modality, body_part: of a DICOM series, as its header says them; "" where it does not. repairs: what was resampled in it."""

    spacing_mm: tuple[float, float, float]
    volume_ml: float
    channels: tuple[ChannelMeasures, ...]
    modality: str = ""
    body_part: str = ""
    repairs: tuple[str, ...] = ()


def measure_image(image: Image) -> ImageMeasures:
    """Measure an image (C, Z, Y, X) as read; a thousandth of a second, whatever its size."""
    finest, middle, coarsest = sorted(map(float, image.geometry.spacing_mm))
    volume_ml = float(np.prod([float(n) for n in image.array.shape[1:]])) * finest * middle * coarsest / 1000
    scan = scan_of(image)
    return ImageMeasures(spacing_mm=(finest, middle, coarsest), volume_ml=volume_ml,
                         channels=tuple(_measure(channel) for channel in image.array),
                         modality=scan.modality, body_part=scan.body_part, repairs=scan.repairs)


def pooled(images: Sequence[ImageMeasures]) -> TrainingImages:
    """Return the ranges over images; at least one."""
    finest, middle, coarsest = (_span([image.spacing_mm[axis] for image in images]) for axis in range(3))
    count = min(len(image.channels) for image in images)
    channels = [[image.channels[channel] for image in images] for channel in range(count)]
    return TrainingImages(
        spacing_mm=(finest, middle, coarsest), largest_ml=max(image.volume_ml for image in images),
        modalities=_said(image.modality for image in images), body_parts=_said(image.body_part for image in images),
        channels=tuple(
            TrainingChannel(low=_span([one.low for one in of_all]), high=_span([one.high for one in of_all]),
                            width=_span([one.width for one in of_all])) for of_all in channels))


def _measure(channel: np.ndarray) -> ChannelMeasures:
    sampled = channel[tuple(slice(None, None, max(1, size // SAMPLED_PER_AXIS)) for size in channel.shape)]
    values = sampled[np.isfinite(sampled)].astype(np.float64)
    values = values[np.abs(values) < EXTREME]
    values = values[values != 0] if values.any() else values
    low, median, high = np.percentile(values, (LOW, 50, HIGH)) if values.size else (0.0, 0.0, 0.0)
    return ChannelMeasures(low=float(low), median=float(median), high=float(high))


def _said(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts) - {""}))


def _span(values: Sequence[float]) -> Span:
    return min(values), max(values)
