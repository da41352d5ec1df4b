# Three commands do everything on a fresh machine with Python 3.11 to 3.13 and no services running:
#   make demo    real robots, 60 days of history, the DAGs, a report
#   make up      Airflow with its scheduler, the agent and robots at work, until Ctrl-C
#   make test    all checks and all tests, on SQLite and on a Postgres of its own
# Every target makes .venv first where it is missing or older than pyproject.toml or constraints.txt.

SHELL := /bin/sh
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
SUPPORTED := >=3.11,<3.14

.PHONY: demo up test check bench agent-bundle constraints readme pango clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         run the examples' robots, 60 days of history, the DAGs; ends with a report"
	@echo "make up           the living system: Airflow, the agent, robots at work; Ctrl-C ends it"
	@echo "make test         all checks and all tests (what CI runs)"
	@echo "make check        lint, types, import contracts, documentation: the quick part of make test"
	@echo "make bench        measure speed and memory beside named peers"
	@echo "make bench-faults kill, cut off and fill up the agent for half an hour; says what was survived"
	@echo "make agent-bundle archives in dist/ that install the agent on robots without internet"
	@echo "make constraints  resolve the dependencies anew into constraints.txt"
	@echo "make readme       write the generated tables of README.md anew"

$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	if command -v uv >/dev/null 2>&1; then \
	  echo "Installing into $(VENV) with uv …"; \
	  uv venv --quiet --allow-existing --python '$(SUPPORTED)' $(VENV); \
	  uv pip install --quiet --python $(PYTHON) --constraint constraints.txt --editable '.[all,dev]'; \
	else \
	  for candidate in python3.13 python3.12 python3.11 python3 python; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; \
	    then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python $(SUPPORTED) with venv was found. Install one (Debian, Ubuntu: apt install python3 python3-venv) or uv." >&2; exit 1; \
	  fi; \
	  echo "Installing into $(VENV) with $$found and pip (uv would be quicker) …"; \
	  "$$found" -m venv $(VENV); \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'; \
	fi
	@touch $@

# A missing Pango is said now, not at the end of the demo.
pango: $(STAMP)
	@$(PYTHON) -m analytics_lib.report.pdf --check

demo: $(STAMP) pango
	@$(PYTHON) examples/demo.py

up: $(STAMP) pango
	@$(PYTHON) examples/up.py

check: $(STAMP)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/lint-imports --no-logo --no-cache
	@$(PYTHON) -m tests.documentation --check

# Four processes, whatever the cores: much of the time goes into waiting for servers and robots (which of them
# runs what: tests/distribution.py). Hundreds of programs are started, so what was compiled once is kept, even
# where the environment says otherwise; uv compiles nothing when it installs.
test: export PYTHONDONTWRITEBYTECODE =
test: check pango
	@$(PYTHON) -m pytest -n 4 --dist loadfile

bench: $(STAMP)
	@for script in $(filter-out benchmarks/rollup_scale.py,$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(PYTHON) "$$script" || exit 1; done
	$(PYTHON) benchmarks/rollup_scale.py --quick

agent-bundle: $(STAMP)
	@$(PYTHON) -m deploy.agent.make_bundle

# Kills, power cuts, damage and failing disks in numbers that `make test` has no time for.
bench-faults: $(STAMP)
	@$(PYTHON) -m pytest -m full_faults tests/faults tests/spec -n 2 --dist worksteal -p no:cacheprovider

readme: $(STAMP)
	@$(PYTHON) -m tests.documentation --write

constraints:
	@command -v uv >/dev/null 2>&1 || { echo "make constraints needs uv: pip install uv" >&2; exit 1; }
	uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras \
	  --no-emit-index-url --no-annotate --no-header --output-file constraints.txt pyproject.toml
	@! grep -nE '://|@ ' constraints.txt || { echo "constraints.txt must not name hosts" >&2; exit 1; }

clean:
	rm -rf $(VENV) demo-output living-output build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
