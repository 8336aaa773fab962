"""Checks that find what is wrong with a dataset.

`case.py` and `whole.py` hold the checks, `inspection.py` runs them, `repair.py` corrects labels.
"""
