# Needs Python 3.11 and a package index; everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# The CPU build. On a GPU machine give your own, for example: make demo TORCH=torch
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
OUT ?= out/demo

.PHONY: demo test test-all check install clean

install: $(READY)

# pai-easynlp's own pins (torch<1.10) never resolve, so it comes without dependencies; this package comes last, so that
# the `easynlp` command is its own.
$(READY): pyproject.toml setup.py configs/constraints.txt configs/no-deps.txt
	@test -n "$(PYTHON)" || { echo "error: no python3.11 found; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" -c configs/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r configs/no-deps.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c configs/constraints.txt -e '.[test]'
	touch $@

demo: $(READY)
	$(BIN)/python examples/demo/run.py --out $(OUT)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c configs/constraints.txt -e '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info
