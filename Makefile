# Two commands: `make song` composes a song, `make test` checks everything. Each sets up what it needs.

PYTHON ?= python3
SEED ?= 7
OUT ?= out
SONG_VENV := .venv/song
TEST_VENV := .venv/test
PIP := -m pip install --quiet --disable-pip-version-check
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("songwright needs Python 3.11 or \
newer, $(PYTHON) is %d.%d; name one: make PYTHON=python3.12" % sys.version_info[:2])'

.PHONY: song test check bench clean

song: $(SONG_VENV)/installed
	$(SONG_VENV)/bin/songwright compose --style pop --minutes 3 --seed $(SEED) --out "$(OUT)" --force

$(SONG_VENV)/installed: pyproject.toml hatch_build.py $(shell find src -type f -not -name '*.pyc')
	@echo "Setting up $(SONG_VENV) (once) ..."
	@test -x $(SONG_VENV)/bin/python -a -x $(SONG_VENV)/bin/pip || { $(CHECK_PYTHON) && $(PYTHON) -m venv --clear $(SONG_VENV); }
	@$(SONG_VENV)/bin/python $(PIP) .
	@touch $@

$(TEST_VENV)/installed: pyproject.toml constraints.txt hatch_build.py
	@echo "Setting up $(TEST_VENV) (once, with PyTorch) ..."
	@test -x $(TEST_VENV)/bin/python -a -x $(TEST_VENV)/bin/pip || { $(CHECK_PYTHON) && $(PYTHON) -m venv --clear $(TEST_VENV); }
	@$(TEST_VENV)/bin/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

check: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/pyright --pythonpath $(TEST_VENV)/bin/python
	$(TEST_VENV)/bin/lint-imports

test: check
	$(TEST_VENV)/bin/python -m pytest

bench: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/python $(PIP) --constraint constraints.txt --editable '.[bench]'
	$(TEST_VENV)/bin/python benchmarks/decoding.py
	$(TEST_VENV)/bin/python benchmarks/tokenizing.py

clean:
	rm -rf .venv
