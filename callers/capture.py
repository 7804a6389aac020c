"""Listens on an interface with tcpdump, so that times are the kernel's and not a client's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from callers.pcap import datagrams
from callers.rtp import RtpStream, streams

_START_LIMIT = 10.0
_HEADERS_ONLY = 64
_BUFFER_KIB = 65536
_FLUSH = 1.2
"""The kernel hands tcpdump its last packets up to a second late."""


class CaptureError(RuntimeError):
    """Packets cannot be captured; the message says why and the cure."""


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """What tcpdump reported when it ended."""

    captured: int
    dropped: int
    """By the kernel, because the buffer was full: then nothing may be concluded from gaps."""


class Capture:
    """Records the UDP traffic of some ports into a pcap file while the `with` block runs."""

    def __init__(
        self, path: Path, ports: Iterable[int], *, interface: str = "lo", headers_only: bool = False
    ) -> None:
        self.path = path
        self._ports = sorted(set(ports))
        self._interface = interface
        self._headers_only = headers_only
        self._process: subprocess.Popen[str] | None = None
        self.counts = CaptureCounts(0, 0)

    def __enter__(self) -> Capture:
        tool = shutil.which("tcpdump")
        if tool is None:
            raise CaptureError("tcpdump is not installed; cure: apt-get install tcpdump")
        ports = " or ".join(f"udp port {port}" for port in self._ports)
        command = [tool, "-i", self._interface, "-w", str(self.path), "-n", "-U", "-Z", "root"]
        command += ["--time-stamp-precision=nano", "-B", str(_BUFFER_KIB)]
        command += ["-s", str(_HEADERS_ONLY)] if self._headers_only else []
        self._process = subprocess.Popen(
            [*command, ports], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._await_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the recording; idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        time.sleep(_FLUSH)
        process.send_signal(signal.SIGINT)
        try:
            _, report = process.communicate(timeout=_START_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            _, report = process.communicate()
        self.counts = CaptureCounts(_count(report, "packets? captured"), _count(report, "dropped by kernel"))

    def streams(self) -> list[RtpStream]:
        """Every RTP stream seen so far."""
        return streams(datagrams(self.path))

    def _await_start(self) -> None:
        """Wait until the socket is open: tcpdump writes the file's header only then."""
        assert self._process is not None
        until = time.monotonic() + _START_LIMIT
        while time.monotonic() < until:
            if self.path.exists() and os.path.getsize(self.path) >= 24:
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        self._process.kill()
        _, report = self._process.communicate()
        raise CaptureError(f"tcpdump did not start: {report.strip()}; it needs root or CAP_NET_RAW")


def _count(report: str, what: str) -> int:
    match = re.search(rf"(\d+) (?:packets )?{what}", report)
    return int(match[1]) if match else 0
