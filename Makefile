# make demo   sets up, runs the whole main job on a synthetic dataset, shows where the results lie
# make test   sets up, then linter, type check and tests
# make lint   sets up, then linter and type check
# make fuzz   sets up, then changes files at random for an hour and reads them (docs/fuzzing.md); FUZZ_SECONDS=600 for less

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 3600

.PHONY: demo test lint fuzz setup

setup: $(VENV)/.installed

# torch first and alone: with it in place nothing that follows asks an index for another build of it.
$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/autoseg demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses auto --dist loadfile

fuzz: setup
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)
