# Everything one does in this repository, by name. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The interpreter that makes the virtual environment; any CPython from 3.11 on.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# `make test ARGS="-k ladder -x"` passes options on to pytest.
ARGS ?=
# `make demo VIDEO=/path/to/file.mp4` encodes a file of your own.
VIDEO ?=

PACKAGES := engine streams api
# Folders with Python of our own; one that does not exist yet is left out.
SOURCES := $(wildcard $(PACKAGES) tests deploy benchmarks)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^## / { printf "\n\033[1m%s\033[0m\n", substr($$0, 4) } \
		/^[a-z-]+:.*## / { printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Start

.PHONY: setup
setup: $(STAMP) ## Build .venv from requirements.lock (nothing to do when the lock is unchanged)

# Hashes are checked for every package; the project itself is installed in place, from the backend in the lock.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: no python3.11 or python3 on PATH" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: Python 3.11 or newer is needed, $(PYTHON) is older; set PYTHON=" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@if ! cmp -s requirements.lock $(VENV)/requirements.lock; then \
		echo "setup: installing what requirements.lock pins"; \
		$(BIN)/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements.lock \
		&& cp requirements.lock $(VENV)/requirements.lock; \
	fi
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "setup: $(VENV) is ready"

.PHONY: demo
demo: $(STAMP) ## Run a real video through a workflow (VIDEO=file for your own)
	@$(BIN)/python deploy/demo/run.py $(if $(VIDEO),--video "$(VIDEO)") $(ARGS)

.PHONY: kafka
kafka: $(STAMP) ## Run a Kafka broker in the foreground, for development (ARGS="--nodes 3")
	@$(BIN)/python deploy/kafka/broker.py $(ARGS)

## Check

# In two parts: tests that share the machine well use every core; the broker, and tests that take long or measure
# time, come after, one at a time. With ARGS it is one plain run of pytest, so that a single test can be asked for.
.PHONY: test
test: $(STAMP) ## Run every test (ARGS="tests/engine -k retry" for some of them)
ifeq ($(ARGS),)
	@$(BIN)/pytest -n auto -m "not kafka and not slow"
	@$(BIN)/pytest -m "kafka or slow"
else
	@$(BIN)/pytest $(ARGS)
endif

.PHONY: test-unit
test-unit: $(STAMP) ## Run the tests of the pure engine and of the architecture (seconds)
	@$(BIN)/pytest -q -m "not kafka and not slow" $(wildcard tests/engine tests/architecture) $(ARGS)

# Branches too. Without the test that counts instructions: it wants the tracing hook for itself.
.PHONY: coverage
coverage: $(STAMP) ## Measure which lines and branches of the engine its tests take; 95 % is the least
	@mkdir -p .cache
	@COVERAGE_FILE=.cache/coverage $(BIN)/python -m coverage run --branch --source=engine -m pytest -q \
		-m "not kafka and not slow" --ignore=tests/engine/test_flat_cost.py tests/engine $(ARGS)
	@COVERAGE_FILE=.cache/coverage $(BIN)/python -m coverage report --skip-covered --show-missing --fail-under=95

.PHONY: lint
lint: $(STAMP) ## Check style, format, types (twice) and imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(STAMP) ## Format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: openapi
openapi: $(STAMP) ## Write docs/reference/openapi.json anew, from the routes and their types
	@$(BIN)/python -m api.openapi > docs/reference/openapi.json

.PHONY: bench
bench: $(STAMP) ## Measure this machine against the budgets (ARGS chooses; see benchmarks/README.md)
	@$(BIN)/python -m benchmarks $(ARGS)

## Ship

.PHONY: wheel
wheel: $(STAMP) ## Build dist/podium-*.whl, offline
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls -1 dist

.PHONY: lock
lock: $(STAMP) ## Make requirements.lock anew from the pins in pyproject.toml
	@{ echo "# Every package of the runtime and of both extras, pinned with hashes. Made by \`make lock\`; do not edit."; \
		$(BIN)/uv pip compile --quiet --no-header --universal --python-version 3.11 --all-extras \
			--generate-hashes --no-emit-index-url --no-emit-find-links pyproject.toml; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

.PHONY: clean
clean: ## Remove what the other targets made, the virtual environment and the cache of jars included
	@rm -rf $(VENV) .cache .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
