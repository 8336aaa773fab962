"""Segmentation: which structure each voxel belongs to."""

from autoseg.task import TaskInfo

INFO = TaskInfo(
    name="segmentation", article="a", noun="segmentation model", plural="segmentation models", does="segments images",
    writes="segmentations", outputs="SEGMENTATIONS", reference="a folder of reference labels",
    recipe="default", configurations=("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"),
    usual_configuration="3d_fullres", planner="default", averages=True, is_default=True,
    shared=(("3d_cascade_fullres", "3d_fullres"),))
