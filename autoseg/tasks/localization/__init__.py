"""Localization: where along an axis of the patient a level lies, found in a projection of the volume."""
