"""nnU-Net v2's trained models: read without running what is in them, and written for it."""
