"""How a segmentation is planned: the rules of nnU-Net v2, from a fingerprint of the dataset."""
