"""Training an anomaly detector on normal slices: its batches, its task, and a fold from plans to validation."""
