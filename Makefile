# Two commands matter: `make run` and `make test`. The rest serves them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready
# Containers often forbid to keep compiled modules: each process would compile all tests anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test check canary gauntlet prove bench nightly lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Make .venv from the locked requirements

# The stamp makes every later command work without a network.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on the PATH: install Python 3.11, or say PYTHON=python3.12 make …" >&2; exit 2; }
	@echo "setting up .venv (once)…"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(READY) ## Start the stack, run every suite against the reference service, print one verdict
	@$(BIN)/billing-harness run -n 2 $(ARGS)

test: $(READY) ## Run the project's own tests
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

canary: $(READY) ## Break the reference on purpose, once: the suites must notice
	@$(BIN)/billing-harness gauntlet --defect canary --suite e2e --report reports/canary $(ARGS)

gauntlet: $(READY) ## Break it in every way there is; write the matrix of who found what (minutes)
	@$(BIN)/billing-harness gauntlet --quick --json fixtures/kill_matrix.json $(ARGS) || test $$? -eq 99
	@$(BIN)/python -m tools.docs_tables

prove: $(READY) ## Hold every panel and alert of the dashboards against the ledger
	@$(BIN)/billing-harness dashboards prove $(ARGS)

check: $(READY) ## Lint, format, types, import contract, secrets, dead links
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tools.scan_secrets
	@$(BIN)/python -m tools.check_links
	@$(BIN)/python -m tools.docs_tables --check
	@$(BIN)/billing-harness dashboards build --check --docs docs

bench: $(READY) ## Side-by-side measurements (minutes)
	@$(BIN)/python -m benchmarks $(ARGS)

nightly: $(READY) ## Everything that takes long, with coverage, then every load at full size (hours)
	@$(BIN)/pytest -n 2 -m "nightly or not nightly" --hypothesis-profile=nightly \
	  --cov --cov-report=term:skip-covered $(ARGS)
	@$(BIN)/billing-harness load all --target-processes 2

lock: ## Lock the versions in pyproject.toml anew (needs a network)
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -o requirements.lock

clean: ## Remove what these commands made
	@rm -rf .venv build dist reports results .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
