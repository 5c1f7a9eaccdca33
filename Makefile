# Two commands matter: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install run test check bench clean lock

install: $(VENV)/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Baton needs Python 3.11.5 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.") if sys.version_info < (3, 11, 5) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(VENV)/.installed
	@exec $(BIN)/baton run

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint app --lint --quiet

test: check
	@BATON_PYTHON=$(BIN)/python sh tests/support/packages.sh
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench

# Needs uv. The lock is what pip installs; uv's own file is not kept.
lock:
	uv lock --upgrade
	uv export -q --no-emit-project --no-dev --no-header -o requirements.txt
	uv export -q --no-emit-project --no-header -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
