# The ways in. Needs `make` and Python 3.11 or newer; every target makes the environment that it needs, in .venv, from
# the locked requirements. Extra words for a command: make test ARGS="-k settings"

VENV = .venv
BIN = $(VENV)/bin
CODE = pipelines assets warehouse tollbook_errors.py
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
COMPILE_LOCK = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config --generate-hashes \
	--no-strip-extras --allow-unsafe --no-emit-options

.PHONY: help install demo dev test lint format bench soak lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed ## make .venv with .venv/bin/tollbook

# What the lock says, and nothing left of an older one. Bytecode is made here, on all cores, and not at first use:
# it cuts a start from seconds to a fraction. (-qq: some packages carry templates that are not Python.)
$(VENV)/.locked: requirements-dev.txt
	@python=""; for name in python3.11 python3 python; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	test -n "$$python" || { echo "make: Python 3.11 or newer is needed, as python3.11 or python3" >&2; exit 1; }; \
	echo "making $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --no-deps --no-compile --requirement requirements-dev.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

# Our own code stays where it is; nothing is fetched. (The warning it silences: a folder of the same name may shadow us.)
$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq -j 0 $(CODE)
	@touch $@

demo: install ## the nightly load on the bundled vendors, on loopback, and last month's report
	@$(BIN)/tollbook demo $(ARGS)

dev: install ## Dagster's own pages, on loopback
	@$(BIN)/tollbook dev $(ARGS)

test: install ## every test, on all cores
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

lint: install ## style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install ## put the code into the format that lint expects
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install ## measure against the goals
	@$(BIN)/python -m bench $(ARGS)

soak: install ## the long fault tests: hours
	@TOLLBOOK_SOAK=1 $(BIN)/python -m pytest -m soak $(ARGS)

lock: install ## choose the versions again and write requirements.txt and requirements-dev.txt
	@$(COMPILE_LOCK) --upgrade --output-file requirements.txt pyproject.toml
	@$(COMPILE_LOCK) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
