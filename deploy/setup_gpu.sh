#!/usr/bin/env bash
# Makes the environment in which NeMo recognisers and Coqui voices run: locked versions, and torch for the GPU
# that is here, or for the processor where there is none. Safe to run again: what is there is skipped.
#
#   OFFHOOK_GPU_VENV   where it lies; default .venv-gpu
#   OFFHOOK_TORCH      cpu or cuda, to overrule what is found
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${OFFHOOK_GPU_VENV:-.venv-gpu}
python=${PYTHON:-python3.11}
torch=2.13.0
lock=deploy/requirements-gpu.lock
started=$SECONDS

step() { printf '[%3ds] %s\n' "$((SECONDS - started))" "$*"; }
fail() { printf 'offhook: %s\n  cure: %s\n' "$1" "$2" >&2; exit 1; }
pip() { "$venv/bin/python" -m pip "$@"; }

command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
  fail "Python 3.11 was not found" "install python3.11, or name it: PYTHON=/path/to/python3.11 make setup-gpu"

kind=${OFFHOOK_TORCH:-}
if [ -z "$kind" ]; then
  if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then kind=cuda; else kind=cpu; fi
fi

stamp=$venv/.offhook-gpu-lock
wanted=$({ cat "$lock" pyproject.toml deploy/setup_gpu.sh; echo "$kind"; } | sha256sum | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

free=$(df --output=avail -k "$(dirname "$venv")" | tail -1)
[ "$free" -gt 8000000 ] || fail "less than 8 GB are free beside $venv" "free some space, or set OFFHOOK_GPU_VENV to another disk"

[ -x "$venv/bin/python" ] || { step "creating the virtual environment $venv"; "$python" -m venv "$venv"; }

step "installing torch $torch for $kind"
if [ "$kind" = cuda ]; then
  pip install -q "torch==$torch,!=$torch+cpu" || fail "pip could not install torch" "check that the package index is reachable"
# The CPU build is a tenth of the size, but not every index has it.
elif ! pip install -q "torch==$torch+cpu" 2>/dev/null; then
  step "no CPU build in pip's sources: taking the whole one, some gigabytes more (PIP_EXTRA_INDEX_URL adds a source)"
  pip install -q "torch==$torch" || fail "pip could not install torch" "check that the package index is reachable"
fi

step "installing the locked packages"
pip install -q --use-pep517 --no-deps --require-hashes -r "$lock" ||
  fail "pip could not install the locked packages" "check that the package index is reachable"
# torchaudio's compiled parts are linked to CUDA and do not load beside a torch without it; all that Coqui uses
# of it has a path in Python, which it takes where they are missing.
[ "$kind" = cuda ] || rm -f "$venv"/lib/python3.11/site-packages/torchaudio/lib/*.so
pip install -q --no-deps --no-build-isolation -e . ||
  fail "pip could not install Offhook itself" "read pip's message above"

"$venv/bin/python" -c 'import torch, sys; sys.exit(sys.argv[1] == "cuda" and not torch.cuda.is_available())' "$kind" ||
  fail "torch sees no GPU" "check the driver with nvidia-smi, or set OFFHOOK_TORCH=cpu"
echo "$wanted" >"$stamp"
step "ready: $venv"
