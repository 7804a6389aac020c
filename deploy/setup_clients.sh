#!/usr/bin/env bash
# Makes the environment of other people's speech clients, as they are published, in locked versions. The live
# tests run them against a node. Safe to run again: what is there is skipped.
#
#   OFFHOOK_CLIENTS_VENV   where it lies; default .venv-clients
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${OFFHOOK_CLIENTS_VENV:-.venv-clients}
python=${PYTHON:-python3.11}
lock=deploy/requirements-clients.lock
started=$SECONDS

step() { printf '[%3ds] %s\n' "$((SECONDS - started))" "$*"; }
fail() { printf 'offhook: %s\n  cure: %s\n' "$1" "$2" >&2; exit 1; }

command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
  fail "Python 3.11 was not found" "install python3.11, or name it: PYTHON=/path/to/python3.11 make setup-clients"

# What else those tests need of the system: a browser, and a relay for its calls.
needed=$(grep -v '^#' deploy/apt-packages-clients.txt | while read -r name; do
  [ -z "$name" ] || dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
done)
if [ -n "$needed" ] && command -v apt-get >/dev/null; then
  step "installing system packages: $(echo "$needed" | tr '\n' ' ')"
  root=$([ "$(id -u)" = 0 ] || echo sudo)
  log=$(mktemp)
  { $root apt-get update -q && $root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends $needed; } >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; fail "apt-get could not install them" "read the lines above; check that the package sources are reachable"; }
  rm -f "$log"
fi

stamp=$venv/.offhook-lock
wanted=$(sha256sum "$lock" | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

[ -x "$venv/bin/python" ] || { step "creating the virtual environment $venv"; "$python" -m venv "$venv"; }
step "installing the locked speech clients"
"$venv/bin/python" -m pip install -q --require-hashes -r "$lock" ||
  fail "pip could not install the speech clients" "check that the package index is reachable"
echo "$wanted" >"$stamp"
