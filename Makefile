# One word each; every target makes the virtual environment it needs. `make` alone tells what there is.
# PYTHON=... names the Python for the virtual environment; the variables of a target stand beside it.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
PORT =
SIMULATOR_PORT =
POOL =
EXIT =
ARGS =
UPGRADE =
export PYTHONPATH := $(CURDIR):$(CURDIR)/plugins

.PHONY: help demo test lint format env schema pictures requirements clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-22s%s\n", $$1, $$2}'

demo: $(VENV)/.runtime  ## Airflow and the simulated Azure on this machine (EXIT=1 ends by itself; POOL=, PORT=, SIMULATOR_PORT=)
	@$(BIN)/python -m include.demo $(if $(POOL),--pool $(POOL)) $(if $(EXIT),--exit) \
	  $(if $(PORT),--port $(PORT)) $(if $(SIMULATOR_PORT),--simulator-port $(SIMULATOR_PORT))

# Four processes also where there are two cores: most tests wait for a simulator or an Airflow.
test: $(VENV)/.dev  ## all tests (ARGS="tests/rules -k verdict" for some)
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.dev  ## style and types
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "Not formatted: run 'make format'."; exit 1; }
	@$(BIN)/mypy

format: $(VENV)/.dev  ## put the code into its form
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

env:  ## a .env of fresh secrets for docker compose
	@$(find_python); "$$python" -m include.local_secrets .env

schema: $(VENV)/.runtime  ## what is generated from the code: JSON schema, tables in docs
	@$(BIN)/python -m golden_pools.spec schema include/pools/pool-spec.schema.json
	@$(BIN)/python -m golden_pools.spec table docs/pool-spec.md
	@$(BIN)/python -m golden_pools.rules.tables docs

pictures: $(VENV)/.dev  ## the pictures in README and docs, from real runs (needs Chromium)
	@GOLDEN_POOLS_REQUIRE=browser GOLDEN_POOLS_PICTURES=docs/images $(BIN)/python -m pytest -q tests/e2e -m browser
	@GOLDEN_POOLS_PICTURES=docs/images $(BIN)/python -m pytest -q tests/test_lineage_command.py -k picture

requirements: $(VENV)/.dev  ## requirements files from pyproject.toml (UPGRADE=1 takes the newest versions)
	@$(PIP_INSTALL) uv
	@$(compile) pyproject.toml -o requirements.txt
	@$(compile) --group dev -c requirements.txt -o tests/requirements.txt

clean:  ## remove what the targets made
	@rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find dags include plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +

# 3.11 is the oldest Python that the code runs on, and the versions of one file must fit all of them.
compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade)

# Sets $python to a Python that will do, or says in one line why there is none. Every candidate is run, since a name on the
# PATH may be no more than a stand-in for a version that is not installed.
define find_python
python=; \
for candidate in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; \
  then python="$$candidate"; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "This needs Python 3.11, 3.12 or 3.13; $$candidate is $$("$$candidate" --version 2>/dev/null || echo missing)." \
    "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
  exit 1; \
fi
endef

# The virtual environment is made anew when it does not run, when another Python is asked for (.python holds the name of
# the one it was made with), and when an installation was broken off (.installing is left behind). The requirements files
# are complete, so pip need not resolve anything (--no-deps).
VENV_STALE := $(shell test ! -e $(VENV)/.installing && $(BIN)/python -c '' 2>/dev/null \
  && { test -z "$(PYTHON)" || test "$(PYTHON)" = "$$(cat $(VENV)/.python 2>/dev/null)"; } || echo stale)

.PHONY: stale
stale:

$(VENV)/.python: $(VENV_STALE)
	@$(find_python); \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	rm -rf $(VENV); mkdir $(VENV); touch $(VENV)/.installing; \
	"$$python" -m venv $(VENV) >&2 \
	  || { echo "$$python makes no virtual environment (on Debian: apt-get install python3-venv)." >&2; exit 1; }; \
	echo "$$python" > $@

$(VENV)/.runtime: $(VENV)/.python requirements.txt
	@echo "Installing requirements.txt into $(VENV), about a minute"
	@touch $(VENV)/.installing
	@$(PIP_INSTALL) --no-deps -r requirements.txt
	@rm $(VENV)/.installing
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime tests/requirements.txt
	@echo "Installing tests/requirements.txt into $(VENV)"
	@touch $(VENV)/.installing
	@$(PIP_INSTALL) --no-deps -r tests/requirements.txt
	@rm $(VENV)/.installing
	@touch $@
