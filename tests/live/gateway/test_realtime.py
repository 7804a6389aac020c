"""A node whose agent is a realtime model: SIPp's call, recorded speech both ways, over a real WebSocket.

The endpoint is a scripted one that holds every event, both ways, to the `openai` client's own types.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from callers.sipp import CallPlan, Sipp
from gateway.agents.text_socket import SocketLost
from media.wav import read_mono
from tests.fakes.app_socket import AppSocket
from tests.fakes.realtime_endpoint import RealtimeEndpoint, Reply
from tests.live.gateway.listening import SPEECH, Listener, prompt, same_words, speech
from tests.live.gateway.node import Node

pytestmark = pytest.mark.live

SAID, REPLY, LONG = "check-number-dial-again", "vm-prev", "queue-youarenext"
PLAN = "routes:\n  - {name: model, match: {called: model}, actions: [answer, agent: model]}\n"


class WireSocket(AppSocket):
    """The app's end over a network."""

    def __init__(self, connection: ServerConnection) -> None:
        super().__init__(connection.request.path if connection.request else "", {})
        self._connection = connection
        self._sending: set[asyncio.Task[None]] = set()

    async def receive(self) -> Any:
        try:
            return json.loads(await self._connection.recv())
        except ConnectionClosed:
            raise SocketLost(1000) from None

    def send(self, message: Any) -> None:
        task = asyncio.ensure_future(self._send(json.dumps(message)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed:
            pass


@contextmanager
def served(endpoint: RealtimeEndpoint) -> Iterator[str]:
    """The endpoint in a thread with a loop of its own; yields its base URL."""
    found: list[Any] = []
    ready = threading.Event()

    async def take(connection: ServerConnection) -> None:
        try:
            await endpoint(WireSocket(connection))
        except SocketLost:
            pass

    async def main() -> None:
        stop = asyncio.Event()
        async with serve(take, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            found.extend([asyncio.get_running_loop(), stop, port])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(10.0)
    loop, stop, port = found
    try:
        yield f"ws://127.0.0.1:{port}/v1"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10.0)


def sound_of(name: str) -> Any:
    return read_mono(SPEECH / f"{name}.wav", 8000)


def test_a_caller_talks_with_a_realtime_model_and_interrupts_it(listener: Listener, tmp_path: Path) -> None:
    endpoint = RealtimeEndpoint(
        [Reply(prompt(LONG).text, sound_of(LONG)), Reply(prompt(REPLY).text, sound_of(REPLY))],
        transcripts=[prompt(SAID).text],
    )
    with served(endpoint) as url:
        agents = {"model": {"kind": "realtime", "base_url": url, "model": "talker", "silence_ms": 700}}
        with Node(tmp_path, {"agents": agents}, PLAN) as node:
            audio = speech(tmp_path, SAID, lead=2.5, room=6.0)
            with Sipp(CallPlan(node.target, "model", "model", audio=audio, hold_s=10.0)) as call:
                assert call.wait().answered == 1
            (record,) = node.records("model")
            assert record["end_reason"] == "caller_hung_up", record
            heard = listener.heard_by_caller(node.recording(record))
    assert endpoint.events("session.update")[0]["session"]["audio"]["input"]["format"] == {
        "type": "audio/pcmu"
    }
    (truncated,) = endpoint.events("conversation.item.truncate")
    assert 1500 < truncated["audio_end_ms"] < 4000, "cut while he began to speak"
    greeting, turn = record["turns"]
    assert greeting["interrupted"] and 0 < len(greeting["heard"]) < len(greeting["reply"])
    assert turn["said"] == prompt(SAID).text and turn["heard"] == prompt(REPLY).text
    assert 0 < turn["turn_ms"] < 2500
    assert same_words(prompt(REPLY).text, heard) >= 0.8
