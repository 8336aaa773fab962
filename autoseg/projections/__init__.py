"""Volumes as 2D projections, for what is found at a level of one axis: how they are projected, where the level is, and back."""
