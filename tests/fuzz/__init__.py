"""A fuzzer: broken, hostile and contradictory files of every kind, each read in a process that may die.

`make fuzz` runs it for an hour, `make test` for a minute with fixed seeds. docs/fuzzing.md explains it.
"""
