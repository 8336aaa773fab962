"""SEG as other programs write it: by highdicom, with what it makes by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes


def write_seg(path: Path, images: Sequence[Path], masks: Mapping[str, np.ndarray]) -> Path:
    """Write masks (Z, Y, X) by name, on the planes of `images` in their order, as a BINARY segmentation."""
    sources = [pydicom.dcmread(image) for image in images]
    segments = [highdicom.seg.SegmentDescription(
        number, name, codes.SCT.Organ, codes.SCT.Liver, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
        for number, name in enumerate(masks, 1)]
    made = highdicom.seg.Segmentation(
        sources, np.stack(list(masks.values()), axis=-1), "BINARY", segments, highdicom.UID(), 100, highdicom.UID(), 1,
        "test", "test", "1", "1", omit_empty_frames=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path
