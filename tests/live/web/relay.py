"""coturn, unmodified, as the only way between a browser and the node."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from callers.sipp import free_port

SECRET = "a-secret-that-browsers-never-see"


class TurnServer:
    """A TURN server on loopback with ephemeral credentials; a context manager."""

    def __init__(self, folder: Path) -> None:
        assert shutil.which("turnserver"), "coturn is not installed; cure: make setup-clients"
        self.port = free_port()
        first = free_port()
        self._log = folder / "turn.log"
        self._command = [
            "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--fingerprint",
            "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={self.port}",
            f"--min-port={first}", f"--max-port={first + 200}", "--realm=offhook.test", "--use-auth-secret",
            f"--static-auth-secret={SECRET}", "--allow-loopback-peers", "--log-file=stdout",
            f"--pidfile={folder}/turn.pid", f"--userdb={folder}/turn.db",
        ]  # fmt: skip

    @property
    def url(self) -> str:
        return f"turn:127.0.0.1:{self.port}?transport=udp"

    def __enter__(self) -> TurnServer:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < until and self._process.poll() is None, self._log.read_text()[-2000:]
        return self

    def _answers(self) -> bool:
        """A STUN Binding request (RFC 8489 section 5) is answered."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            probe.sendto(struct.pack("!HHI12s", 1, 0, 0x2112A442, b"is-anybody-?"), ("127.0.0.1", self.port))
            try:
                return len(probe.recv(512)) >= 20
            except OSError:
                return False

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def gone_for(self, seconds: float) -> None:
        """Nothing passes for so long."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)
