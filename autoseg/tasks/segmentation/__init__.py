"""Segmentation: finding structures voxel by voxel."""
