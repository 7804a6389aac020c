"""Puts Debian unstable's Asterisk into a chroot, to call us and to be measured beside us. Bounded in time.

The mirror is the one that this machine's own APT configuration names; nothing outside the folder is changed,
but that `debootstrap` gets installed when it is missing. Needs root, about 700 MB and some minutes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

_SUITE = "sid"
_LIMIT_S = 900.0
_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


class Unavailable(RuntimeError):
    """It cannot be had here; the message says why."""


def mirror() -> str:
    """The Debian mirror that APT uses on this machine. Raises Unavailable."""
    files = [_SOURCES[0], *sorted(_SOURCES[1].glob("*"))] if _SOURCES[1].is_dir() else [_SOURCES[0]]
    for file in files:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        for line in text.splitlines():
            found = re.match(r"(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(\S+)", line)
            if found and found[1].rstrip("/").endswith("/debian"):
                return found[1]
    raise Unavailable("APT on this machine names no Debian mirror")


def step(command: list[str], until: float) -> None:
    """Run one command within what is left of the time. Raises Unavailable with its last lines."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(1.0, until - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} ran past the time limit") from None
    if done.returncode:
        tail = " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
        raise Unavailable(f"{command[0]} failed: {tail}")


def build(folder: Path) -> None:
    """Fill the folder. Raises Unavailable."""
    until = time.monotonic() + _LIMIT_S
    if shutil.which("debootstrap") is None:
        step(["apt-get", "install", "-y", "-q", "debootstrap"], until)
    if not (folder / "usr/bin/apt-get").exists():
        step(["debootstrap", "--variant=minbase", _SUITE, str(folder), mirror()], until)
    # No service may start in there, and there is no init to start it with.
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    policy.chmod(0o755)
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "asterisk", "asterisk-modules"]
    step(["chroot", str(folder), "env", "DEBIAN_FRONTEND=noninteractive", *install], until)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m callers.asterisk_chroot", description=__doc__)
    arguments.add_argument("folder", type=Path, nargs="?", default=Path("build/asterisk"))
    folder = arguments.parse_args().folder
    try:
        build(folder)
    except Unavailable as reason:
        print(f"Asterisk cannot be had here: {reason}", file=sys.stderr)
        return 1
    print(f"ready: OFFHOOK_ASTERISK={folder.resolve()} python -m pytest -m live tests/live/pbx")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
