"""`offhook up` as operators run it: a child process with a configuration file, on ports the system gives."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import yaml

T = TypeVar("T")

_START_S = 60.0
_STOP_S = 20.0
_NO_INPUT = {"session": {"turns": {"guards": {"no_input": 600.0}}}}
"""Recorded callers are silent while they listen, and are not asked again."""


class Node:
    """A running node. A context manager that leaves no process behind."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], dialplan: str | None = None) -> None:
        """`dialplan`: its text; None takes the built-in one."""
        self.folder = folder
        self.records_folder = folder / "records"
        self.dialplan = folder / "plan.yaml"
        if dialplan is not None:
            self.dialplan.write_text(dialplan, encoding="utf-8")
        plan = {"files": [str(self.dialplan)], "reload_seconds": 0.2} if dialplan is not None else {}
        fixed = {
            "node": {"record_dir": str(self.records_folder), "recordings": True},
            "sip": {"udp_port": 0},
            "api": {"port": 0},
            "logs": {"json": True},
            "dialplan": plan,
            **_NO_INPUT,
        }
        self.config = folder / "offhook.yaml"
        self.config.write_text(yaml.safe_dump(_merged(fixed, settings)), encoding="utf-8")
        self.log: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __enter__(self) -> Node:
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "up", "-c", str(self.config)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.sip_port = int(self.logged("sip endpoint is up", _START_S)["udp_port"])
            self.api = f"http://127.0.0.1:{self.logged('api listens')['port']}"
            self.dialable = self.logged("ready for calls")["dial"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.sip_port}"

    @property
    def ports(self) -> Mapping[str, int]:
        """Of SIP, by transport."""
        return {"udp": self.sip_port}

    def logged(self, event: str, seconds: float = 10.0) -> dict[str, Any]:
        """The next log line of this event."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            self.log.append(line)
            if line.get("event") == event:
                return line
        raise AssertionError(f"{event!r} was not logged; the last lines: {self.log[-5:]}")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.api + path, timeout=10.0)

    def metrics(self) -> dict[str, float]:
        """Every sample by its full name."""
        found = re.findall(r"^([^#\s{]+(?:\{.*\})?) (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def calls(self) -> list[dict[str, Any]]:
        """The live view."""
        calls: list[dict[str, Any]] = self.get("/calls").json()["calls"]
        return calls

    def records(self, caller: str, count: int = 1) -> list[dict[str, Any]]:
        """Records of this caller's calls, once there are so many."""
        return eventually(lambda: self._records(caller, count))

    def _records(self, caller: str, count: int) -> list[dict[str, Any]]:
        journal = self.records_folder / "calls.jsonl"
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
        found = [record for record in map(json.loads, lines) if record["parties"]["caller"] == caller]
        assert len(found) >= count, f"{len(found)} of {count} records"
        return found

    def recording(self, record: Mapping[str, Any]) -> Path:
        """The call's WAV, once it is whole."""
        path = self.records_folder / f"{record['call_id']}.wav"

        def whole() -> Path:
            assert path.exists(), f"no {path.name}"
            return path

        return eventually(whole)

    def stop(self) -> int:
        """SIGTERM, then harder; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.wait()
        self._reader.join(5.0)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def signal(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = _STOP_S) -> int:
        """The exit code; whoever does not end in time is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the node did not stop within {seconds} s") from None

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text.rstrip()}
            self._lines.put(line)
        self._lines.put(None)


def eventually(look: Callable[[], T], seconds: float = 10.0) -> T:
    """What `look` returns once it raises no AssertionError any more; its last one when time is over."""
    until = time.monotonic() + seconds
    while True:
        try:
            return look()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Sections within sections; the second wins."""
    out = dict(base)
    for key, value in over.items():
        mine = out.get(key)
        out[key] = _merged(mine, value) if isinstance(value, Mapping) and isinstance(mine, Mapping) else value
    return out
