# make setup | demo | study-quick | study | test | check | bench      (the first makes .venv, the others call it)
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3

.PHONY: help setup demo study-quick study test check bench clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## make .venv with everything (a CPU build of torch first)
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -c "import torch" 2>/dev/null || $(PY) -m pip install --quiet torch==2.13.0
	$(PY) -m pip install --quiet -e '.[all,dev]'
	@touch $@

demo: setup ## the main job once, from nothing to a live answer
	$(VENV)/bin/umi demo

study-quick: setup ## the paper's comparison at a small size, under 20 minutes on 4 cores; goes on where it stopped
	$(VENV)/bin/umi study quick --workers 4

study: setup ## the whole comparison: two sizes, three seeds; hours on a CPU; docs/study.md says what it needs
	$(VENV)/bin/umi study full --workers 4

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
