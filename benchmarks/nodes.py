"""Starts the process under test and talks to it."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from typing import Any

from benchmarks.children import Child

_ANSWER_LIMIT = 30.0
_QUIT_LIMIT = 10.0


class NodeError(RuntimeError):
    """The process under test did not do what it should; the message holds its last words."""


class EchoProcess(Child[str]):
    """`benchmarks.echo_node` as a child; a context manager that never leaves it behind."""

    def __init__(self, *, mode: str = "echo", vad: str = "webrtc", max_calls: int = 400) -> None:
        super().__init__()
        self._arguments = ["--mode", mode, "--vad", vad, "--max-calls", str(max_calls)]
        self.port = 0

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.echo_node", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def _await_ready(self) -> None:
        self.port = int(self._answer("ready")["ready"])

    @property
    def target(self) -> str:
        """Where SIP calls go."""
        return f"127.0.0.1:{self.port}"

    def ask(self, command: str) -> Any:
        """Send one command and return its answer. Raises NodeError when none comes."""
        self.send(command)
        return self._answer(command)

    def send(self, command: str) -> None:
        """Send one command; `answer` fetches what it says."""
        stdin = self.running.stdin
        assert stdin is not None
        stdin.write(command + "\n")
        stdin.flush()

    def _answer(self, what: str) -> Any:
        stdout = self.running.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(_ANSWER_LIMIT):
                raise NodeError(f"the echo node did not answer {what!r}")
        line = stdout.readline()
        if not line:
            raise NodeError(f"the echo node ended on {what!r} with {self.running.wait()}")
        return json.loads(line)

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.communicate("quit\n", timeout=_QUIT_LIMIT)


def wall_offset_ns() -> int:
    """What to add to a monotonic stamp to get the wall clock's, which pcap files hold."""
    best = min(((time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(20)), key=_width)
    return best[1] - (best[0] + best[2]) // 2


def _width(reading: tuple[int, int, int]) -> int:
    return reading[2] - reading[0]
