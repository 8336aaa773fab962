"""What tests share: real data where it is there, and small anisotropic cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.image_io import write_image, write_label
from autoseg.workspace import write_json

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets beside the checkout; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not here: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A dataset in nnU-Net's layout: three training cases and a test case of 4 × 6 × 5 voxels of 3 × 1 × 1 mm.

    Channel "MRI"; labels organ (1, a block of 8 voxels) and lesion (2, one voxel inside the case's corner).
    """
    folder = tmp_path / "Dataset001_Tiny"
    for number in range(4):
        image, label = tiny_case(number)
        kind = "Tr" if number < 3 else "Ts"
        write_image(folder / f"images{kind}" / f"tiny_{number}_0000.nii.gz", image.array, like=image)
        if kind == "Tr":
            write_label(folder / "labelsTr" / f"tiny_{number}.nii.gz", label, like=image)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}, "numTraining": 3,
        "file_ending": ".nii.gz",
    })
    return folder


def tiny_case(seed: int) -> tuple[Image, np.ndarray]:
    """Image (1, 4, 6, 5) int16, none of its voxels zero, and label (4, 6, 5) uint8."""
    image = np.random.default_rng(seed).integers(1, 1000, (1, 4, 6, 5)).astype(np.int16)
    label = np.zeros((4, 6, 5), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label[3, 5, 4] = 2
    return Image(image, Geometry((3.0, 1.0, 1.0), (10.0, -20.0, 30.0))), label
