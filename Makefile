# `make` alone tells what there is. Every target installs what it needs first (scripts/setup, idempotent).
.DEFAULT_GOAL := help
.PHONY: help run test check bench soak soak-lives soak-fleet soak-plays soak-relay vm-test fuzz docs sbom words schema deb package-test clean
PYTHON := .venv/bin/python
# Set for containers; here every process, of which the tests start hundreds, would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the whole system on this machine: broker, node, one signed broadcast, live table (ONCE=1: end after the broadcast)
	@scripts/setup run
	@$(PYTHON) -m rig.demo $(if $(filter-out 0,$(ONCE)),--once)

test: ## every test, on real broker, libVLC, sound server; those that listen one by one at the end (ARGS="...": only those)
	@scripts/setup test
ifdef ARGS
	$(PYTHON) -m pytest $(ARGS)
else
	$(PYTHON) -m pytest -m "not alone and not package" --numprocesses auto --dist loadfile
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

soak: ## some four hours, as root: make soak-lives soak-fleet soak-plays soak-relay (KILLS CUTS STORE_CUTS PARTITIONS FLEET PLAYS RELAY_S SEED)
soak: soak-lives soak-fleet soak-plays soak-relay

soak-lives: # a node that is killed, or has no power or no network any more, at any moment
	@scripts/setup test
	KILLS=$(or $(KILLS),220) CUTS=$(or $(CUTS),320) STORE_CUTS=$(or $(STORE_CUTS),1000) SEED=$(or $(SEED),1) \
	  $(PYTHON) -m pytest -o timeout=7200 -rA tests/faults/test_lives.py
	PARTITIONS=$(or $(PARTITIONS),20) KINDS=2 \
	  $(PYTHON) -m pytest -o timeout=7200 -rA tests/faults/test_network.py tests/faults/test_killed_between.py

soak-fleet: # so many nodes whose broker is restarted
	@scripts/setup test
	$(PYTHON) -m rig.soak fleet --nodes $(or $(FLEET),1000)

soak-plays: # so many short items through one node
	@scripts/setup test
	$(PYTHON) -m rig.soak plays --items $(or $(PLAYS),20000) --seed $(or $(SEED),1)

soak-relay: # one relay for so many seconds
	@scripts/setup test
	$(PYTHON) -m rig.soak relay --seconds $(or $(RELAY_S),7200)

vm-test: deb ## the service on an emulated Debian machine: kernel's GPIO, ALSA, watchdog, no clock; as root (docs/virtual-machine.md)
	@scripts/setup vm
	$(PYTHON) -m pytest -o timeout=1800 -rA --durations=0 $(or $(ARGS),tests/vm)

fuzz: ## bend what strangers send, coverage-guided (RUNS=100000 in all, SECONDS_EACH=1800 a target, TARGETS="envelope ...")
	@scripts/setup fuzz
	@$(PYTHON) -m fuzz $(TARGETS) $(if $(RUNS),--runs $(RUNS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

docs: ## the documentation as a site, links checked: build/site
	@scripts/setup test
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

sbom: ## what a node runs on, as CycloneDX: build/sbom.cdx.json
	@scripts/setup test
	@$(PYTHON) -m release.sbom build/sbom.cdx.json

words: ## sentences of the sources into agent/locale/vi/LC_MESSAGES: loa.po for the translator, loa.mo for the node
	@scripts/setup test
	@$(PYTHON) -m release.catalogue

schema: ## config/node.schema.json for editors, from the loader's own tables
	@scripts/setup test
	@$(PYTHON) -m release.schema

deb: ## the Debian packages for a Raspberry Pi and for the office: build/loa-agent_*.deb, build/loa-control_*.deb
	@scripts/setup deb
	@scripts/deb

package-test: deb ## the packages on a Debian 13 with a systemd of its own, as root: installed, heard, upgraded, purged
	@scripts/setup package
	$(PYTHON) -m pytest -m package

clean: ## the environment and every cache
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
