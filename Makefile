# One command per check. Each makes the environment it needs, on a machine with only Python 3.11 and make.

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
BASE   := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
BENCH  := $(VENV)/.installed-bench
YEAR   := $(VENV)/.installed-year
ATTACK := $(PY) -m pytest -m slow --override-ini timeout=5400

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types docs package test-pythons test-slow coverage bench format clean \
	attack-flights attack-bytes attack-thinking attack-migrations attack-backups attack-salvage attack-races

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 20

demo: $(BASE) ## a month of real flights through durable agents, killed again and again, totals exact
	@$(PY) -m examples.flights.demo

# STATUS=FILE: write pytest's exit code there and succeed, because make turns every failure into its own 2.
test: $(DEV) ## lint, types, package, then the tests (without the long attacks)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory package
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal$(if $(STATUS),; echo $$? > $(STATUS))

lint: $(DEV) ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(DEV) ## mypy --strict, then pyright
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)

docs: $(DEV) ## the documentation covers the code, and its examples run
	@$(PY) -m pytest $(wildcard tests/test_docs*.py) tests/test_readme.py tests/test_task_chat.py

package: $(DEV) ## build wheel and sdist, try the wheel in an environment of its own
	@$(PY) .ci/package.py

test-pythons: $(DEV) ## a selection of the tests under the other supported Pythons that are installed
	@$(PY) .ci/pythons.py

test-slow: $(DEV) ## the long attacks: hundreds of kills, a million agents
	@$(PY) -m pytest -m slow --override-ini timeout=3600

# Parts of `test-slow`, each with an end in sight; ATTACK_SEED=NUMBER repeats one that draws its seed.
attack-flights: $(YEAR) ## the flights year lost, and recovered from a full backup and twenty incremental ones
	@$(ATTACK) tests/backup/test_flights.py

attack-bytes: $(DEV) ## every byte of a small backup, and of the one it builds on, flipped in turn
	@$(ATTACK) tests/backup/test_damage.py

attack-thinking: $(DEV) ## runs of agents that think killed 200 times, and the enquiries at each of their model calls
	@$(ATTACK) tests/llm/test_kill.py tests/test_examples_enquiries.py

attack-migrations: $(DEV) ## migrations of agents and of what waits, there and back, killed 600 times
	@$(ATTACK) tests/schema/test_kill.py tests/schema/test_kill_calls.py

attack-backups: $(DEV) ## backups made, brought back, pruned, written anew and put in place, killed 600 times
	@$(ATTACK) tests/backup/test_kill.py

attack-salvage: $(DEV) ## stores damaged in nine ways, 2,700 times, and repaired
	@$(ATTACK) tests/attack/test_salvage.py

attack-races: $(DEV) ## the tests while threads change places all the time
	@$(PY) -m pytest --hasty -n auto --maxprocesses 4 --dist worksteal

coverage: $(DEV) ## the tests under branch coverage, held to the floor in pyproject.toml
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

bench: $(BENCH) ## every figure of docs/benchmarks.md, peers measured in the same run
	@$(PY) -m benchmarks

format: $(DEV) ## let ruff put things right
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

clean: ## remove the environment, builds and caches
	rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian splits ensurepip off into a package of its own: without it, the pip that is there installs another.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(PY) install --quiet --disable-pip-version-check pip; }

$(BASE): $(VENV)/pyvenv.cfg pyproject.toml
	@echo "installing perdure"
	@$(PIP) --editable .
	@touch $@

$(DEV): $(VENV)/pyvenv.cfg pyproject.toml
	@echo "installing perdure and its tools"
	@$(PIP) --editable '.[dev]'
	@touch $(BASE) $@

$(YEAR): $(DEV)
	@echo "installing the flights of the year"
	@$(PIP) --editable '.[flights]'
	@touch $@

$(BENCH): $(VENV)/pyvenv.cfg pyproject.toml
	@echo "installing perdure and the peers it is measured against"
	@$(PIP) --editable '.[bench,flights]'
	@touch $(BASE) $@
