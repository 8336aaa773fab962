"""Explanations of what networks answer: maps of the voxels that an answer depends on, by captum, and pictures of them."""
