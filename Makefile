# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. PYTHON=python3.12 runs any of them on another interpreter.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test oracle goldens long check docs clean install

PYTHON ?= python3
EXTRAS := data,curate,api,eval,web,docs,aot,test
ORACLE_EXTRAS := data,api,eval,test
# Empty: all of them. GROUP=kill runs one; REDUCED=1 runs the short form.
GROUP ?=
REDUCED ?=
# More arguments for pytest, as in `make test ARGS="tests/data -x"`.
ARGS ?=
IMAGES ?=

# The interpreter: its version chooses the constraints and, unless it is the default, the name of
# the environment, so that two versions lie beside each other.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
SUFFIX := $(if $(filter python3,$(PYTHON)),,-$(VERSION))
VENV := .venv$(SUFFIX)
ORACLE := .venv-oracle$(SUFFIX)
# A folder that a test puts before the environment's own transformers.
OLD_RELEASE := $(ORACLE)/transformers-4.57
CONSTRAINTS := $(or $(wildcard constraints-$(VERSION).txt),constraints-3.12.txt)
# A stamp carries what an environment was made from: another interpreter or folder makes it anew.
ORIGIN := $(shell $(PYTHON) -c 'import sys; print(sys.version, sys.prefix)' 2>/dev/null)
KEY := $(shell echo '$(ORIGIN) $(CURDIR) $(EXTRAS)' | cksum | cut -d ' ' -f 1)

PIP_INSTALL = -m pip --disable-pip-version-check install $(if $(CI),--quiet --progress-bar off)
# A worker that dies ends the run: pytest-xdist may wait for ever for the files of one that it
# starts in its place.
PYTEST_FLAGS := --max-worker-restart 0 $(if $(CI),--quiet)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/installed-$(KEY) ## the whole system at a small size on real images [IMAGES=DIR]
	$(VENV)/bin/python -m lingshu_jax.demo --workdir=runs/demo $(if $(IMAGES),--images='$(IMAGES)')

test: $(VENV)/installed-$(KEY) ## the fast tests; no torch [ARGS="tests/data -x"]
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --timeout 600 $(PYTEST_FLAGS) $(ARGS)

oracle: $(ORACLE)/installed-$(KEY) $(OLD_RELEASE)/installed-$(KEY) ## ours beside torch and transformers [REDUCED=1]
	$(ORACLE)/bin/python -m pytest -m oracle -n 2 --dist loadfile --timeout 1200 $(PYTEST_FLAGS) \
	  $(if $(REDUCED),--reduced) tests/oracle $(ARGS)

goldens: $(ORACLE)/installed-$(KEY) ## write the stored arrays again and show what changed
	for script in tests/make_golden/*.py; do \
	  echo "$$script"; PYTHONPATH=. $(ORACLE)/bin/python "$$script"; done
	git status --short -- tests/golden

long: $(VENV)/installed-$(KEY) ## the slow groups [GROUP=kill|fuzz|aot|browser|ray|vllm|docs] [REDUCED=1]
	VENV=$(VENV) REDUCED=$(REDUCED) bash tools/long.sh $(GROUP)

check: $(VENV)/installed-$(KEY) ## format, lint, types, import direction
	@failed=0; for tool in "ruff format --check" "ruff check" \
	  "pyright --pythonpath $(VENV)/bin/python" "lint-imports --no-logo"; do \
	  echo "check: $$tool"; $(VENV)/bin/$$tool || failed=1; done; exit $$failed

docs: $(VENV)/installed-$(KEY) ## the site of docs/, without network: docs/_build/html
	$(VENV)/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

install: $(VENV)/installed-$(KEY) ## only the environment

clean: ## remove environments, caches and runs
	rm -rf .venv .venv-* build *.egg-info .pytest_cache .ruff_cache .import_linter_cache \
	  .coverage htmlcov docs/_build runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call make_venv,FOLDER,pip arguments): from nothing, unless the folder has the same origin.
define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "error: PYTHON=$(PYTHON) is $(or $(VERSION),not found), allowed is Python 3.11 or newer" >&2; exit 2; }
	@test -e $(1)/origin-$(KEY) || $(PYTHON) -m venv --clear $(1)
	@touch $(1)/origin-$(KEY)
	$(1)/bin/python $(PIP_INSTALL) -c $(CONSTRAINTS) $(2)
endef

$(VENV)/installed-$(KEY): pyproject.toml $(CONSTRAINTS)
	$(call make_venv,$(VENV),-e ".[$(EXTRAS)]")
	@touch $@

$(ORACLE)/installed-$(KEY): pyproject.toml $(CONSTRAINTS) envs/oracle.txt
	$(call make_venv,$(ORACLE),-r envs/oracle.txt -e ".[$(ORACLE_EXTRAS)]")
	@touch $@

$(OLD_RELEASE)/installed-$(KEY): envs/transformers-4.57.txt | $(ORACLE)/installed-$(KEY)
	rm -rf $(@D)
	$(ORACLE)/bin/python $(PIP_INSTALL) --no-deps --target $(@D) -r $<
	@touch $@
