"""What is done to predictions after the network, learned from the cross-validation."""
