# make demo and make test set up everything they need in .venv; nothing has to be there but
# Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.PHONY: install demo consumers browser test test-slow lint format docs bench clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/negmine run -c configs/demo.yaml
	$(BIN)/python sample_data/show_demo.py
	$(BIN)/negmine report -c configs/demo.yaml

# Several test processes share the cores: a thread that waits is not to keep one busy.
test: export OMP_WAIT_POLICY = PASSIVE
test: $(STAMP)
	$(PYTEST) -n auto --dist loadfile

# The tools that exports are read by in tests, beside each other in an environment of their own.
consumers: $(STAMP)
	$(BIN)/python tests/consumers/environments.py

# The browser that reports are clicked through in, from the system's packages; needs root where it is not there.
browser: $(STAMP)
	$(BIN)/python tests/report/browser.py

# Without a package index, the tests that need the consumers or the browser are skipped and say why.
test-slow: $(STAMP)
	-$(BIN)/python tests/consumers/environments.py
	-$(BIN)/python tests/report/browser.py
	$(PYTEST) -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/python docs/generate.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .venv-consumers runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
