# Two commands from a bare clone, with Python 3.11 or newer, make and a C++ compiler:
#   make try    installs, then completes real code on the bundled model
#   make test   installs, then runs every test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?= tests
TEST_OPTIONS ?=

.PHONY: try test check format picture clean

try: $(READY)
	@$(BIN)/rnj-lsp try

test: $(READY)
	$(BIN)/python -m pytest $(TEST_OPTIONS) $(TESTS)

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# llama.cpp is compiled here, once; pip keeps the built wheel for the next environment.
# ninja's step counter is shown in place, because five silent minutes look like a hang.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rnj-lsp needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV). Compiling llama.cpp takes about 5 minutes on two cores, once."
	@$(BIN)/pip install --disable-pip-version-check --verbose \
	    "$$($(BIN)/python -c 'import tomllib; print(*[d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if d.startswith("llama-cpp-python")])')" \
	    > $(VENV)/install.log 2>&1 & pip=$$!; \
	  while kill -0 $$pip 2>/dev/null; do \
	    printf '\r  llama.cpp: %-24s' "$$(grep -o '\[[0-9]*/[0-9]*\]' $(VENV)/install.log 2>/dev/null | tail -n 1)"; sleep 1; \
	  done; \
	  wait $$pip || { echo; tail -n 25 $(VENV)/install.log; echo "llama.cpp could not be built: see $(VENV)/install.log"; exit 1; }; \
	  printf '\r  llama.cpp: %-24s\n' built
	@$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The picture in the README: a real run, drawn.
picture: $(READY)
	FORCE_COLOR=1 COLUMNS=108 $(BIN)/rnj-lsp try | $(BIN)/python docs/draw.py 'make try' docs/try.svg
