# Everything here needs Python 3.11 or newer (PYTHON=... names another one), make
# and a package registry. All packages come from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := build/benchmarks

PIP := $(BIN)/python -m pip --disable-pip-version-check
UV := $(BIN)/uv

.DEFAULT_GOAL := test
.PHONY: demo test lint format docs bench bench-compiled sizing soak lock lock-bench lock-interop clean

demo: $(STAMP)
	$(BIN)/python -m demo_client --start-server

test: lint
	$(BIN)/python -m pytest --cov --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site from docs/, as tests/documents does: without network, warnings are errors.
docs: $(STAMP)
	$(BIN)/python -m sphinx --fresh-env --nitpicky --fail-on-warning --keep-going --quiet \
		--doctree-dir build/docs/doctrees docs build/docs/html

# What the library is compared with goes into a directory of its own.
bench: $(STAMP) $(BENCH)/.installed
	PYTHONPATH=$(BENCH) $(BIN)/python -m benchmarks

# The same of a copy that mypyc has compiled: what is over its budget then, too, is not for
# want of quicker Python. Needs a C compiler.
bench-compiled: $(STAMP) $(BENCH)/.installed
	PYTHONPATH=$(BENCH) $(BIN)/python -m benchmarks.compiled

# The figures of docs/sizing.md, from the last run of each.
sizing: $(STAMP)
	$(BIN)/python -m benchmarks.sizing

$(BENCH)/.installed: $(STAMP) benchmarks/requirements.txt
	$(PIP) install --quiet --require-hashes --no-deps --only-binary=:all: --upgrade \
		--target $(BENCH) --requirement benchmarks/requirements.txt
	@touch $@

# The load of tests/load for minutes, with all secrets rotated meanwhile; the result goes
# into docs/operations.md.
MINUTES ?= 10
soak: $(STAMP)
	$(BIN)/python -m tests.load.soak --minutes $(MINUTES) --write

# The newest versions that pyproject.toml allows, for every Python and platform.
lock: $(STAMP)
	$(UV) pip compile --quiet --universal --upgrade --python-version 3.11 \
		--extra test --generate-hashes --no-header --no-emit-index-url \
		--output-file requirements.lock pyproject.toml
	$(UV) pip compile --quiet --universal --upgrade --python-version 3.11 --no-deps \
		--generate-hashes --no-header --no-emit-index-url \
		--output-file tests/programs.txt tests/programs.in

# Likewise what the library is compared with, but for what is installed beside it.
BESIDE := anyio authlib certifi cffi charset-normalizer click cryptography h11 httpcore \
	httpx idna joserfc pycparser requests typing-extensions urllib3
lock-bench: $(STAMP)
	cd benchmarks && $(abspath $(UV)) pip compile --quiet --universal --upgrade \
		--python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		$(addprefix --no-emit-package ,$(BESIDE)) \
		--output-file requirements.txt requirements.in

# Likewise the packages of npm, and those that tests/interop talks to; needs npm.
lock-interop: $(STAMP)
	cd tests/interop/python && $(abspath $(UV)) pip compile --quiet --universal \
		--upgrade --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --output-file requirements.txt requirements.in
	for directory in tests/interop/node tests/demo/node; do \
		(cd $$directory && npm update --package-lock-only \
		--omit-lockfile-registry-resolved --no-audit --no-fund) || exit 1; done

clean:
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --require-hashes --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
