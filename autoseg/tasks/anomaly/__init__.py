"""Anomaly detection: scoring how unlike normal images an image is."""
