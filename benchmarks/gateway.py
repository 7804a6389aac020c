"""Starts the whole gateway as its users do, on free ports of loopback, and reads what it tells of itself."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from benchmarks.children import Child
from callers.sipp import free_port

_READY_LIMIT = 90.0
_STOP_LIMIT = 15.0
_HTTP_LIMIT = 5.0
_COMMAND = "from {module} import main; main()"


class GatewayFailed(RuntimeError):
    """The gateway did not start or did not answer; the message holds its last words."""


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Two configurations as one, sections within sections; the second wins."""
    out = dict(base)
    for key, value in over.items():
        mine = out.get(key)
        out[key] = merged(mine, value) if isinstance(value, dict) and isinstance(mine, dict) else value
    return out


class GatewayProcess(Child[bytes]):
    """`offhook up` as a child, in a folder of its own; a context manager that never leaves it behind."""

    def __init__(self, settings: dict[str, Any] | None = None, *, module: str = "gateway.cli") -> None:
        """`module`: where the command line's `main` is."""
        super().__init__()
        self._command = _COMMAND.format(module=module)
        self._folder = tempfile.TemporaryDirectory(prefix="gateway-")
        self.sip_port = free_port()
        self.api_port = _free_tcp_port()
        self._settings = merged(self._defaults(), settings or {})

    @property
    def folder(self) -> Path:
        """Where it runs: for files that its configuration names."""
        return Path(self._folder.name)

    def configure(self, settings: dict[str, Any]) -> None:
        """More settings, before it starts."""
        self._settings = merged(self._settings, settings)

    def _defaults(self) -> dict[str, Any]:
        records = str(Path(self._folder.name) / "records")
        return {
            "node": {"record_dir": records, "recordings": False, "drain_seconds": 0.0},
            "sip": {"udp_port": self.sip_port},
            "api": {"port": self.api_port},
            # Silence of a caller between two prompts is the benchmark's, not a lost caller's.
            "session": {"turns": {"guards": {"no_input": 600.0}}},
        }

    def _start(self) -> subprocess.Popen[bytes]:
        folder = Path(self._folder.name)
        config = folder / "offhook.yaml"
        config.write_text(yaml.safe_dump(self._settings), encoding="utf-8")
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", self._command, "up", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def target(self) -> str:
        """Where SIP calls go."""
        return f"127.0.0.1:{self.sip_port}"

    def records(self) -> list[dict[str, Any]]:
        """Records of all calls that ended so far."""
        journal = Path(self._settings["node"]["record_dir"]) / "calls.jsonl"
        if not journal.exists():
            return []
        return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]

    def await_records(self, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
        """All records, once there are so many. Raises GatewayFailed when they do not come."""
        until = time.monotonic() + seconds
        while len(records := self.records()) < count:
            if time.monotonic() > until:
                raise GatewayFailed(f"{count} records expected, {len(records)} came; {self.last_words()}")
            time.sleep(0.1)
        return records

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its full name."""
        samples: dict[str, float] = {}
        for line in self._get("/metrics").splitlines():
            if match := re.fullmatch(r"([^#\s][^\s{]*(?:\{.*\})?) (\S+)", line):
                samples[match[1]] = float(match[2])
        return samples

    def active_calls(self) -> float:
        """Calls that run now, as /metrics says."""
        samples = self.metrics().items()
        return sum(value for name, value in samples if name.startswith("offhook_calls_active"))

    def last_words(self) -> str:
        """The end of its log."""
        log = Path(self._folder.name) / "log"
        return " | ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])

    def _await_ready(self) -> None:
        until = time.monotonic() + _READY_LIMIT
        while time.monotonic() < until:
            if self.running.poll() is not None:
                raise GatewayFailed(f"offhook up ended with {self.running.returncode}: {self.last_words()}")
            try:
                self._get("/ready")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise GatewayFailed(f"offhook up did not get ready: {self.last_words()}")

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}{path}", timeout=_HTTP_LIMIT) as answer:
            body: bytes = answer.read()
        return body.decode()

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(_STOP_LIMIT)

    def _tidy(self) -> None:
        self._folder.cleanup()


def _free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
