"""Losses: each is called with logits (B, K, *spatial) and label values (B, 1, *spatial) and gives a scalar."""
