"""Localization: at which level of a volume something lies."""
