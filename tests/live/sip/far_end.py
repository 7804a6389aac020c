"""One SIPp process that goes through a scenario, and fails where the gateway does not do as it expects."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from callers.sipp import find_sipp, free_port
from tests.live.sip.steps import scenario


class Called(Protocol):
    """What SIPp calls, or is called by: a gateway or a whole node."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Of SIP, by transport."""


class FarEnd:
    """A caller, or the one who is called, that goes as its steps say. A context manager; ends its process."""

    def __init__(
        self,
        gateway: Called,
        steps: Sequence[str],
        folder: Path,
        *,
        port: int = 0,
        limit: float = 15.0,
        repeats: bool = True,
    ) -> None:
        """`port`: its own for SIP; 0 takes a free one. `limit`: seconds after which a scenario that hangs has
        failed. `repeats` off: SIPp sends nothing twice by itself and takes no message for a repetition,
        because the scenario names them."""
        self.port, self.media_port = port or free_port(), free_port()
        self.uri = f"sip:far@127.0.0.1:{self.port}"
        self._limit = limit
        self._folder = folder / f"sipp-{self.port}"
        self._folder.mkdir()
        (self._folder / "scenario.xml").write_text(scenario(steps), encoding="utf-8")
        command = [
            find_sipp(),
            f"127.0.0.1:{gateway.ports['udp']}",
            "-sf",
            "scenario.xml",
            "-nostdin",
            "-m",
            "1",
        ]
        command += ["-i", "127.0.0.1", "-p", str(self.port), "-mi", "127.0.0.1", "-mp", str(self.media_port)]
        command += ["-rtp_threadtasks", "1", "-timeout", f"{round(limit)}s", "-timeout_error"]
        command += ["-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages"]
        command += [] if repeats else ["-nr"]
        with (self._folder / "screen").open("wb") as screen:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> FarEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def done(self) -> None:
        """It went as its steps say."""
        code = self._process.wait(timeout=self._limit + 5.0)
        assert code == 0, f"sipp: {code}\n{self._read('errors') or self._read('screen')}"

    def messages(self) -> str:
        """Every message it sent or got so far."""
        return self._read("messages")

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(encoding="latin-1") if path.exists() else ""
