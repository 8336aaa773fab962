"""What models do: one room for each task."""
