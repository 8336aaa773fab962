"""How slices for an anomaly detector are planned: which way volumes are cut, and which slices are normal."""
