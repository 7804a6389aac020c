#!/usr/bin/env bash
# Brings a fresh Debian or Ubuntu machine to the point where `offhook` runs: system packages, the virtual
# environment with locked versions, and the PJSIP wheel (built once, cached). Safe to run again: what is
# already there is skipped, so a later run takes well under a second.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${OFFHOOK_VENV:-.venv}
python=${PYTHON:-python3.11}
started=$SECONDS

step() { printf '[%3ds] %s\n' "$((SECONDS - started))" "$*"; }
fail() { printf 'offhook: %s\n  cure: %s\n' "$1" "$2" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "installing system packages needs root" "run as root, or install sudo"
  fi
}

missing_packages() {
  grep -v '^#' deploy/apt-packages.txt | while read -r name; do
    [ -z "$name" ] || dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
  done
}

python_packages() {
  # A Python from the distribution keeps its headers and its venv module in packages of their own.
  "$python" - <<'PY' || true
import importlib.util, os, sysconfig
version = "python3.11"
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    print(f"{version}-dev")
if importlib.util.find_spec("ensurepip") is None:
    print(f"{version}-venv")
PY
}

command -v dpkg-query >/dev/null || fail "this is not a Debian or Ubuntu machine" \
  "install the packages of deploy/apt-packages.txt by your own package manager, then run again with them on the PATH"
command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
  fail "Python 3.11 was not found" "install python3.11, or name it: PYTHON=/path/to/python3.11 make demo"

needed=$(missing_packages; python_packages)
if [ -n "$needed" ]; then
  step "installing system packages: $(echo "$needed" | tr '\n' ' ')"
  log=$(mktemp)
  { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends $needed; } >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; fail "apt-get could not install them" "read the lines above; check that the package sources are reachable"; }
  rm -f "$log"
fi

[ -x "$venv/bin/python" ] || { step "creating the virtual environment $venv"; "$python" -m venv "$venv"; }

stamp=$venv/.offhook-lock
wanted=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  step "installing the locked Python packages"
  "$venv/bin/python" -m pip install -q --use-pep517 --require-hashes -r requirements.lock ||
    fail "pip could not install the locked packages" "check that the package index is reachable"
  "$venv/bin/python" -m pip install -q --no-deps --no-build-isolation -e . ||
    fail "pip could not install Offhook itself" "read pip's message above"
  echo "$wanted" >"$stamp"
fi

step "PJSIP and the frame bus"
"$venv/bin/python" -m media.pjsip.build --install ||
  fail "PJSIP could not be built" "read the message above; PJPROJECT_SRC names a local copy of its source"
step "ready"
