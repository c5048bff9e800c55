# Everything a person or CI does here is a recipe; `make` lists them.
#   another Python:    make test PYTHON=python3.12
#   some tests only:   make test ARGS="-k late"

PYTHON ?= python3
VENV   ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
ARGS   ?=
SKIPPED := .pytest_cache/needs-a-server
# The versions that were tested together; what it does not name is free.
RESOLUTION ?= --constraint constraints.txt
QUICK := $(addprefix tests/,aggregations definitions doors engines expressions ingest materialize plan registry \
  state streams training)

PACKAGING := pyproject.toml constraints.txt setup.py $(shell find src/skewless -name '*.[ch]')

# uv when it is there (seconds), else pip (a minute or two).
define install
	@echo "Installing skewless[$(1)] into $(VENV) ..."
	@if [ -x $(BIN)/uv ]; then VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet $(RESOLUTION) --editable '.[$(1)]'; \
	else $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(1)]'; fi
	@touch $@
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick test-minimum test-pythons coverage lock audit test-servers test-plugs doctest lint format docs-test docs docs-serve bench bench-serving wheel clean

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed-dev ## create .venv with skewless (editable, kernels compiled) and every tool

demo: $(VENV)/.installed-demo ## flights of 2013: train, serve and prove that both agree
	@$(BIN)/skewless demo $(ARGS)

test: setup ## run the tests on two processes; what needs a server that is not here is skipped
	@$(BIN)/pytest -n 2 --dist worksteal --note-missing=$(SKIPPED) $(ARGS)

test-quick: setup ## the part of the tests that needs neither servers nor minutes
	@$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not server" $(QUICK) $(ARGS)

test-minimum: ## the quick part with every dependency at its lower bound; old ones may warn
	@$(MAKE) --no-print-directory test-quick VENV=.venv-minimum RESOLUTION="--resolution lowest-direct" \
	  ARGS="-W default $(ARGS)"

test-pythons: ## the quick part on each Python that is supported and here (tools/pythons.sh lists them)
	@for version in $$(tools/pythons.sh | sed -n 's/ \/.*//p'); do \
	  $(MAKE) --no-print-directory test-quick PYTHON=$$(tools/pythons.sh $$version) || exit 1; done

coverage: setup ## lines and branches that the tests of a room run (ARGS=serving: of one group), with a floor
	@$(BIN)/python tools/coverage_rooms.py $(ARGS)

lock: setup ## find the newest versions that fit, for constraints.txt and the image in deploy/
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
	  --no-emit-index-url --all-extras --output-file constraints.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --python-version 3.12 --no-header --no-annotate --generate-hashes \
	  --no-emit-index-url --constraint constraints.txt --extra serve --extra oidc --extra redis --extra postgres --extra delta \
	  --python-platform linux --output-file deploy/requirements.txt pyproject.toml

audit: setup ## known vulnerabilities of the versions in constraints.txt
	@$(BIN)/python tools/audit.py

test-servers: setup ## get the servers (as root: from the distribution), run what the last `make test` skipped
	@tools/get_servers.sh $(BIN)/python
	@if [ ! -e $(SKIPPED) ]; then echo "No run of make test has said what it skipped."; exit 1; fi
	@if [ -s $(SKIPPED) ]; then CI=true $(BIN)/pytest -n 2 --dist worksteal $(ARGS) @$(SKIPPED); \
	else echo "No test was skipped for want of a server."; fi

test-plugs: setup ## the plugs against the real tools, each in an environment of its own (ARGS=mlflow: of one)
	@$(BIN)/python tools/plug_tests.py $(ARGS)

lint: setup ## style, types, import order of the parts, budgets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_budgets.py

format: setup ## rewrite the code in the house style
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs-test: doctest ## run every example of the docs and the docstrings
	@$(BIN)/pytest tests/test_docs.py tests/test_glossary.py $(ARGS)

APART := $(foreach plug,mcp mlflow* pandera great_expectations airflow airflow_trigger dagster torch,--ignore-glob="*/plugs/$(plug).py")
doctest: setup ## run every example of the docstrings
	@$(BIN)/pytest --doctest-modules --import-mode=prepend $(APART) src/skewless $(ARGS)  # one module each, as users import it; some plugs have environments of their own

docs: setup ## build the site of the docs into build/site, strictly; it asks for nothing but itself
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@$(BIN)/python tools/check_site.py build/site

docs-serve: setup ## show the site of the docs while it is written, on 127.0.0.1:8000
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: setup ## benchmarks of joins, windows, push and reads, as JSON
	@$(BIN)/python -m benchmarks $(ARGS)

bench-serving: setup ## benchmarks of the HTTP server, as JSON
	@$(BIN)/python -m benchmarks.serving $(ARGS)

wheel: setup ## build dist/skewless-*.whl
	@rm -rf build dist
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist

clean: ## remove everything that was built; .venv too
	rm -rf .venv* .coverage build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "skewless needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot create virtual environments. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "No uv to be had; going on with pip, slower."

$(VENV)/.installed-demo: $(PACKAGING) | $(BIN)/python
	$(call install,demo)

$(VENV)/.installed-dev: $(PACKAGING) | $(BIN)/python
	$(call install,dev)
