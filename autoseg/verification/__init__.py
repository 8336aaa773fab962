"""What is wrong with a dataset: `verify.py` runs all checks, `case.py` and `whole.py` hold them, `repair.py` mends."""
