"""A case from its raw grid to the one the network sees, and back. The same code for training and prediction.

    raw (C, Z, Y, X)  ->  axes in the dataset's order, transposed  ->  cropped to its non-zero box  ->  normalized  ->  resampled
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.errors import AutosegError
from autoseg.image import Image, axis_order
from autoseg.intensities import EXTREME, REPLACE_EXTREMES, extreme_values
from autoseg.plan import Configuration, IntensityStatistics, Normalization, Plans
from autoseg.preprocessing.crop import crop, nonzero_box, nonzero_mask
from autoseg.preprocessing.resample import anisotropic_axis, resampled_shape, resize, resize_labels
from autoseg.preprocessing.store import CaseProperties, Spacing
from autoseg.versions import versions

SMALLEST_STD = 1e-8
OUTSIDE = -1  # in stored labels: background outside of the non-zero mask


def normalize(
    volume: np.ndarray, scheme: Normalization, statistics: IntensityStatistics | None, mask: np.ndarray | None = None
) -> None:
    """Normalize one channel in place, before it is resampled.

    volume: (Z, Y, X) float32. statistics: the dataset's foreground intensities of this channel ("ct" needs them).
    mask: (Z, Y, X) bool, or None for all voxels; "zscore" takes mean and std inside it and leaves the rest as it is.
    A constant image becomes all zeros ("zscore", "rescale_0_1"), never NaN. Raises AutosegError where statistics are
    missing or an "rgb" image is not within 0..255.

    - ct: clip to the 0.5 and 99.5 percentiles, subtract the mean, divide by the std (all of the dataset's foreground).
    - zscore: subtract the image's mean, divide by its std. - rescale_0_1: the image's range becomes 0..1.
    - rgb: divide by 255. - none: nothing.
    Rules: nnU-Net's (Isensee et al. 2021); std is that of the population, not below 1e-8.
    """
    if scheme == "ct":
        _normalize_ct(volume, statistics)
    elif scheme == "zscore":
        _normalize_zscore(volume, mask)
    elif scheme == "rescale_0_1":
        if float(volume.max()) - float(volume.min()) > EXTREME:
            volume /= 4  # the difference of two extremes does not fit into float32
        volume -= volume.min()
        volume /= max(float(volume.max()), SMALLEST_STD)
    elif scheme == "rgb":
        lowest, highest = float(volume.min()), float(volume.max())
        if lowest < 0 or highest > 255:
            raise AutosegError(
                f"An RGB channel holds values from {lowest:g} to {highest:g}, but 0 to 255 are expected. "
                'Give the channel another name in dataset.json, such as "zscore" or "rescale_to_0_1".'
            )
        volume /= 255


def _normalize_ct(volume: np.ndarray, statistics: IntensityStatistics | None) -> None:
    if statistics is None:
        raise AutosegError(
            "The plans hold no foreground intensities for a channel that is normalized as CT. Run the planning again."
        )
    np.clip(volume, statistics.percentile_00_5, statistics.percentile_99_5, out=volume)
    volume -= statistics.mean
    volume /= max(statistics.std, SMALLEST_STD)


def _normalize_zscore(volume: np.ndarray, mask: np.ndarray | None) -> None:
    """Normalize slice by slice, so that no second volume is needed, with sums in float64."""
    count = volume.size if mask is None else int(mask.sum())
    if count == 0:
        return
    where = np.broadcast_to(np.True_, volume.shape) if mask is None else mask
    mean = sum(float(s.sum(dtype=np.float64, where=w)) for s, w in zip(volume, where, strict=True)) / count
    squares = 0.0
    for s, w in zip(volume, where, strict=True):
        centred = s - np.float32(mean)
        squares += float(np.square(centred, dtype=np.float64).sum(where=w))
    std = max(np.sqrt(squares / count), SMALLEST_STD)
    np.subtract(volume, np.float32(mean), out=volume, where=where)
    np.divide(volume, np.float32(std), out=volume, where=where)


IMAGE_ORDER = 3


def preprocess_image(
    image: Image, case_name: str, plans: Plans, configuration: Configuration
) -> tuple[np.ndarray, CaseProperties]:
    """Return an image in the form that the network takes.

    image: (C, Z, Y, X) as read; it is left as it is. Returns (C, Z', Y', X') float32 in the transposed, cropped, normalized,
    resampled grid, and what was done. Besides its input and output it takes one channel as float32. Values are nnU-Net's, except
    for labelled voxels outside the non-zero mask where a channel is normalized inside it: an image does not depend on its label
    here, so that training sees what prediction will see.
    Raises AutosegError where the channels do not fit the plans, a value is NaN or infinite, or a normalization does not
    fit the values.
    """
    data, properties, _ = _preprocess(image, case_name, plans, configuration)
    return data, properties


def _preprocess(
    image: Image, case_name: str, plans: Plans, configuration: Configuration
) -> tuple[np.ndarray, CaseProperties, np.ndarray | None]:
    """Return what `preprocess_image` does, and the non-zero mask in the cropped grid where a channel is normalized inside it."""
    channels = len(configuration.normalization)
    if len(image.array) != channels:
        raise AutosegError(
            f"case {case_name}: {len(image.array)} channels were found, but the plans were made for {channels}. "
            "Give one image per channel, in the order of the training dataset."
        )
    properties = _properties(image, case_name, plans, configuration)
    raw = crop(properties.order.of(image.array), properties.crop_box)
    masked = any(_inside_mask(configuration, channel) for channel in range(channels))
    mask = nonzero_mask(raw) if masked else None
    apart = anisotropic_axis(properties.spacing_transposed_mm, properties.spacing_resampled_mm)
    same_grid = properties.shape_cropped == properties.shape_resampled
    data = np.empty((channels, *properties.shape_resampled), np.float32)
    for channel, values in enumerate(raw):
        volume = data[channel] if same_grid else np.empty(properties.shape_cropped, np.float32)
        volume[...] = values
        _normalize_channel(volume, channel, case_name, plans, configuration, mask)
        if not same_grid:
            resize(volume, properties.shape_resampled, IMAGE_ORDER, apart, out=data[channel])
    return data, properties, mask


def preprocess_case(
    image: Image, label: Image, case_name: str, plans: Plans, configuration: Configuration
) -> tuple[np.ndarray, np.ndarray, CaseProperties]:
    """Return an image and its label in the form that training takes.

    image: (C, Z, Y, X). label: (1, Z, Y, X) integers >= 0 of the same grid. Both are left as they are.
    Returns data (C, Z', Y', X') float32, seg (1, Z', Y', X') int8 (int16 where a value is above 127) and the
    properties. Where a channel is normalized inside the non-zero mask, background outside of that is OUTSIDE (-1), as in nnU-Net:
    the image is no longer exactly 0 there once it is resampled, and augmentation must know. Labelled voxels stay what they are.
    Raises AutosegError, naming the case.
    """
    if label.array.shape[1:] != image.array.shape[1:]:
        raise AutosegError(
            f"case {case_name}: label has shape {label.array.shape[1:]} but its image {image.array.shape[1:]}. "
            "Correct the label or leave the case out with --skip-bad-cases."
        )
    data, properties, mask = _preprocess(image, case_name, plans, configuration)
    cropped = crop(properties.order.of(label.array[0]), properties.crop_box)
    highest = int(cropped.max())
    if highest > np.iinfo(np.int16).max:
        raise AutosegError(f"case {case_name}: label value {highest} is too high, at most 32767 can be stored.")
    labels = cropped.astype(np.int8 if highest <= 127 else np.int16, order="C")
    apart = anisotropic_axis(properties.spacing_transposed_mm, properties.spacing_resampled_mm)
    seg = resize_labels(labels, properties.shape_resampled, apart)
    if mask is not None and not mask.all():
        outside = resize_labels((~mask).astype(np.int8), properties.shape_resampled, apart)
        seg = np.where((outside > 0) & (seg == 0), np.array(OUTSIDE, seg.dtype), seg)
    return data, seg[np.newaxis], properties


def to_original_grid(labels: np.ndarray, properties: CaseProperties) -> np.ndarray:
    """Put labels back where the image came from.

    labels: (Z, Y, X) in the transposed, cropped grid (already resampled back to `properties.shape_cropped`).
    Returns (Z, Y, X) of the same dtype in the original grid; 0 outside the crop box.
    """
    original = np.zeros(properties.shape_original, labels.dtype)
    crop(properties.order.of(original), properties.crop_box)[...] = labels
    return original


def target_spacing_mm(spacing_mm: Sequence[float], configuration: Configuration) -> Spacing:
    """Return the spacing to resample to, (z, y, x) mm. spacing_mm: the case's own, transposed: 2D keeps its slice distance."""
    z, y, x = (*spacing_mm[: 3 - len(configuration.spacing_mm)], *configuration.spacing_mm)
    return z, y, x


def _properties(image: Image, case_name: str, plans: Plans, configuration: Configuration) -> CaseProperties:
    """Return the image's place in the transposed frame, the part of it that is kept, and the grid that it is resampled to."""
    order = axis_order(image.geometry.orientation, plans.orientation, image.array.shape[1:]).then(plans.transpose)
    (first, second, third), spacing = order.axes, image.geometry.spacing_mm
    z, y, x = nonzero_box(order.of(image.array))
    shape_cropped = (z[1] - z[0], y[1] - y[0], x[1] - x[0])
    spacing_transposed = (spacing[first], spacing[second], spacing[third])
    target = target_spacing_mm(spacing_transposed, configuration)
    return CaseProperties(
        case=case_name,
        shape_original=image.array.shape[1:],
        spacing_mm=spacing,
        transpose=order.axes,
        flipped=order.flipped,
        crop_box=(z, y, x),
        shape_cropped=shape_cropped,
        shape_resampled=resampled_shape(shape_cropped, spacing_transposed, target),
        spacing_resampled_mm=target,
        versions=versions(),
    )


def _inside_mask(configuration: Configuration, channel: int) -> bool:
    return configuration.normalization[channel] == "zscore" and configuration.normalize_inside_mask[channel]


def _normalize_channel(
    volume: np.ndarray,
    channel: int,
    case_name: str,
    plans: Plans,
    configuration: Configuration,
    mask: np.ndarray | None,
) -> None:
    if not (np.isfinite(volume.min()) and np.isfinite(volume.max())):
        raise AutosegError(
            f"case {case_name}: channel {channel} holds NaN or infinite values, but numbers are expected. "
            "Correct the image or leave it out."
        )
    scheme = configuration.normalization[channel]
    if scheme != "ct" and (extreme := extreme_values(volume)):  # "ct" clips them
        raise AutosegError(f"case {case_name}: channel {channel}: {extreme}. {REPLACE_EXTREMES}.")
    statistics = plans.foreground_intensities.get(str(channel))
    try:
        normalize(
            volume, configuration.normalization[channel], statistics,
            mask if _inside_mask(configuration, channel) else None,
        )
    except AutosegError as error:
        raise AutosegError(f"case {case_name}, channel {channel}: {error}") from error
