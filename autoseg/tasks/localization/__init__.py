"""Localization: finding the height of a structure in a volume."""
