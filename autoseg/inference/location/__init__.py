"""Locators at work: from a volume to the slice where something lies."""
