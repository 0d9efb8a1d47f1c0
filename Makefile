# Polyport's everyday commands: `make help` lists them. Needs make and Python 3.11 or newer with venv and pip; all else comes from PyPI.

MAKEFLAGS += --no-print-directory
# Hundreds of tests start the program anew: where bytecode may not be kept, each start compiles all of it again, which takes longer than the test.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup demo run test lint format docs bench bench-peers profile drill corpus lock clean

# PYTHON=... chooses the interpreter that makes .venv; ARGS=... is handed to demo, run, bench, bench-peers, profile, drill, corpus and lock.
PYTHON ?=
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

# Folders that have something to check now.
PROGRAMS := src $(if $(wildcard bench/*.py),bench) $(if $(wildcard tests/typing/*.py),tests/typing)
# Coverage is measured by the tests of the parts, and by those over HTTP that alone reach some lines of them: the others would take two to three times as long
# with it. A line that only others reach is a reason for a test of the part, or for one more name here.
REACHING := bad_input batches connect_page credentials end_users files health idempotency import_work imports links noisy_neighbour options \
	partner_faults retries run_cancel run_reads runs_async runs_sync schemas sign_in sign_in_kinds
MEASURED := tests/unit tests/conformance $(REACHING:%=tests/e2e/test_%.py)
OTHERS := tests/connectors tests/docs tests/e2e tests/browser $(REACHING:%=--ignore=tests/e2e/test_%.py)
# Files go to processes whole. A process that dies is not replaced: the run ends and names the test, where it would hang until the time is up.
SPREAD := --dist loadfile --no-loadscope-reorder --max-worker-restart 0
WHOLE := src/polyport/engine/*,src/polyport/kinds/*,src/polyport/manifest/*,src/polyport/vault.py,src/polyport/keyfile.py

help:  ## this list
	@echo "make TARGET [ARGS=...]"
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-11s %s\n", $$1, $$2}'

setup: .venv/.ready  ## install Polyport and its tools into .venv (quick when nothing changed)
	@:

demo: setup  ## start the server and a simulated partner, walk through the API, keep serving (ARGS=--once stops after the steps)
	@$(BIN)/polyport demo $(ARGS)

run: setup  ## serve on 127.0.0.1:8080, data in ./var (ARGS="--port 9000")
	@$(BIN)/polyport serve $(ARGS)

test: setup lint  ## lint, the tests of the parts with the coverage gate, then all others
	@echo "== tests: unit, conformance, e2e in part"
	@rm -f .coverage
	@$(BIN)/pytest -q -n 3 $(SPREAD) --cov --cov-report= $(MEASURED)
	@echo "== coverage of engine, kinds, manifest and vault has to be 100 %"
	@$(BIN)/coverage report --fail-under=100 --include='$(WHOLE)'
	@echo "== tests: all others"
	@$(BIN)/pytest -q -n 4 $(SPREAD) $(OTHERS)

lint: setup  ## ruff, mypy, import contracts
	@echo "== ruff"
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check . || { echo "'make format' puts the files above into shape."; exit 1; }
	@echo "== mypy"
	@$(BIN)/mypy --no-error-summary $(PROGRAMS)
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-cache > .venv/lint-imports.txt 2>&1 || { cat .venv/lint-imports.txt; exit 1; }

format: setup  ## put the source into its one shape
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

docs: setup  ## write the generated pages of docs/reference, and the examples of the API description
	@$(BIN)/python -m polyport.cli.reference docs/reference
	@PYTHONPATH=tests:. $(BIN)/python -m e2e.examples src/polyport/server/examples.json

bench: setup  ## measure throughput and latency on this machine
	@$(BIN)/python -m bench $(ARGS)

bench-peers: setup  ## the same work on what one would pick instead: n8n, Node-RED, a service made in a week, Celery, procrastinate (ARGS="--only week,node-red")
	@$(BIN)/python -m bench.peers $(ARGS)

profile: setup  ## see where the time of a run goes: docs/profile, with flame graphs; needs py-spy
	@$(BIN)/python -m bench.profile --keep docs/profile $(ARGS)

drill: setup  ## try the promises about crashes, disks, tokens, keys, backups, budgets and load in full form: an hour (ARGS=--quick is what the tests run)
	@for drill in tests/drills/*.py; do echo "== $$drill"; PYTHONPATH=tests:. $(BIN)/python $$drill $(ARGS) || exit 1; done

corpus: setup  ## import every description in POLYPORT_CORPUS and run all operations against a strict mock server: half an hour (ARGS="--most 10" tries a part)
	@PYTHONPATH=tests:. $(BIN)/python -m corpus $(ARGS)

lock: setup  ## renew requirements.lock from pyproject.toml (ARGS=--upgrade takes newer versions)
	@$(PIP) install 'uv>=0.9'
	@$(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --group dev $(ARGS) --output-file requirements.lock pyproject.toml
	@! grep -nE '://|file:|^-' requirements.lock || { echo "requirements.lock may not name a host, a file or an option."; exit 1; }

clean:  ## remove .venv and what tools left behind; data in ./var stays
	@rm -rf .venv dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache test-artifacts
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# An interpreter built without --enable-optimizations needs up to a quarter more CPU time for a run: it is taken only where there is no other. Distributions
# optimise theirs, whatever its configuration says.
INTERPRETERS := python3.13 python3.12 python3.11 python3 python3.14 python
SUITABLE := import sys, sysconfig, venv, ensurepip; ok = sys.version_info >= (3, 11); \
	good = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")) or sys.base_prefix == "/usr"; \
	print("optimised" if good else "plain"); sys.exit(not ok)

# Two stamps: the packages depend on the lock alone, the editable install also on pyproject.toml. --no-deps: the lock is complete, and pip
# would otherwise look for newer releases of what is asked for with an extra, which have no hash here.
.venv/.packages: requirements.lock
	@python=''; \
	for name in $(if $(PYTHON),'$(PYTHON)',$(foreach name,$(INTERPRETERS),$(name) /usr/bin/$(name))); do \
		found="$$("$$name" -c '$(SUITABLE)' 2>/dev/null)" || continue; \
		if [ "$$found" = optimised ]; then python="$$name"; break; fi; \
		python="$${python:-$$name}"; \
	done; \
	if [ -x $(BIN)/python ] && $(PIP) --version > /dev/null 2>&1; then :; \
	elif [ -z "$$python" ]; then \
		echo "Python 3.11 or newer with venv and pip is needed and was not found; PYTHON=/path/to/python3 names one." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; \
	else "$$python" -m venv --clear .venv; fi
	@echo "Installing packages into .venv (a minute or so the first time) ..."
	@$(PIP) install --progress-bar off --require-hashes --no-deps --requirement requirements.lock
	@$(PIP) check || { $(BIN)/python -m pip check; exit 1; }
	@touch $@

.venv/.ready: .venv/.packages pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Polyport is installed in .venv."
