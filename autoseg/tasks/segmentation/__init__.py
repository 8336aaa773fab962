"""Segmentation: labels of voxels."""
