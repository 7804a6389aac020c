"""Workers that announce themselves in a real Redis, under a node whose router shares calls among them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from callers.sipp import CallPlan, Sipp
from tests.live.gateway.listening import prompt, same_words, speech
from tests.live.gateway.node import Node, eventually
from tests.live.store.redis_process import free_port, redis_process

pytestmark = pytest.mark.live

PROMPTS = ("conf-now-recording", "check-number-dial-again")


@contextmanager
def announced(redis: str, name: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`offhook asr` that tells Redis of itself: the process, and the port of its health."""
    port = free_port()
    told = {
        "OFFHOOK_ASR_WORKER__GRPC__PORT": str(port),
        "OFFHOOK_ASR_WORKER__FLEET__REDIS": redis,
        "OFFHOOK_ASR_WORKER__FLEET__NAME": name,
        "OFFHOOK_ASR_WORKER__FLEET__HEARTBEAT_SECONDS": "0.3",
        "OFFHOOK_ASR_WORKER__FLEET__TTL_SECONDS": "2",
    }
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "asr"]
    process = subprocess.Popen(command, env={**os.environ, **told}, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: health(port + 1), 60.0)
        yield process, port + 1
    finally:
        process.kill()
        process.wait(10)


def health(port: int) -> int:
    """Requests that run at a worker that is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return int(json.load(answer)["running"])
    except OSError as error:
        raise AssertionError("the worker is not ready") from error


def streams(node: Node, name: str) -> float:
    return node.metrics().get(f'offhook_asr_engine{{what="riva/{name}.streams_opened"}}', 0.0)


def usable(node: Node, name: str, wanted: float) -> None:
    assert node.metrics().get(f'offhook_asr_engine{{what="riva/{name}.usable"}}', 0.0) == wanted


def test_a_fleet_in_redis_shares_calls_survives_kills_and_grows(tmp_path: Path) -> None:
    port = free_port()
    redis = f"redis://127.0.0.1:{port}"
    settings = {
        "redis": {"url": redis},
        "asr": {"engines": [{"engine": "riva", "fleet": True}, {"engine": "moonshine", "name": "here"}]},
    }
    audio = speech(tmp_path, *PROMPTS, room=4.0)
    with ExitStack() as running:
        running.enter_context(redis_process(tmp_path, port))
        first, _ = running.enter_context(announced(redis, "speech-1"))
        running.enter_context(announced(redis, "speech-2"))
        node = running.enter_context(Node(tmp_path, settings))
        for name in ("speech-1", "speech-2"):
            eventually(lambda name=name: usable(node, name, 1.0), 20.0)  # type: ignore[misc]

        def call(caller: str) -> Sipp:
            return Sipp(CallPlan(node.target, "echo", caller, audio=audio, hold_s=11.0))

        with ExitStack() as calls:
            sipps = [calls.enter_context(call(f"410{number}")) for number in range(4)]
            eventually(lambda: _all_talk(node, 4))
            # In the middle of the first prompt of all of them.
            first.kill()
            counts = [sipp.wait() for sipp in sipps]
        assert all(count.answered == 1 and not count.failed for count in counts), counts
        records = [node.records(f"410{number}")[0] for number in range(4)]
        for record in records:
            said = " ".join(turn["said"] for turn in record["turns"] if turn["number"])
            spoken = " ".join(prompt(name).text for name in PROMPTS)
            assert record["end_reason"] == "caller_hung_up" and same_words(spoken, said) >= 0.8, record
        switches = [switch for record in records for switch in record["switches"]]
        # On a busy machine the survivor may be late for a turn, and somebody nearer takes it: not our matter.
        lost = [switch for switch in switches if switch["from"] == "riva/speech-1"]
        assert lost and all(switch["why"] == "late" for switch in switches if switch not in lost), switches
        eventually(lambda: usable(node, "speech-1", 0.0))
        # One more joins while the node runs, and serves the next calls.
        running.enter_context(announced(redis, "speech-3"))
        eventually(lambda: usable(node, "speech-3", 1.0), 20.0)
        before = streams(node, "speech-3")
        with ExitStack() as calls:
            later = [calls.enter_context(call(f"420{number}")) for number in range(2)]
            assert all(sipp.wait().answered == 1 for sipp in later)
        assert streams(node, "speech-3") > before
        # Nobody needed the engine that is only there for when the whole fleet is gone.
        assert {switch["to"] for switch in lost} == {"riva/speech-2"}, switches


def _all_talk(node: Node, count: int) -> None:
    assert len(node.calls()) == count
