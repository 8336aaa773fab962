"""The page `report.html`: what is shared by all tasks. It is given its sections, and names no task."""
