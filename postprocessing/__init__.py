"""Post-processing of predictions, learned from the cross-validation."""
