"""CT-like volumes around real kidney masks: the size and the noise of a CT, without any patient's image."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from autoseg.preprocessing.resample import resize_labels

SLICES = (219, 204, 190, 180)  # of the volumes, in turn
AIR, FAT, SOFT_TISSUE, BONE, KIDNEY, TUMOUR = -1000, -100, 40, 400, 130, 70  # mean, HU
NOISE = 20  # standard deviation, HU
LABELS = {"background": 0, "kidney": 1, "tumour": 2}


def make_ct_like_dataset(masks_folder: Path, target_folder: Path, cases: int = len(SLICES)) -> Path:
    """Write a dataset in nnU-Net v2's layout, channel CT, around the masks that cover the most of the body.

    masks_folder: `*.nii.gz` with 0 background, 1 kidney, 2 tumour, stored (z, y, x). cases: how many volumes.
    Volumes are int16, 512×512×about 200, with the masks' in-plane spacing; the same on every run. What is there already
    is kept. Returns `target_folder`.
    """
    extent_mm = {path: _extent_mm(path) for path in sorted(masks_folder.glob("*.nii.gz"))}
    chosen = sorted(sorted(extent_mm, key=lambda path: -extent_mm[path])[:cases])
    for folder in ("imagesTr", "labelsTr"):
        (target_folder / folder).mkdir(parents=True, exist_ok=True)
    for seed, path in enumerate(chosen):
        case = path.name.removesuffix(".nii.gz")
        image, label = (target_folder / part for part in (f"imagesTr/{case}_0000.nii.gz", f"labelsTr/{case}.nii.gz"))
        if not (image.exists() and label.exists()):
            mask, spacing_mm = _finer_mask(path, SLICES[seed % len(SLICES)])
            affine = np.diag([*spacing_mm[::-1], 1.0])
            nibabel.save(nibabel.Nifti1Image(mask.transpose(2, 1, 0), affine), label)
            nibabel.save(nibabel.Nifti1Image(ct_like(mask, seed).transpose(2, 1, 0), affine), image)
    content = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": len(chosen), "file_ending": ".nii.gz"}
    (target_folder / "dataset.json").write_text(json.dumps(content))
    return target_folder


def ct_like(mask: np.ndarray, seed: int) -> np.ndarray:
    """(Z, Y, X) int16, HU, around `mask` (Z, Y, X): an elliptic body in air, with a ring of fat, a spine and ribs."""
    rng = np.random.default_rng(seed)
    _, height, width = mask.shape
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    wanted = ndimage.binary_dilation(mask.any(axis=0), iterations=20)
    radius = np.hypot(x / 0.85, y / 0.65)  # 1 on the skin
    plane = np.full((height, width), float(AIR))
    plane[(radius < 1) | wanted] = FAT
    plane[(radius < 0.85) | wanted] = SOFT_TISSUE
    plane[np.hypot(x, y - 0.35) < 0.1] = BONE
    angle = np.arctan2(y, x)
    volume = np.empty(mask.shape, np.int16)
    for z, labels in enumerate(mask):
        rib = (np.abs(radius - 0.8) < 0.025) & (np.sin(12 * angle + z / 10) > 0.6) & ~wanted
        slice_hu = np.where(rib, BONE, plane)
        slice_hu[labels == 1] = KIDNEY
        slice_hu[labels == 2] = TUMOUR
        volume[z] = np.rint(slice_hu + NOISE * rng.standard_normal(slice_hu.shape)).clip(-1024, 3071)
    return volume


def _extent_mm(path: Path) -> float:
    header = nibabel.load(path).header
    return float(header.get_data_shape()[0] * header.get_zooms()[0])


def _finer_mask(path: Path, slices: int) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The mask (Z, Y, X) uint8 with more slices, and its spacing (z, y, x), mm."""
    stored = nibabel.load(path)
    mask = np.asarray(stored.dataobj).astype(np.uint8)
    spacing = [float(size) for size in stored.header.get_zooms()]
    finer = resize_labels(mask, (slices, *mask.shape[1:]))
    return finer, (spacing[0] * len(mask) / slices, spacing[1], spacing[2])
