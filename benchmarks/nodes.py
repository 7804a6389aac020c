"""Starts the process under test and talks to it."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from types import TracebackType
from typing import Any

_ANSWER_LIMIT = 30.0
_QUIT_LIMIT = 10.0


class NodeError(RuntimeError):
    """The process under test did not do what it should; the message holds its last words."""


class EchoProcess:
    """`benchmarks.echo_node` as a child; a context manager that never leaves it behind."""

    def __init__(self, *, mode: str = "echo", vad: str = "webrtc", max_calls: int = 400) -> None:
        self._arguments = ["--mode", mode, "--vad", vad, "--max-calls", str(max_calls)]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> EchoProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.echo_node", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        try:
            self.port = int(self._answer("ready")["ready"])
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

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
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def _answer(self, what: str) -> Any:
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(_ANSWER_LIMIT):
                raise NodeError(f"the echo node did not answer {what!r}")
        line = self._process.stdout.readline()
        if not line:
            raise NodeError(f"the echo node ended on {what!r} with {self._process.wait()}")
        return json.loads(line)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate("quit\n", timeout=_QUIT_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def wall_offset_ns() -> int:
    """What to add to a monotonic stamp to get the wall clock's, which pcap files hold."""
    best = min(((time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(20)), key=_width)
    return best[1] - (best[0] + best[2]) // 2


def _width(reading: tuple[int, int, int]) -> int:
    return reading[2] - reading[0]
