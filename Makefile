# `make demo` and `make test` need only Python 3.11+, git and make; the environment is made once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export AGENTCI_HOME ?= $(CURDIR)/.agentci/demo
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: demo test up lint format journey coverage clean help

help:
	@echo "make demo     play the scripted commits through the real daemon"
	@echo "make test     run the tests"
	@echo "make up       daemon and Dagster UI on the demo's instance"
	@echo "make lint     ruff, mypy, import contracts"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev,postgres]'
	$(BIN)/python -m compileall -q agentci_dagster
	@touch $@

demo: $(STAMP)
	$(BIN)/agentci demo

up: $(STAMP)
	$(BIN)/agentci up

test: $(STAMP)
	$(BIN)/pytest -n 2 -m "not (journey or docker or postgres)"
	$(BIN)/pytest -m "docker or postgres or journey"

coverage: $(STAMP)
	$(BIN)/pytest -q tests/domain --cov=agentci_dagster.domain --cov-branch \
		--cov-report=term-missing:skip-covered --cov-fail-under=100

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .agentci .pytest_cache .mypy_cache .ruff_cache .coverage
