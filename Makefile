# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# One process more than there are cores, as some wait for a server or a browser; at most four. Tests that share a server
# or a trained model run in the same process: see tests/conftest.py. `make test WORKERS=1` runs them one after the other.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count() + 1)")
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# Programs that demo and tests start would compile the package, and pytest rewrite its tests, again and again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all test-ci lint bench faults docker clean

demo: .venv/installed
	$(BIN)/recolor demo

# Everything but the tests marked `slow`: browsers, deployments, faults (kill -9, full disks, no memory), process groups, ONNX,
# compilation, wheel, and whatever takes seconds of processor time. `.ci/run` has them.
test: .venv/installed
	$(PYTEST) -m 'not slow'

test-all: .venv/installed
	$(PYTEST)

# What `.ci/run` has time for: all but the matrices of faults, of Dask clusters and of ONNX files.
test-ci: .venv/installed
	$(PYTEST) -m 'not long'

lint: .venv/installed
	$(BIN)/ruff format --check recolor flows tests tools examples
	$(BIN)/ruff check recolor flows tests tools examples
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed
	$(BIN)/python -m pytest tools --override-ini python_files='bench_*.py' -s

faults: .venv/installed
	PYTHONPATH=tests/faults $(BIN)/python tests/faults/kill_moments.py

# The images of docs/docker.md. TORCH_INDEX is a package index with torch for CPUs.
docker:
	@if docker info >/dev/null 2>&1; then \
	  set -e; for target in app pipeline; do \
	    docker build --target $$target --build-arg TORCH_INDEX='$(TORCH_INDEX)' --tag recolor:$$target .; \
	  done; \
	else echo 'No image is built: docker is not installed, or its daemon does not run. See docs/docker.md.'; fi

clean:
	rm -rf .venv data/demo

# uv installs in seconds where pip takes minutes; without it (or without its wheel) pip does the same. Compiled at once:
# uv does not, and where Python may not write bytecode every start of Prefect and torch would compile them again. Some
# packages carry files that are no Python of this version, hence `|| true`.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Recolor needs Python 3.11 or newer: make PYTHON=python3.11")'
	@echo 'Building .venv from constraints.txt ...'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv 2>/dev/null || true
	@if [ -x $(BIN)/uv ]; then \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
	@touch $@
