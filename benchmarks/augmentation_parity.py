"""Effects of our augmentation beside those of nnU-Net's: part of training_parity.py.

Each transform is drawn many times by itself, always, on patches of four shapes, and so is the whole chain with the probabilities
that it has. Effects are measured from the patches that come out (augmentation_effects.py). An effect counts as equal where the
largest distance of the two distributions (Kolmogorov and Smirnov) is below what equal ones exceed once in 1000 times, or where no
quantile differs by more than 0.001. Values that differ by rounding (0.0001) count as the same: many patches of the chain keep
their mean, and each side rounds it in its own way. The whole chain gets all that it can show on both sides; by itself the
spatial transform gets what each side reads for it.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from augmentation_effects import MASKED_CHANNELS, PATCHES, canvas, effects, middle_of

from autoseg.trainers.augmentation import AUGMENTATIONS, Augmentation, TransformSet

ONCE_IN_1000 = math.sqrt(-math.log(0.001 / 2) / 2)
QUANTILES = (0.05, 0.5, 0.95)
ROUNDING = 1e-4
DEFAULT = AUGMENTATIONS["default"]
PROBABILITIES = ("rotation", "scaling", "noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma")
# We read all that the patch shows; nnU-Net a region of a fixed size, and zeros around it. Beyond its edges a blurred image
# repeats its last voxel here, and is mirrored there: what is bright in the middle of a few slices then becomes brighter.
ON_PURPOSE = ("share not read", "flat/all/mean", "flat/all/mean of the masked channel")


def print_augmentation(nnunet_python: str, draws: int, transforms: Sequence[str]) -> int:
    """Print a table of probabilities and one for each patch; return how many effects differ that should not."""
    ours, theirs = _both_sides(nnunet_python, draws, transforms)
    rows = []
    print("\n## Augmentation: how often\n\n| transform | autoseg | nnU-Net | |\n|---|---|---|---|")
    for name in (name for name in transforms if name != "all"):
        mine, other = probability(name), float(theirs[f"3d/{name}/probability"][0])
        rows.append("equal" if mine == other else "DIFFERS")
        print(f"| {name.replace('_', ' ')} | {mine} | {other} | {rows[-1]} |")
    for patch_name, patch in PATCHES.items():
        print(f"\n## Augmentation of {' × '.join(map(str, patch))} voxels, {draws} draws\n\n| transform | effect | autoseg | "
              "nnU-Net | distance | |\n|---|---|---|---|---|---|")
        for key, values in ours.items():
            of_patch, name, effect = key.split("/")
            if of_patch != patch_name:
                continue
            distance, is_equal = compare(values, theirs[key])
            rows.append("equal" if is_equal else "on purpose" if {key, effect} & {*ON_PURPOSE} else "DIFFERS")
            print(f"| {name.replace('_', ' ')} | {effect} | {_text(values)} | {_text(theirs[key])} | {distance:.3f} | "
                  f"{rows[-1]} |")
    print(f"\n{rows.count('equal')} of {len(rows)} equal, {rows.count('on purpose')} differ on purpose.")
    return rows.count("DIFFERS")


def _both_sides(python: str, draws: int, transforms: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return our effects and nnU-Net's, by "PATCH/TRANSFORM/EFFECT". Both are measured at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        file, script = Path(folder) / "answers.npz", Path(__file__).with_name("nnunet_augmentation.py")
        command = [python, script, str(draws), file, *transforms]
        with subprocess.Popen(command, stdout=sys.stderr) as process:
            ours = {f"{patch_name}/{name}/{effect}": values for patch_name, patch in PATCHES.items() for name in transforms
                    for effect, values in measure(name, patch, draws).items()}
        if process.returncode:
            raise SystemExit("nnU-Net's side failed.")
        with np.load(file) as answers:
            return ours, {name: answers[name] for name in answers}


def probability(name: str) -> float:
    """Return how often the default set draws a transform for a sample (mirroring: tries to, along each axis)."""
    if name == "spatial":
        return DEFAULT.rotation if DEFAULT.rotation == DEFAULT.scaling else math.nan
    return 1.0 if name == "mirror" else float(getattr(DEFAULT, name))


def measure(name: str, patch: tuple[int, ...], draws: int) -> dict[str, np.ndarray]:
    """Return the effects of one transform on one patch by name, each (draws,)."""
    rng, (image, label) = np.random.default_rng(0), canvas(name, patch)
    mirror_axes = tuple(range(len(patch))) if name in ("mirror", "all") else ()
    augmentation = Augmentation(patch, mirror_axes, MASKED_CHANNELS if name == "all" else (), transforms=alone(name))
    before, measured = middle_of(image, patch), []
    for _ in range(draws):
        spatial = augmentation.draw_spatial(rng)
        size = patch if spatial is None else spatial.region_size
        region = (torch.from_numpy(middle_of(array, size).copy()) for array in (image, label))
        out, its_label = augmentation.apply(*region, spatial, int(rng.integers(2**31)))
        measured.append(effects(name, before, out.numpy(), its_label.clamp_min(0).numpy()))
    return {effect: np.array([one[effect] for one in measured]) for effect in measured[0]}


def alone(name: str) -> TransformSet:
    """Return the default set with this transform always drawn and no other; all of it for "all"."""
    if name == "all":
        return DEFAULT
    drawn = ("rotation", "scaling") if name == "spatial" else (name,)
    return replace(DEFAULT, **{one: float(one in drawn) for one in PROBABILITIES})


def compare(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, bool]:
    """Return the largest distance of two distributions (of the values that are not NaN), and whether it is that of equal ones."""
    a, b = (np.sort(values[np.isfinite(values)]) for values in (ours, theirs))
    if not (len(a) and len(b)):
        return 0.0 if len(a) == len(b) else 1.0, len(a) == len(b)
    distance = max(_exceeds(a, b), _exceeds(b, a))
    apart = float(np.abs(np.quantile(a, (0.01, *QUANTILES, 0.99)) - np.quantile(b, (0.01, *QUANTILES, 0.99))).max())
    return distance, apart < 1e-3 or distance < ONCE_IN_1000 * math.sqrt(1 / len(a) + 1 / len(b))


def _exceeds(a: np.ndarray, b: np.ndarray) -> float:
    """Return by how much the distribution function of a, moved up by ROUNDING, exceeds that of b at most. a, b: sorted."""
    at = np.concatenate([a + ROUNDING, b])
    return max(0.0, float((np.searchsorted(a, at - ROUNDING, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max()))


def _text(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if len(finite) < 2 or set(finite) <= {0, 1}:
        return f"{finite.mean():.3f}" if len(finite) else "none"
    low, median, high = np.quantile(finite, QUANTILES)
    return f"{finite.mean():.3f} ({low:.3f} … {median:.3f} … {high:.3f})".replace("-0.000", "0.000")
