# The two commands that a fresh machine needs are `make demo` and `make test`; `make help` lists the others.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that is new enough and can make a virtual environment. Tried by running it: a pyenv shim is on PATH
# whether or not its version is installed.
PYTHON := $(or $(PYTHON),$(shell for p in python3.13 python3.12 python3.11 python3 python3.14 python; do \
	"$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done))
BIN := .venv/bin
# The environment is made again when what it is made from has changed, not when a checkout touches a file.
STAMP := .venv/.made-from-$(shell cat requirements/dev.txt pyproject.toml simulators/pyproject.toml | cksum | tr ' ' '-')
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2
# Many tests wait for processes and for the API server: twice as many of them as cores run at a time.
TESTERS ?= $(shell expr $(WORKERS) '*' 2)
PYTEST := $(BIN)/pytest
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
WORKFLOWS = $(abspath $(wildcard .github/workflows/*.yml examples/*/*.yml))
SCRIPTS = $(shell git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
IMAGE ?= localhost/hf-runner-controller:dev
HELM ?= helm

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: $(STAMP) ## Run the operator against simulated GitHub and Hub; KUBECONFIG=FILE uses that cluster, PROMETHEUS=1 watches it
ifeq ($(origin KUBECONFIG),command line)
	@$(WATCHED) demo --kubeconfig '$(KUBECONFIG)' $(WATCH_PORT)
else
	@$(BIN)/python -m tools.controlplane run -- $(WATCHED) demo --kubeconfig {} $(WATCH_PORT)
endif
WATCHED = $(if $(PROMETHEUS),$(BIN)/python -m tools.monitoring watch --) $(BIN)/hf-runner-controller
WATCH_PORT = $(if $(PROMETHEUS),--web-port @port)

.PHONY: test
test: lint unit ## Check everything but what plays the whole controller: lint, types, layers, dead code, dependencies, tests

.PHONY: unit
unit: $(STAMP) controlplane charttools ## Run the tests, those that need a Kubernetes API server too
	@$(PYTEST) -n $(TESTERS) -m "not played" $(ARGS)

.PHONY: played
played: $(STAMP) ## Run the tests that play the whole controller in virtual time: hours, named scenarios, some seeds
	@$(PYTEST) -n $(WORKERS) -m played -o timeout=2400 $(ARGS)

.PHONY: test-fast
test-fast: $(STAMP) ## Run the tests that need no Kubernetes API server and no processes, and play no hours
	@$(PYTEST) -n $(WORKERS) -m "not controlplane and not slow and not played" $(ARGS)

.PHONY: seeds
seeds: $(STAMP) ## Play seeds 0 to 999 of faults and crashes; fails also when a fault of the table was never played
	@$(BIN)/python -m tests.seeds.fleet --seeds 1000 --sweep interrupted --workers $(WORKERS) --all-faults

SEEDS ?= 10000
.PHONY: soak
soak: $(STAMP) ## Play SEEDS=N (or A-B) seeds of faults and crashes in virtual time, every core; MINUTES=N ends it
	@$(BIN)/python -m tests.seeds.fleet --seeds $(SEEDS) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Check format, style, types, layers, shell scripts, workflows and what is generated
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry --no-ansi controller
	$(BIN)/deptry --no-ansi simulators --config simulators/pyproject.toml
	$(BIN)/deptry --no-ansi tools benchmarks tests --exclude .venv --ignore DEP002,DEP004
	$(BIN)/python -m controller.api.crd --check crds
	$(BIN)/python -m controller.api.crd --check charts/hf-runner-controller/files/crds
	$(BIN)/python -m tools.chart_schema --check
	$(BIN)/python -m controller.api.docs --check docs/reference
	$(BIN)/python -m controller.cli.docs --check docs/reference
	$(BIN)/python -m tools.reasons --check
	$(BIN)/python -m tools.metrics --check
	$(BIN)/python -m tools.monitoring check
	@if command -v shellcheck >/dev/null; then set -x; shellcheck $(SCRIPTS); else \
		echo 'left out: shellcheck is missing; install it with: sudo apt-get install -y shellcheck' >&2; test "$${CI:-}" != true; fi
	$(BIN)/zizmor --offline --no-progress --quiet --persona pedantic .github
	@if command -v go >/dev/null; then set -x; go -C tools/actionlint tool actionlint $(WORKFLOWS); else \
		echo 'left out: actionlint, which is built with Go 1.25 or newer; see https://go.dev/dl' >&2; test "$${CI:-}" != true; fi

.PHONY: mutants
mutants: $(STAMP) ## Change the core in SAMPLE=120 small ways by SEED=1, and say which its own tests miss; FILES="..." names files
	@nice $(BIN)/python -m tools.mutants --seed '$(or $(SEED),1)' --sample '$(or $(SAMPLE),120)' --workers $(WORKERS) $(FILES)

.PHONY: format
format: $(STAMP) ## Format the code and mend what can be mended
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

.PHONY: chaos
chaos: $(STAMP) controlplane ## Kill, stop and cut off real replicas under load for SECONDS=120; SEED=N replays the choices
	@SECONDS='$(or $(SECONDS),120)' SEED='$(SEED)' $(BIN)/python -m tools.chaos

.PHONY: bench
bench: $(STAMP) controlplane ## Print the figures of speed and size, measured on this machine
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: crds
crds: $(STAMP) ## Generate crds/ from the typed models in controller/api
	@$(BIN)/python -m controller.api.crd --write crds
	@$(BIN)/python -m controller.api.crd --write charts/hf-runner-controller/files/crds
	@$(BIN)/python -m tools.chart_schema

.PHONY: docs
docs: $(STAMP) ## Generate docs/reference/ and the dashboard from the code
	@$(BIN)/python -m controller.api.docs --write docs/reference
	@$(BIN)/python -m controller.cli.docs --write docs/reference
	@$(BIN)/python -m tools.reasons
	@$(BIN)/python -m tools.metrics
	@$(BIN)/python -m tools.monitoring write

PNG ?= docs/images/dashboard.png
.PHONY: dashboard
dashboard: $(STAMP) controlplane ## Play a scene for a real Prometheus, try every query of dashboard and rules, draw the panels as PNG
	@mkdir -p '$(dir $(PNG))'
	@$(BIN)/python -m tools.monitoring draw '$(PNG)'

.PHONY: controlplane
controlplane: python ## Get kube-apiserver and etcd: from the cache, by download, or by go build
	@$(PYTHON) -m tools.controlplane assets >/dev/null

.PHONY: chart
chart: $(STAMP) controlplane charttools ## Check the Helm chart with Helm 3 and 4, kubeconform and a real API server
	@$(PYTEST) -n $(TESTERS) tests/chart $(ARGS)

.PHONY: chart-docs
chart-docs: charttools ## Generate the chart's README from its values
	@"$$($(PYTHON) -m tools.charttools)"/helm-docs -c charts/hf-runner-controller -t README.md.gotmpl --sort-values-order file -l error

.PHONY: charttools
charttools: python ## Build the programs that check the chart, from tools/chart/go.mod, into the cache
	@$(PYTHON) -m tools.charttools >/dev/null

.PHONY: venv
venv: $(STAMP) ## Make the virtual environment .venv from the hash-locked requirements

.PHONY: lock
lock: $(STAMP) ## Write requirements/ from pyproject.toml; UPGRADE=1 takes the newest versions
	$(PIP) install --quiet --require-hashes -r requirements/lock.txt
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) --group lock -o requirements/lock.txt
	$(COMPILE) --group audit -o requirements/audit.txt

# An environment of its own: what it needs shall not narrow what we need. --strict: a package that could not be looked up is no good one.
AUDIT := .venv/audit
.PHONY: audit
audit: python ## Ask which packages of requirements/ have known vulnerabilities; asks the package index
	@test -x $(AUDIT)/bin/python || '$(PYTHON)' -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/audit.txt
	@$(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		$(foreach file,$(wildcard requirements/*.txt),--requirement $(file))

.PHONY: pin-base
pin-base: python ## Pin the base image that its tag names now, by digest, in the Dockerfile; asks the registry
	@$(PYTHON) -m tools.pins base

.PHONY: pin-runner
pin-runner: python ## Pin the newest actions/runner with GitHub's own checksums; asks GitHub
	@$(PYTHON) -m tools.pins runner

.PHONY: pins
pins: python ## Check that both pins are right and not older than 30 days; asks the registry and GitHub
	@$(PYTHON) -m tools.pins check

.PHONY: image
image: python ## Build the image IMAGE with docker, podman or buildah; BASE=NAME, BUILDER=NAME, BUILDFLAGS="..."
	@$(PYTHON) -m tools.image build '$(IMAGE)' --builder='$(BUILDER)' --base='$(BASE)' --flags='$(BUILDFLAGS)'

.PHONY: simulators-image
simulators-image: python ## Build an image with the simulated services on top of IMAGE, for `sim` in a cluster
	@$(PYTHON) -m tools.image simulators '$(IMAGE)' --builder='$(BUILDER)' --flags='$(BUILDFLAGS)'

.PHONY: e2e
e2e: $(STAMP) image ## Play the whole story on the current kubeconfig's cluster; LOAD=COMMAND takes an image archive to its nodes
	@$(BIN)/python -m tools.e2e --image='$(IMAGE)' --builder='$(BUILDER)' --base='$(BASE)' --flags='$(BUILDFLAGS)' \
		--before='$(BEFORE)' --load='$(LOAD)' $(foreach helm,$(HELM),--helm='$(helm)')

.PHONY: clean
clean: ## Remove what the other targets made here (the control plane's cache stays)
	@rm -rf .venv .demo dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: python
python:
	@test -n '$(PYTHON)' || { printf '%s\n' 'make: no Python 3.11 or newer that can make a virtual environment.' \
		'Install one with: sudo apt-get install -y python3 python3-venv   (or: brew install python@3.13)' >&2; exit 1; }

$(STAMP): | python
	@echo 'making .venv from requirements/dev.txt with $(PYTHON)' >&2
	@test -x $(BIN)/python || '$(PYTHON)' -m venv .venv
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable . --editable simulators
	@rm -f .venv/.made-from-* && touch $@
