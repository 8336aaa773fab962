"""Anomaly detection: which slices of an image are not normal."""
