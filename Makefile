# The two commands of the README, and what CI runs. Needs Python 3.11 or newer, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAMPLE := demo/photo.jpg

.PHONY: demo test lint install-dev

$(BIN)/mio: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $(BIN)/mio

$(BIN)/pytest: $(BIN)/mio
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(BIN)/pytest

# Installs mio and restores a degraded sample photo with the embedded weights.
demo: $(BIN)/mio
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt scikit-image
	$(BIN)/python tools/sample_photo.py $(SAMPLE)
	$(BIN)/mio restore $(SAMPLE) --task auto --compare
	@echo "look at demo/photo.compare.jpg"

# Installs mio with its test tools, checks style, types and folder dependencies, and runs all tests.
test: lint
	$(BIN)/python -m pytest -n 2

lint: $(BIN)/pytest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
