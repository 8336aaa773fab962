"""Segmentation: which structure each voxel belongs to."""
