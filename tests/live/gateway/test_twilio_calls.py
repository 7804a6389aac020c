"""Twilio's Calls resource, used by Twilio's own client as it is published, and by Pipecat's hang-up."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.live.gateway.node import Node, eventually
from tests.live.gateway.twilio_app import CLIENTS, PYTHON, TOKEN
from tests.live.sip.phone import Phone, heard, loudness

pytestmark = pytest.mark.live

ACCOUNT = "AC" + "5" * 32


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing; cure: make setup-clients")
    rule = {"trunk": "local", "extensions": ["phone"], "allow": ["+4930"]}
    twiml = {"account_sid": ACCOUNT, "auth_token": TOKEN}
    settings = {"outbound": {"rules": [rule]}, "twiml": twiml}
    with Node(tmp_path_factory.mktemp("calls"), settings) as made:
        yield made


class Callbacks:
    """Takes status callbacks."""

    def __init__(self) -> None:
        self.told: list[str] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                assert self.headers["x-twilio-signature"]
                told.append(form["CallStatus"][0])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/status"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def callbacks() -> Iterator[Callbacks]:
    made = Callbacks()
    yield made
    made.close()


def test_twilios_own_client_places_redirects_and_ends_a_call(node: Node, callbacks: Callbacks) -> None:
    with Phone(("127.0.0.1", node.sip_port)) as phone:
        command = [str(PYTHON), str(CLIENTS / "twilio_rest.py"), node.api, ACCOUNT, TOKEN]
        command += [phone.uri, callbacks.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            invite = phone.rings(30.0)
            phone.respond(invite, 180)
            phone.take(invite)
            phone.rtp.listen(2.5)
            bye = phone.expect("BYE", 20.0)
            phone.respond(bye)
            out, err = client.communicate(timeout=30)
        assert client.returncode == 0, err[-2000:]
    told = json.loads(out.splitlines()[-1])
    assert loudness(heard(phone.rtp.received)) > 100
    assert told["denied"] == [403, 21216] and told["no_app"] == [400, 21205]
    assert told["stranger"] == [401, 20003] and told["unknown"] == [404, 20404]
    assert told["placed"][0] == "CA" and told["placed"][2:] == ["outbound-api", "+4930100"]
    assert told["running"] == ["in-progress", "phone"] and told["listed"] is True
    assert told["redirected"] == "in-progress"
    assert told["ended"] == ["completed", True, True] and told["too_late"] == [404, 20404]
    eventually(lambda: _all_told(callbacks))


def _all_told(callbacks: Callbacks) -> None:
    assert callbacks.told == ["initiated", "ringing", "in-progress", "completed"]
