"""Effects of an augmentation on a patch, measured from its output; both sides of augmentation_parity.py import it.

`canvas` gives a volume and its label for each transform, around the patch that is asked for; `effects` compares what came out
with the patch in its middle. Arrays: image (C, *spatial) float32, label (1, *spatial) int16.
"""

from __future__ import annotations

import numpy as np

PATCHES = {"3d": (24, 24, 24), "flat": (8, 32, 32), "2d": (64, 56), "long_2d": (32, 64)}
EVERY = 5  # voxel is enough to find where all of them went
TRANSFORMS = ("spatial", "noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma", "mirror", "all")
MASKED_CHANNELS = (0,)
AROUND = 3  # edges of a canvas are so many times the patch's: more than any transform shows


def canvas(transform: str, patch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return image and label. Where voxels move, each channel holds the offset from the centre along one axis, the last ones."""
    size = tuple(AROUND * edge if transform in ("spatial", "all") else edge for edge in patch)
    offsets = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij")).astype(np.float32)
    middle = np.array(patch).reshape(-1, *(1 for _ in patch))
    label = (np.sqrt(((offsets / middle) ** 2).sum(0)) < 0.4).astype(np.int16)
    label[np.sqrt(((offsets / middle - 0.1) ** 2).sum(0)) < 0.2] = 2
    if transform in ("spatial", "mirror"):
        return np.concatenate([offsets, np.ones_like(offsets[:1])]), label[None]
    random = np.random.default_rng(0)
    image = random.standard_normal((2, *size)).astype(np.float32)
    if transform == "all":
        image += np.where(label > 0, 2, 0)
        label[offsets[-1] > 0.45 * patch[-1]] = -1
        image[0, label < 0] = 0
    if "gamma" in transform or transform == "contrast":
        image = np.abs(image)  # a range that is not symmetric
    return image, label[None]


def middle_of(array: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the part of an array (C, *spatial) around its centre, or half a voxel below it where parities differ."""
    low = [(n - edge) // 2 for n, edge in zip(array.shape[1:], size, strict=True)]
    return array[(slice(None), *(slice(first, first + edge) for first, edge in zip(low, size, strict=True)))]


def effects(transform: str, before: np.ndarray, image: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return by name what was done. before: the patch's image; image and label: what came out. NaN where there is nothing to
    measure, as in a channel that was not drawn."""
    return {"spatial": _moved, "mirror": _mirrored, "all": _all}.get(transform, _changed)(transform, before, image, label)


def _moved(transform: str, before: np.ndarray, image: np.ndarray, label: np.ndarray) -> dict[str, float]:
    dimensions = image.ndim - 1
    inside = image[-1] > 0.9999
    places, offsets = image[:-1][:, inside][:, ::EVERY], before[:-1][:, inside][:, ::EVERY]
    known = np.concatenate([offsets, np.ones_like(offsets[:1])]).T.astype(float)
    matrix = np.linalg.lstsq(known, places.T.astype(float), rcond=None)[0][:-1].T
    flat = dimensions == 3 and before.shape[2] > 3 * before.shape[1]
    moved = matrix[-2:, -2:] if flat else matrix
    scale = abs(np.linalg.det(moved)) ** (1 / len(moved))
    turn = moved / scale
    angles = {"angle, °": np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))} if len(turn) == 2 else {
        "whole angle, °": np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))),
        **{f"{'zyx'[at]} of turned {'zyx'[axis]}": float(turn[at, axis]) for at in range(3) for axis in range(3) if at != axis}}
    return {"scale": scale, **angles, "share not read": float((image[-1] < 0.5).mean()),
            **{f"share of label {value}": float((label == value).mean()) for value in (1, 2)}}


def _mirrored(transform: str, before: np.ndarray, image: np.ndarray, label: np.ndarray) -> dict[str, float]:
    return {f"axis {axis} flipped": float(image[axis].ravel()[0] * before[axis].ravel()[0] < 0) for axis in range(image.ndim - 1)}


def _changed(transform: str, before: np.ndarray, image: np.ndarray, label: np.ndarray) -> dict[str, float]:
    measured = [_OF[transform](one, changed) for one, changed in zip(before, image, strict=True)]
    of_second = {f"{name}, 2nd channel less 1st": measured[1][name] - value for name, value in measured[0].items()}
    first = {"channel changed": float(not np.array_equal(before[0], image[0])), **measured[0]}
    return first | {name: value for name, value in of_second.items() if name in ("std added", "factor", "exponent")}


def _all(transform: str, before: np.ndarray, image: np.ndarray, label: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(image[1], (0.01, 0.5, 0.99))
    return {
        "mean": float(image[1].mean()), "std": float(image[1].std()), "1 % quantile": float(low), "median": float(median),
        "99 % quantile": float(high), "roughness": _roughness(image[1], image.ndim - 2), "mean of the masked channel":
        float(image[0].mean()), "zeros in the masked channel": float((image[0] == 0).mean()),
        **{f"share of label {value}": float((label == value).mean()) for value in (1, 2)}}


def _noise(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    return {"std added": float((image - before).std()), "mean added": float((image - before).mean())}


def _blurred(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Measure the width along each axis from how alike neighbours have become: for a Gaussian, exp(-1 / 4σ²)."""
    if np.array_equal(before, image):
        return {f"σ along axis {axis}": np.nan for axis in range(before.ndim)} | {"σ, last axis less first": np.nan}
    alike = [min(max(_alike(image, axis), 1e-6), 0.999) for axis in range(image.ndim)]
    widths = [float(np.sqrt(-1 / (4 * np.log(one)))) for one in alike]
    by_axis = {f"σ along axis {axis}": width for axis, width in enumerate(widths)}
    return by_axis | {"σ, last axis less first": widths[-1] - widths[0]}


def _brightness(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    return {"factor": float((before * image).sum() / (before**2).sum()), "mean": float(image.mean())}


def _contrast(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    mean = before.mean()
    near = np.abs(before - mean) < 0.3 * before.std()
    return {"factor": float(((before - mean) * (image - mean))[near].sum() / ((before - mean) ** 2)[near].sum()),
            "lowest value moved by": float(image.min() - before.min()), "highest by": float(image.max() - before.max())}


def _coarser(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    if np.array_equal(before, image):
        return dict.fromkeys(("share of the std left", "likeness of neighbours, first axis", "last axis"), np.nan)
    return {"share of the std left": float(image.std() / before.std()), "likeness of neighbours, first axis": _alike(image, 0),
            "last axis": _alike(image, image.ndim - 1)}


def _gamma(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Measure the exponent where the value, scaled to 0..1, is near a half; keeping mean and std changes no scaled value."""
    scaled, changed = ((one - one.min()) / (one.max() - one.min()) for one in (before.astype(float), image.astype(float)))
    near = np.abs(scaled - 0.5) < 0.05
    return {"exponent": float(np.median(np.log(changed[near]) / np.log(scaled[near]))), "mean moved by":
            float(image.mean() - before.mean()), "std by": float(image.std() - before.std())}


def _inverted_gamma(before: np.ndarray, image: np.ndarray) -> dict[str, float]:
    return _gamma(-before, -image)


def _alike(image: np.ndarray, axis: int) -> float:
    """Return the correlation of neighbours along an axis, away from the edges."""
    lines = np.moveaxis(image, axis, 0) - image.mean()
    lines = lines[2:-2] if len(lines) > 8 else lines[1:-1]
    return float((lines[1:] * lines[:-1]).mean() / (lines**2).mean())


def _roughness(image: np.ndarray, axis: int) -> float:
    """Return the standard deviation of differences of neighbours along an axis."""
    return float(np.diff(image, axis=axis).std())


_OF = {"noise": _noise, "blur": _blurred, "brightness": _brightness, "contrast": _contrast, "low_resolution": _coarser,
       "inverted_gamma": _inverted_gamma, "gamma": _gamma}
