"""A licence over a node's life: proxy and vendor as processes, a real call that outlives both."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from callers.sipp import CallPlan, Sipp
from license.signature import new_key, public_of
from tests.live.gateway.node import Node, eventually

pytestmark = pytest.mark.live

KEY = "lk-live-1"


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`offhook license …` as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from gateway.cli import main; main()", "license", *arguments],
        env={**os.environ, "LICENSE_KEY": KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def answers(port: int, path: str, status: int) -> None:
    try:
        found = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2).status_code
    except httpx.HTTPError as error:
        raise AssertionError(f"nobody listens on {port}") from error
    assert found == status


def vendor(key_file: Path, port: int, *more: str) -> Sequence[str]:
    told = ("--key-file", str(key_file), "--licence", KEY, "--calls", "2", "--port", str(port))
    return ("serve-upstream", *told, *more)


def test_no_call_ends_for_a_licence_and_the_limit_holds(tmp_path: Path) -> None:
    office, proxy = unused_ports()
    key_file = tmp_path / "vendor.key"
    key_file.write_text(new_key())
    public = public_of(key_file.read_text())
    upstream = ("--upstream", f"http://127.0.0.1:{office}", "--vendor-key", public)
    at = ("--folder", str(tmp_path / "licence"), "--port", str(proxy))
    settings = {
        "license": {
            "proxy": f"http://127.0.0.1:{proxy}",
            "key": KEY,
            "vendor_key": public,
            "ask_seconds": 1.0,
        }
    }
    with command(*vendor(key_file, office)) as selling:
        eventually(lambda: answers(office, "/validate", 401), 30.0)
        with command(*upstream, *at) as proxying:
            eventually(lambda: answers(proxy, "/health", 200), 30.0)
            with Node(tmp_path, settings) as node:
                with Sipp(CallPlan(node.target, "echo", calls=3, hold_s=8.0)) as sipp:
                    eventually(lambda: _calls(node, 2))
                    selling.kill()
                    proxying.kill()
                    time.sleep(3.0)
                    assert len(node.calls()) == 2
                    counts = sipp.wait()
                assert (counts.answered, counts.busy, counts.failed) == (2, 1, 0), counts
                with Sipp(CallPlan(node.target, "echo", calls=1, hold_s=1.0)) as late:
                    assert late.wait().answered == 1
                assert node.metrics()['offhook_calls_refused_total{reason="license"}'] == 1
            # Vendor and proxy are still away: the node that starts now goes on with the last word it had.
            with Node(tmp_path, settings) as again:
                with Sipp(CallPlan(again.target, "echo", calls=3, hold_s=2.0)) as sipp:
                    counts = sipp.wait()
                assert (counts.answered, counts.busy, counts.failed) == (2, 1, 0), counts
                assert again.get("/health/license").status_code == 200


def _calls(node: Node, count: int) -> None:
    assert len(node.calls()) == count


def unused_ports() -> tuple[int, int]:
    """Two ports that were free a moment ago."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
