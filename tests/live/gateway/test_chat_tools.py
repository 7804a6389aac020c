"""A chat agent's tools in a live call: a slow service and a transfer, asked for at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from tests.fakes.chat_endpoint import chat_endpoint
from tests.fakes.chat_tools import wants
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node
from tests.live.gateway.threaded import threaded
from tests.live.sip.phone import HOST, Phone

pytestmark = pytest.mark.live

SLOW_S = 3.0
PLAN = "routes:\n  - {name: desk, match: {called: desk}, actions: [answer, agent: desk]}\n"


class Service:
    """The operator's own, and slow: when it was asked what, and when it had answered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answered_at: list[float] = []


@contextmanager
def slow_service() -> Iterator[tuple[Service, str]]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            service.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            time.sleep(SLOW_S)
            body = b'{"note": "kept"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            service.answered_at.append(time.monotonic())

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield service, f"http://{HOST}:{server.server_port}/notes"
    finally:
        server.shutdown()
        server.server_close()


def test_a_service_is_waited_for_with_a_filler_and_then_the_caller_is_transferred(
    listener: Listener, tmp_path: Path
) -> None:
    wish = wants(("keep_note", {"text": "wants to dial again"}), ("transfer", {"to": "sales"}))
    for line in wish.lines:
        assert isinstance(line, bytes)
        ChatCompletionChunk.model_validate(json.loads(line.removeprefix(b"data: ")), strict=True)
    note = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    with (
        slow_service() as (service, url),
        threaded(partial(chat_endpoint, wish)) as (endpoint, base_url),
        Phone((HOST, 9), "sales") as sales,
    ):
        tool = {"name": "keep_note", "description": "Keeps a note.", "url": url, "parameters": note}
        target = f"sip:sales@{HOST}:{sales.wire.port}"
        agent = {
            "kind": "chat", "base_url": base_url, "model": "m", "greeting": "",
            "tools": {"transfer": {"sales": target}, "http": [tool]},
        }  # fmt: skip
        rules = [{"trunk": "local", "extensions": ["sales"]}]
        settings = {"agents": {"desk": agent}, "outbound": {"rules": rules}}
        with Node(tmp_path, settings, PLAN) as node:
            with Phone((HOST, node.sip_port), "desk") as caller:
                caller.call()
                caller.rtp.listen(0.5)
                caller.rtp.talk(prompt("check-number-dial-again").pcm)
                refer = caller.expect("REFER", 15.0)
                referred_at = time.monotonic()
                caller.respond(refer, 202)
                assert target in refer["refer-to"]
                _talk_to(sales, refer["refer-to"].strip("<>").removeprefix("sip:sales@"))
                caller.notify("SIP/2.0 200 OK", state="terminated;reason=noresource")
                caller.respond(caller.expect("BYE"))
            (record,) = node.records("1001")
            heard = listener.heard_by_caller(node.recording(record))
    assert service.asked == [{"text": "wants to dial again"}]
    assert service.answered_at and service.answered_at[0] <= referred_at, "nothing is given up by leaving"
    assert same_words("One moment, please.", heard) == 1.0, heard
    tools = {tool["function"]["name"] for tool in endpoint.requests[0]["tools"]}
    assert tools == {"keep_note", "transfer"} and len(endpoint.requests) == 1
    assert record["end_reason"] == "transferred"
    moved = [event for event in record["events"] if event["event"] == "transfer_changed"]
    assert (moved[-1]["kind"], moved[-1]["state"], moved[-1]["target"]) == ("blind", "done", target)
    faults = [event for event in record["events"] if event["event"] == "agent_fault"]
    assert "filler" in [fault["action"] for fault in faults]
    assert same_words(prompt("check-number-dial-again").text, record["turns"][-1]["said"]) >= 0.8


def _talk_to(answers: Phone, address: str) -> None:
    """What the caller's own network does with a REFER: the two are connected without us."""
    host, port = address.split(":")
    with Phone((host, int(port)), "sales") as dials:
        dials.invite()
        answers.wire.aim((HOST, dials.wire.port))
        answers.respond(answers.rings(), 200, body=answers.sdp())
        dials.expect(200)
        dials.ack()
        answers.expect("ACK")
