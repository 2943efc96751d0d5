# Needs Python 3.11 or later and make; everything else is installed into .venv.
PYTHON ?= python3
UV_VERSION := 0.13.8
MEMBERS := schemas runtime gateway call-router stt-worker dialog-worker tts-worker studio
# Tests that share nothing with the others of tests/, and measure no time.
APART := tests/contract tests/integration tests/test_architecture.py \
  $(foreach what,api api_phone broken_voices broken_ears broken_minds secrets usage languages,tests/e2e/test_$(what).py)
BIN := .venv/bin
UV := VIRTUAL_ENV=.venv $(BIN)/uv --quiet
# What .ci/run adds: the beginning of `--junitxml=…`.
PYTEST_ARGS ?=
EXAMPLES ?= 100

.DEFAULT_GOAL := help
.PHONY: help demo test check check-api format lock

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: .venv/.members ## A call of four utterances with a booking bot, on this machine
	@$(BIN)/callbot demo

test: .venv/.members ## All tests
	@echo "Members, and what has a platform of its own …"
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(MEMBERS:%=%/tests) $(APART) $(PYTEST_ARGS:%=%-members.xml)
	@echo "The platform as a whole …"
	@$(BIN)/python -m pytest tests $(APART:%=--ignore=%) $(PYTEST_ARGS:%=%-whole.xml)

check: .venv/.members ## Format, lint, types, generated files: seconds
	@echo "Checking format and lint …"
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@echo "Checking types …"
	@$(BIN)/mypy $(MEMBERS:%=%/src) tests
	@echo "Checking generated files …"
	@$(BIN)/python -m callbot.schemas.asyncapi --check
	@$(BIN)/python -m callbot.gateway.api.openapi --check

check-api: .venv/.members ## The API against its documents, with node and npm; EXAMPLES=100 for each operation
	@$(BIN)/python tests/api/check_api.py --examples $(EXAMPLES) $(SEED:%=--seed %) $(AUTH:%=--auth %)

format: .venv/.members ## Bring the code into shape
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

# Packages that the overrides in pyproject.toml keep out are left in the result as `never`: they are cut.
lock: .venv/.uv ## Write requirements.lock anew from every pyproject.toml; UPGRADE=--upgrade takes new versions
	@mkdir -p build && cp requirements.lock build/requirements.lock
	@$(UV) pip compile $(MEMBERS:%=%/pyproject.toml) --group pyproject.toml:dev --all-extras \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  $(MEMBERS:%=--no-emit-package callbot-%) $(UPGRADE) --output-file build/requirements.lock
	@awk "/^[^ ]/ {keep = !/sys_platform == 'never'/} keep" build/requirements.lock > requirements.lock
	@echo "requirements.lock holds $$(grep -c '^[a-z]' requirements.lock) packages"

.venv/.members: .venv/.dependencies $(MEMBERS:%=%/pyproject.toml)
	@echo "Installing the members of the workspace …"
	@$(UV) pip install --no-deps $(MEMBERS:%=-e %)
	@touch $@

.venv/.dependencies: requirements.lock .venv/.uv
	@echo "Installing $$(grep -c '^[a-z]' requirements.lock) packages: a minute or two the first time …"
	@$(UV) pip install --no-deps --require-hashes -r requirements.lock
	@touch $@

.venv/.uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Making .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
