# Each target sets up what it needs in a virtual environment of its own, installed from pyproject.toml.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BROWSER := $(VENV)/.browser

# The oldest release of each dependency that sam-av supports; see the bounds in pyproject.toml.
OLDEST := "torch==2.11.*" "torchaudio==2.11.*" "transformers==5.17.*" "accelerate==1.15.*" "huggingface_hub==1.33.*" "peft==0.19.*"

.PHONY: demo docs test test-slow test-oldest lint clean

demo: $(INSTALLED)
	$(BIN)/sam-av demo

# The variable keeps the theme's note on its successor out of the output, where nothing but warnings should be read.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# A worker for each core, each with one thread, and a file's tests in one of them: its fixtures are made once.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist loadfile

test-slow: $(INSTALLED) $(BROWSER)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet $(OLDEST) --editable ".[test]"
	.venv-oldest/bin/python -m pytest -m "not slow"

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

# The page's test needs a browser: the one that is here, else Playwright's own, else the system's package.
$(BROWSER): $(INSTALLED)
	@if $(BIN)/python tests/browser.py || $(BIN)/playwright install chromium \
	|| { apt-get update && apt-get install --yes --no-install-recommends chromium; }; \
	then touch $@; \
	else echo "NO BROWSER COULD BE HAD: the tests of the web page in a browser will be SKIPPED." >&2; fi

clean:
	rm -rf .venv .venv-oldest site .mypy_cache .ruff_cache .pytest_cache
