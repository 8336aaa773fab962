"""What preprocessing did to a case: all that is needed to bring a segmentation back."""

from __future__ import annotations

from autoseg.plan import Frozen

Size = tuple[int, int, int]
Spacing = tuple[float, float, float]


class CaseProperties(Frozen):
    """From the original grid to the resampled one, and back.

    shape_original, spacing_mm: (z, y, x) of the image as it was read, voxels and mm.
    transpose: axis of the image as read that became axis 0, 1, 2. All that follows is in the transposed frame:
    crop_box: ((z0, z1), (y0, y1), (x0, x1)), half open, voxels of the image before cropping.
    shape_cropped, shape_resampled: voxels. spacing_resampled_mm: of the resampled grid, mm.
    """

    case: str
    shape_original: Size
    spacing_mm: Spacing
    transpose: tuple[int, int, int]
    crop_box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    shape_cropped: Size
    shape_resampled: Size
    spacing_resampled_mm: Spacing
    versions: dict[str, str]

    @property
    def spacing_transposed_mm(self) -> Spacing:
        """The original spacing, mm, in the transposed frame."""
        first, second, third = self.transpose
        return self.spacing_mm[first], self.spacing_mm[second], self.spacing_mm[third]
