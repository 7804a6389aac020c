"""Speech workers as processes of their own, a wire in front of each, and ways to break both."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

_READY_LIMIT = 60.0
_PIECE = 16_384
_COMMAND = "from gateway.cli import main; main()"


class Fault(StrEnum):
    """What can be done to a worker."""

    KILL = "kill -9"
    STOP = "SIGSTOP"
    SLOW = "slow"
    """Every octet of its answers comes seconds late."""
    GARBAGE = "garbage"
    """Its answers are replaced by noise."""
    REFUSE = "refuse"
    """Connections are reset, new ones refused."""
    HALF_OPEN = "half-open"
    """Connections stay, and new ones are taken, but nothing passes any more in either direction."""


class Wire:
    """A TCP proxy on a loop in a thread of its own, so that it never shares a hiccup with who measures."""

    def __init__(self, target: int) -> None:
        self.port = free_tcp_port()
        self._target = target
        self._fault: Fault | None = None
        self._slow = 0.0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Wire:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def breaks(self, fault: Fault, *, slow: float = 2.0) -> None:
        """From now on."""
        self._do(self._break(fault, slow))

    def mends(self) -> None:
        """As if nothing had been; connections that were broken are reset."""
        self._do(self._mend())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _break(self, fault: Fault, slow: float) -> None:
        self._fault, self._slow = fault, slow
        if fault is Fault.REFUSE:
            await self._shut()
            self._reset()

    async def _mend(self) -> None:
        was, self._fault = self._fault, None
        if was is not None and was is not Fault.SLOW:
            self._reset()
        if self._server is None:
            await self._listen()

    async def _shut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _close(self) -> None:
        await self._shut()
        self._reset()
        for task in tuple(self._pipes):
            task.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._fault is Fault.HALF_OPEN:
            return  # taken, and that is all
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        for source, sink, answers in ((reader, back, False), (there, writer, True)):
            task = self._loop.create_task(self._pipe(source, sink, answers))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        try:
            while octets := await source.read(_PIECE):
                fault = self._fault
                if fault is Fault.HALF_OPEN:
                    continue
                if fault is Fault.SLOW and answers:
                    await asyncio.sleep(self._slow)
                if fault is Fault.GARBAGE and answers:
                    octets = os.urandom(len(octets))
                sink.write(octets)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            sink.transport.abort()


class Worker:
    """A worker process behind a `Wire`; a context manager that leaves no process behind."""

    def __init__(self, kind: str, pace: float = 0.0) -> None:
        """`kind`: `asr` or `tts`, served as `offhook asr` and `offhook tts` do; a `tts` with a `pace`: see
        `paced_voice`."""
        self.kind, self._pace = kind, pace
        self._folder = tempfile.TemporaryDirectory(prefix="worker-")
        self._grpc, self._http = free_tcp_port(), free_tcp_port()
        self.wire = Wire(self._grpc)
        self._process: subprocess.Popen[bytes] | None = None
        self._fault: Fault | None = None

    @property
    def address(self) -> str:
        """Where gateways reach it."""
        return f"127.0.0.1:{self.wire.port}"

    def __enter__(self) -> Worker:
        self.wire.__enter__()
        self.launch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self.wire.__exit__(kind, error, trace)
        self._folder.cleanup()

    def launch(self) -> None:
        """Start the process; it is not ready yet."""
        section = {"grpc": {"port": self._grpc}, "http": {"port": self._http}}
        config = Path(self._folder.name) / "worker.yaml"
        config.write_text(yaml.safe_dump({f"{self.kind}_worker": section}), encoding="utf-8")
        command = [sys.executable, "-c", _COMMAND, self.kind, "-c", str(config)]
        if self._pace:
            ports = (str(self._grpc), str(self._http), str(self._pace))
            command = [sys.executable, "-m", "benchmarks.paced_voice", *ports]
        with (Path(self._folder.name) / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def await_ready(self) -> None:
        """Wait until it serves. Raises TimeoutError with its last words."""
        until = time.monotonic() + _READY_LIMIT
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/health", timeout=1.0) as answer:
                    if json.load(answer)["state"] == "ready":
                        return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.1)
        log = (Path(self._folder.name) / "log").read_text(encoding="utf-8", errors="replace")
        raise TimeoutError(f"{self.kind} worker did not get ready: {log[-800:]}")

    def breaks(self, fault: Fault) -> None:
        """Do it now."""
        assert self._process is not None
        self._fault = fault
        if fault is Fault.KILL:
            self._process.kill()
        elif fault is Fault.STOP:
            self._process.send_signal(signal.SIGSTOP)
        else:
            self.wire.breaks(fault)

    def mends(self) -> None:
        """Undo it; a killed process is started again, and not ready yet."""
        fault, self._fault = self._fault, None
        if fault is Fault.KILL:
            self._end()
            self.launch()
        elif fault is Fault.STOP and self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        elif fault is not None:
            self.wire.mends()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def free_tcp_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
