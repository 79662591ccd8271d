# make setup | demo | demo-train | test | check | bench      (the first makes .venv, the others call it)
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3

.PHONY: help setup demo demo-train test check bench clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## make .venv with everything (a CPU build of torch first)
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -c "import torch" 2>/dev/null || $(PY) -m pip install --quiet torch==2.13.0
	$(PY) -m pip install --quiet -e '.[all,dev]'
	@touch $@

demo: setup ## the bundled agent at work: live, verified, measured, and a page of it all
	$(VENV)/bin/umi demo

demo-train: setup ## training: a backbone and three roles, scored and asked
	$(VENV)/bin/umi demo --train

test: setup ## all tests, the slow ones too
	$(PY) -m pytest -n auto -m ""

check: setup ## format, lint, types, layers, tests
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/basedpyright
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -n auto

bench: setup ## every benchmark, each a ratio against a named peer
	$(PY) -m pip install --quiet -e '.[bench]'
	@for file in benchmarks/*.py; do echo "== $$file"; $(PY) $$file || exit 1; done

clean: ## remove what make made
	rm -rf $(VENV) runs dist build
