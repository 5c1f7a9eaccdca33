# Two commands matter: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAMPLE := examples/recommender
# With our own Python, whose version is right.
IN_SAMPLE := $(MAKE) -s --no-print-directory -C $(SAMPLE) PYTHON=$(CURDIR)/$(BIN)/python
# It watches latencies, which tests beside it would spoil.
ALONE := tests/end_to_end/test_sample_faults.py

.PHONY: install run break heal test check bench clean lock

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

# With the sample beside it, unless BATON_SAMPLE=off. Baton needs none of its packages.
run: $(VENV)/.installed
	@case "$$(echo "$${BATON_SAMPLE:-on}" | tr A-Z a-z)" in off|0|no|n|false|f) exit 0;; esac; \
	$(IN_SAMPLE) -q install 2>/dev/null && exit 0; \
	echo "Installing the packages of the sample, once. BATON_SAMPLE=off leaves it out."; \
	$(IN_SAMPLE) install >/dev/null 2>&1 || echo "The sample can't be installed, so Baton runs \
	without it. Why: make -C $(SAMPLE) install"
	@exec $(BIN)/baton run

break: $(VENV)/.installed
	@$(BIN)/baton sample break $(FAULT)

heal: $(VENV)/.installed
	@$(BIN)/baton sample heal $(FAULT)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint app --lint --quiet

test: check
	@BATON_PYTHON=$(BIN)/python sh tests/support/packages.sh
	$(IN_SAMPLE) test-units
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore $(ALONE)
	$(BIN)/pytest $(ALONE)

bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench

# Needs uv. The lock is what pip installs; uv's own file is not kept.
lock:
	uv lock --upgrade
	uv export -q --no-emit-project --no-dev --no-header -o requirements.txt
	uv export -q --no-emit-project --no-header -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
