# Every target sets up what it needs in .venv; only Python 3.11 or later and make must be there.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "expmon needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Without a Python 3.13 (exit status 3) the tests that need BigQuery's emulator say how to get one.
.venv/.emulators: .venv/.installed scripts/install_bigquery_emulator.py
	$(BIN)/python scripts/install_bigquery_emulator.py || [ $$? -eq 3 ]
	@touch $@

.PHONY: demo
demo: .venv/.installed ## simulate three days of experiments and watch them, in ./demo
	$(BIN)/expmon demo demo

.PHONY: test
test: lint .venv/.emulators ## all checks: lint, types, tests with branch coverage
	$(BIN)/pytest --numprocesses=2 --cov --cov-report=term

# Airflow needs packages that nothing else does: each version has an environment of its own. There is
# no Airflow 2 for Python 3.13.
.venv-airflow%/.installed: pyproject.toml tests/airflow/airflow%.txt tests/airflow/google.txt
	$(PYTHON) -m venv .venv-airflow$*
	.venv-airflow$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement tests/airflow/airflow$*.txt --editable .
	.venv-airflow$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-deps apache-airflow-providers-google
	@touch $@

AIRFLOWS := 3 $(shell $(PYTHON) -c 'import sys; print("2" if sys.version_info < (3, 13) else "")')

.PHONY: test-airflow
test-airflow: $(AIRFLOWS:%=.venv-airflow%/.installed) ## the DAGs in a real Airflow 3, and in Airflow 2
	for version in $(AIRFLOWS); do \
		.venv-airflow$$version/bin/python -m pytest --config-file=tests/airflow/airflow.ini \
			--confcutdir=tests/airflow tests/airflow || exit 1; \
	done

# Of Debian, or of Ubuntu where that has it as a package of its own.
.PHONY: browser
browser: ## install the Chromium that pages are tested in, if it is not there (as root, by apt-get)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update --quiet && \
		apt-get install --quiet --yes --no-install-recommends chromium fonts-liberation; } || \
		{ echo "Install Chromium by your system's packages: 'chromium' must be found in PATH."; exit 1; }

.PHONY: test-browser
test-browser: .venv/.installed browser ## the pages of expmon report, in Chromium
	$(BIN)/pytest tests/browser

.PHONY: picture
picture: .venv/.installed browser demo ## take the documentation's picture of a page anew
	$(BIN)/python scripts/picture.py

.PHONY: lint
lint: .venv/.installed ## ruff (lint and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: .venv/.installed ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: snapshots
snapshots: .venv/.installed ## write the reviewed SQL in tests/snapshots anew
	$(BIN)/python tests/statement_set.py

.PHONY: mutants
mutants: .venv/.installed ## change the statements in one place at a time; the rows must tell (minutes)
	$(BIN)/python scripts/mutants.py

.PHONY: soak
soak: .venv/.installed ## seven simulated days with faults all the time, beside the reference (some ten minutes)
	$(BIN)/python scripts/soak.py

.PHONY: bench
bench: .venv/.emulators .venv-airflow3/.installed ## measure, and print each figure beside its goal (some 20 minutes)
	$(BIN)/python benchmarks/suite.py

.PHONY: docs
docs: .venv/.installed ## try what the documentation shows, and build it into docs/_build/html
	$(BIN)/pytest --numprocesses=2 tests/documentation --ignore=tests/documentation/test_notebooks.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky docs docs/_build/html

.PHONY: clean
clean: ## remove everything that the other targets made
	rm -rf .venv .venv-bigquery .venv-airflow2 .venv-airflow3 .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* demo docs/_build dist
