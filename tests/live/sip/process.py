"""Starts the gateway process of a test, reads its reports, and ends it and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from callers.sipp import free_port

ROOT = Path(__file__).resolve().parents[3]
_START_S = 20.0


class GatewayProcess:
    """A running gateway. A context manager that leaves no process behind."""

    def __init__(self, **settings: object) -> None:
        first = free_port()
        while first > 64_000:
            first = free_port()
        values = {
            "udp_port": 0,
            "max_calls": 50,
            "rtp_first_port": first,
            "rtp_last_port": first + 999,
            **settings,
        }
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._kept: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.sip.gateway", json.dumps(values)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._error_reader = threading.Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()
        self.ports: dict[str, int] = {}

    def __enter__(self) -> GatewayProcess:
        try:
            self.ports = self.wait("ready", timeout=_START_S)["ports"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self._end()
        if error is None:
            assert code == 0, f"the gateway ended with {code}:\n{self.errors()}"

    @property
    def sip(self) -> tuple[str, int]:
        """Address of its UDP socket."""
        return "127.0.0.1", self.ports["udp"]

    def command(self, line: str) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, event: str, *, timeout: float = 5.0, **fields: object) -> dict[str, Any]:
        """The next report of this kind with these values; others are kept for later waits."""
        until = time.monotonic() + timeout
        for kept in self._kept:
            if _fits(kept, event, fields):
                self._kept.remove(kept)
                return kept
        while True:
            try:
                report = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no {event} {fields} within {timeout} s; came: {self._kept[-8:]}\n{self.errors()}"
                ) from None
            if _fits(report, event, fields):
                return report
            self._kept.append(report)

    def drain(self, seconds: float) -> list[dict[str, Any]]:
        """Every report kept so far and to come for this long; none of them is kept."""
        until = time.monotonic() + seconds
        reports, self._kept = self._kept, []
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                reports.append(self._events.get(timeout=left))
        return reports

    def stats(self) -> dict[str, Any]:
        """Its counters now."""
        self.command("stats")
        return self.wait("stats")

    def threads(self) -> int:
        """Threads of the process, as the kernel counts them."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self) -> int:
        """Open files of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_kib(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def errors_seen(self) -> list[str]:
        """Lines of its log that tell of errors; a port that somebody else holds is none, PJSIP goes on."""
        errors = [line for line in self._errors if "[error" in line or "Traceback" in line]
        return [line for line in errors if "Address already in use" not in line]

    def errors(self) -> str:
        """The end of what it wrote to standard error."""
        return "".join(self._errors[-40:])

    def _end(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            self.command("quit")
        try:
            code = self.process.wait(timeout=12.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join(timeout=2.0)
        self._error_reader.join(timeout=2.0)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                self._events.put(json.loads(line))
            except ValueError:
                self._errors.append(line)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)


def _fits(report: dict[str, Any], event: str, fields: dict[str, object]) -> bool:
    return report["event"] == event and all(report.get(name) == value for name, value in fields.items())
