# The ways in. Needs `make` and Python 3.11 or newer; every target makes the environment that it needs, in .venv, from
# the locked requirements. Extra words for a command: make test ARGS="-k settings"

VENV = .venv
BIN = $(VENV)/bin
CODE = pipelines assets warehouse tollbook_errors.py
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
COMPILE_LOCK = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config --generate-hashes \
	--no-strip-extras --allow-unsafe --no-emit-options
FOCUS = .focus-validator
FOCUS_PYTHONS = python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python)

.PHONY: help install demo dev test fast lint format bench soak lock clean focus-validator

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

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

# Python 3.12 and no other: the validator's numpy has no later one. Without it, or without a network, its test is skipped.
focus-validator: ## make .focus-validator, with which the tests check `tollbook focus`
	@python=""; for name in $(FOCUS_PYTHONS); do \
		if $$name -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if cmp -s requirements-focus.txt $(FOCUS)/.made-from; then exit 0; \
	elif test -z "$$python"; then echo "no python3.12: FOCUS datasets are tested without the official validator" >&2; \
	else echo "making $(FOCUS) with $$($$python --version)"; $$python -m venv --clear $(FOCUS) \
		&& $(FOCUS)/bin/python -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --no-deps \
			--requirement requirements-focus.txt \
		&& cp requirements-focus.txt $(FOCUS)/.made-from \
		|| echo "$(FOCUS) cannot be made: FOCUS datasets are tested without the official validator" >&2; \
	fi

test: install focus-validator ## every test, on all cores
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

# Files that need not outlast a power cut are quicker in memory.
fast: install ## the tests that a change needs at once: all but the slow ones
	@PYTEST_DEBUG_TEMPROOT=$(firstword $(wildcard /dev/shm) /tmp) $(BIN)/python -m pytest --numprocesses auto \
		--dist worksteal -m "not slow and not soak" $(ARGS)

lint: install ## style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install ## put the code into the format that lint expects
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install ## measure against the goals
	@$(BIN)/python -m bench $(ARGS)

soak: install ## the long fault tests, and properties searched at random: hours; TOLLBOOK_SOAK_PART=3/8 does a part
	@TOLLBOOK_SOAK=1 $(BIN)/python -m pytest -m "soak or hypothesis" $(ARGS)

lock: install focus-validator ## choose the versions again and write requirements.txt, -dev.txt and -focus.txt
	@$(COMPILE_LOCK) --upgrade --output-file requirements.txt pyproject.toml
	@$(COMPILE_LOCK) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
	@$(FOCUS)/bin/python -m pip --disable-pip-version-check --no-input --quiet install pip-tools
	@$(subst $(BIN),$(FOCUS)/bin,$(COMPILE_LOCK)) --upgrade --output-file requirements-focus.txt requirements-focus.in

clean: ## remove what make made
	rm -rf $(VENV) $(FOCUS) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
