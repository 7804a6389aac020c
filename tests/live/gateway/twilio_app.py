"""The Twilio app of `tests/live/api/clients/twilio_app.py`, as a process of its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live.gateway.node import eventually

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = ROOT / "tests" / "live" / "api" / "clients"
PYTHON = ROOT / os.environ.get("OFFHOOK_CLIENTS_VENV", ".venv-clients") / "bin" / "python"
TOKEN = "d0c5f00dd0c5f00dd0c5f00dd0c5f00d"


class TwilioApp:
    """A context manager that leaves no process behind."""

    def __init__(self, token: str = TOKEN) -> None:
        assert PYTHON.exists(), f"{PYTHON} is missing; cure: make setup-clients"
        self._command = [str(PYTHON), str(CLIENTS / "twilio_app.py"), token]
        self.asked: list[dict[str, Any]] = []

    def __enter__(self) -> TwilioApp:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5.0)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.asked.append(json.loads(line))

    def forms(self, path: str, count: int = 1, seconds: float = 10.0) -> list[Mapping[str, str]]:
        """What came to a path, once it came so often."""

        def look() -> list[Mapping[str, str]]:
            found = [one["form"] for one in self.asked if one["path"] == path and one["method"] != "WS"]
            assert len(found) >= count, f"{len(found)} of {count} requests to {path}: {self.asked}"
            return found

        return eventually(look, seconds)

    def sockets(self, path: str) -> list[Mapping[str, Any]]:
        """What WebSockets on a path that are over by now saw."""

        def look() -> list[Mapping[str, Any]]:
            found = [one["form"] for one in self.asked if (one["path"], one["method"]) == (path, "WS")]
            assert found, f"no socket on {path}: {self.asked}"
            return found

        return eventually(look)

    def all_valid(self) -> bool:
        """Whether Twilio's own validator believed every request."""
        return bool(self.asked) and all(one["valid"] for one in self.asked)
