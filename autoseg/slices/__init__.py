"""Volumes and pictures as square 2D slices, for what is learned from slices: how they are cut, which are normal, and back."""
