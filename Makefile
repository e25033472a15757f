# Every target sets itself up from a fresh clone; nothing is installed twice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

AXE    := $(VENV)/axe/.installed

.PHONY: setup test test-slow test-page page-screenshots lint types docs demo dist clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

setup: $(STAMP)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not page"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# The page in a real browser. Tests that need what cannot be had here are skipped, with a reason; with CI=true they fail.
$(AXE): tests/page/package.json
	.ci/axe $(@D)

test-page: $(STAMP) $(AXE)
	.ci/browser
	$(BIN)/python -m pytest -m "page and not slow" tests/page

page-screenshots: $(STAMP)
	.ci/browser
	PYTHONPATH=tests $(BIN)/python -m page.screenshots docs/page

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/mypy runtime/src/actionprompt_runtime

# Opens as build/docs/index.html; the source folder is the repository, so pages may link to any of its files.
docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -c docs -b html . build/docs

demo: $(STAMP)
	$(BIN)/actionprompt demo

# The sdist holds every file that git does not ignore, so build from a clean checkout; the wheel is built out of it.
dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m build runtime --outdir dist

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
