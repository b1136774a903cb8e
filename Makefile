# make demo | test | lint | docs | clean. Every target makes .venv first; the second time that costs nothing.
#
#   make PYTHON=python3.12          another Python
#   make CONSTRAINTS=/dev/null      the newest releases instead of the pinned pair of torch and torchvision
#   make test PYTEST='-k segment'   some of the tests; PYTEST='-n 0' one after the other

PYTHON      ?= $(shell command -v python3.11 || command -v python3)
CONSTRAINTS ?= requirements/ci.txt
PYTEST      ?=
DEMO        ?=
VENV        := .venv
BIN         := $(VENV)/bin
READY       := $(VENV)/.ready

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint format docs clean venv
.DEFAULT_GOAL := demo

venv: $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "dsrnss needs Python 3.10 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/dsrnss demo $(DEMO)

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist demo site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
