"""Planners, which decide for a dataset before it is preprocessed: one room per task; `request.py` says what each room offers."""
