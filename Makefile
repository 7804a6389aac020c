# The two commands: `make demo` and `make test`.
venv := $(or $(OFFHOOK_VENV),.venv)
python := $(venv)/bin/python
gpu_venv := $(or $(OFFHOOK_GPU_VENV),.venv-gpu)

.PHONY: demo test setup setup-clients setup-gpu engines lint types unit native live benchmarks lock lock-clients lock-gpu clean

demo: setup
	@$(venv)/bin/offhook demo

test: lint types unit native live engines

setup:
	@deploy/bootstrap.sh

# The environment of other people's speech clients, which the live tests point at us.
setup-clients: setup
	@deploy/setup_clients.sh

# The environment of NeMo and Coqui, CPU or CUDA as the machine has it.
setup-gpu:
	@deploy/setup_gpu.sh

lint: setup
	$(python) -m ruff check .
	$(python) -m ruff format --check .

types: setup
	$(python) -m mypy .

unit: setup
	$(python) -m pytest -q -m "not live and not native and not gpu_engines"

native: setup
	$(python) -m pytest -q -m native

# They keep real time on a machine that may be busy: one that fails has to hold in a second run, by itself.
live: setup setup-clients
	$(python) -m pytest -q -m live || { test $$? -eq 1 && \
	  echo "== once more, those that failed" && $(python) -m pytest -q -m live --last-failed --last-failed-no-failures none; }

# Their real loading and stepping, on small models. Their libraries warn of themselves; ours is not the place to fail.
engines: setup-gpu
	$(gpu_venv)/bin/python -m pytest -q -m gpu_engines -o filterwarnings=default tests/engines/nemo tests/engines/coqui

# Versions of everything, with hashes; run after changing dependencies.
lock:
	$(or $(UV),uv) pip compile -q --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header -o requirements.lock pyproject.toml requirements-build.in

lock-clients:
	$(or $(UV),uv) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header -o deploy/requirements-clients.lock deploy/requirements-clients.in

# What torch brings for CUDA is left out: which torch there is, the setup decides.
lock-gpu:
	$(or $(UV),uv) pip compile -q --universal --python-version 3.11 --extra gpu --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header $(addprefix --no-emit-package ,torch triton cuda-toolkit $(addprefix nvidia-, \
	  cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 \
	  nccl-cu13 nvjitlink nvshmem-cu13 nvtx)) -o deploy/requirements-gpu.lock pyproject.toml deploy/requirements-gpu.in

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
