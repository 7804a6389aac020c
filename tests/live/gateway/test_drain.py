"""A drain while streams are open: they finish like calls do, and no later than the configuration grants."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection
from websockets.sync.server import ServerConnection, serve

from callers.g711 import ulaw_encode
from callers.sipp import CallPlan, Sipp
from tests.live.gateway.listening import prompt, same_words, speech
from tests.live.gateway.node import Node, eventually

pytestmark = pytest.mark.live

SAID = "check-number-dial-again"
LISTEN = "/v1/listen?encoding=mulaw&sample_rate=8000&interim_results=false"
PLAN = "routes: [{name: bot, match: {called: bot}, actions: [answer, agent: bot]}]"
_FRAME = 160


class EchoBot:
    """A bot for Twilio's media streams that sends back what it hears."""

    def __init__(self) -> None:
        self.told: list[str] = []
        """Kinds of the messages that came; of those with sound the first."""

    def __call__(self, socket: ServerConnection) -> None:
        for text in socket:
            message = json.loads(text)
            if message["event"] not in self.told:
                self.told.append(message["event"])
            if message["event"] == "media":
                socket.send(json.dumps({key: message[key] for key in ("event", "streamSid", "media")}))


@contextmanager
def bot() -> Iterator[tuple[EchoBot, str]]:
    made = EchoBot()
    with serve(made, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made, f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join(5.0)


def stream(node: Node) -> ClientConnection:
    return connect(node.api.replace("http", "ws") + LISTEN)


def send(socket: Connection, octets: bytes) -> None:
    """As fast as a telephone would."""
    began = time.monotonic()
    for place in range(0, len(octets), _FRAME):
        time.sleep(max(0.0, began + place / 8000 - time.monotonic()))
        socket.send(octets[place : place + _FRAME])


def rest(socket: Connection) -> tuple[list[dict[str, Any]], int]:
    """Every message to the end, and the close code."""
    told: list[dict[str, Any]] = []
    try:
        while True:
            told.append(json.loads(socket.recv(timeout=15.0)))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return told, closed.rcvd.code


def test_a_node_that_is_told_to_stop_waits_for_its_streams(tmp_path: Path) -> None:
    octets = ulaw_encode(prompt(SAID).pcm).tobytes()
    half = len(octets) // 2 // _FRAME * _FRAME
    with ExitStack() as stack:
        app, url = stack.enter_context(bot())
        agents = {"bot": {"kind": "media_stream", "url": url}}
        node = stack.enter_context(Node(tmp_path, {"agents": agents, "node": {"drain_seconds": 40}}, PLAN))
        plan = CallPlan(node.target, "bot", "bot", audio=speech(tmp_path, SAID, lead=1.0), hold_s=9.0)
        call = stack.enter_context(Sipp(plan))
        eventually(lambda: _check("media" in app.told))
        socket = stack.enter_context(stream(node))
        send(socket, octets[:half])
        node.signal()
        node.logged("draining")
        with pytest.raises(InvalidStatus) as refused, stream(node):
            pass
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        send(socket, octets[half:])
        counts = call.wait()
        socket.send(json.dumps({"type": "KeepAlive"}))
        assert node.process.poll() is None, "the node waits for the stream as well"
        socket.send(json.dumps({"type": "CloseStream"}))
        told, code = rest(socket)
        drained = node.logged("drained", 15.0)
        assert node.wait() == 0
    assert (counts.answered, counts.failed, counts.hung_up_on) == (1, 0, 0), counts
    assert app.told == ["connected", "start", "media", "stop"]
    (record,) = node.records("bot")
    assert record["end_reason"] == "caller_hung_up"
    heard = " ".join(one["channel"]["alternatives"][0]["transcript"] for one in told[:-1])
    assert same_words(prompt(SAID).text, heard) >= 0.8, told
    assert told[-1]["type"] == "Metadata" and code == 1000
    assert (drained["cut"], drained["streams_cut"]) == (0, 0)


def test_a_stream_that_goes_on_for_ever_is_told_and_ended(tmp_path: Path) -> None:
    with Node(tmp_path, {"node": {"drain_seconds": 3}}) as node, stream(node) as socket:
        began = time.monotonic()
        command = ["drain", "--url", node.api]
        draining = subprocess.Popen(
            [sys.executable, "-c", "from gateway.cli import main; main()", *command],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with draining:
            assert draining.stdout is not None
            assert "1 streams" in draining.stdout.readline()
            told, code = rest(socket)
            lasted = time.monotonic() - began
            assert draining.stdout.read().endswith("drained\n")
        assert draining.returncode == 0
        assert node.get("/health").status_code == 200, "it stays up; only SIGTERM ends it"
        drained = node.logged("drained")
    assert told[-1]["type"] == "Error" and "shutting down" in told[-1]["message"], told
    assert code == 1012 and lasted > 3.0
    assert (drained["cut"], drained["streams_cut"]) == (0, 1)


def _check(true: bool) -> None:
    assert true
