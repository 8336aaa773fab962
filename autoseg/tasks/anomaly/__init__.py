"""Anomalies: how badly the closest normal slice explains a given one (AnoGAN; Schlegl et al. 2017)."""
