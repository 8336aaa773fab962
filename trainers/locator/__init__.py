"""Training a locator on projections: its batches, its task, and a fold from plans to validation."""
