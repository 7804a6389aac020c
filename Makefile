# The two commands: `make demo` and `make test`.
venv := $(or $(OFFHOOK_VENV),.venv)
python := $(venv)/bin/python

.PHONY: demo test setup lint types unit native live benchmarks lock clean

demo: setup
	@$(venv)/bin/offhook demo

test: lint types unit native live

setup:
	@deploy/bootstrap.sh

lint: setup
	$(python) -m ruff check .
	$(python) -m ruff format --check .

types: setup
	$(python) -m mypy .

unit: setup
	$(python) -m pytest -q -m "not live and not native"

native: setup
	$(python) -m pytest -q -m native

live: setup
	$(python) -m pytest -q -m live

# Versions of everything, with hashes; run after changing dependencies.
lock:
	uv pip compile -q --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header -o requirements.lock pyproject.toml requirements-build.in

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
