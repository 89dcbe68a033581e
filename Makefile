# `make` alone tells what there is. Every target installs what it needs first (scripts/setup, idempotent).
.DEFAULT_GOAL := help
.PHONY: help run test check bench soak fuzz docs sbom install clean
PYTHON := .venv/bin/python
# Set for containers; here every process, of which the tests start hundreds, would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the whole system on this machine: broker, node, one signed broadcast, live table (ONCE=1: end after the broadcast)
	@scripts/setup run
	@$(PYTHON) -m rig.demo $(if $(filter-out 0,$(ONCE)),--once)

test: ## every test, on real broker, libVLC, sound server; those that listen one by one at the end (ARGS="...": only those)
	@scripts/setup test
ifdef ARGS
	$(PYTHON) -m pytest $(ARGS)
else
	$(PYTHON) -m pytest -m "not alone" --numprocesses auto --dist loadfile
	$(PYTHON) -m pytest -m alone
endif

check: ## format, lint, types
	@scripts/setup test
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

bench: ## measure, side by side with what else one could use
	@scripts/setup bench
	@$(PYTHON) -m bench

soak: ## lives that end by SIGKILL and by power cuts, some hundreds, as root (KILLS=220 CUTS=320 STORE_CUTS=1000 SEED=1)
	@scripts/setup test
	KILLS=$(or $(KILLS),220) CUTS=$(or $(CUTS),320) STORE_CUTS=$(or $(STORE_CUTS),1000) SEED=$(or $(SEED),1) \
	  $(PYTHON) -m pytest -o timeout=7200 -rA tests/faults/test_lives.py

fuzz: ## bend what strangers send, coverage-guided (RUNS=100000 in all, SECONDS_EACH=1800 a target, TARGETS="envelope ...")
	@scripts/setup fuzz
	@$(PYTHON) -m fuzz $(TARGETS) $(if $(RUNS),--runs $(RUNS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

docs: ## the documentation as a site, links checked: build/site
	@scripts/setup test
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

sbom: ## what a node runs on, as CycloneDX: build/sbom.cdx.json
	@scripts/setup test
	@$(PYTHON) -m release.sbom build/sbom.cdx.json

install: ## on a Raspberry Pi, as root: /opt/loa, /etc/loa, user, unit
	@scripts/install

clean: ## the environment and every cache
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
