"""Routes that reach somebody else: a server that is asked, a telephone that is called, a caller sent away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from callers.capture import Capture
from callers.rtp import RtpStream
from callers.sipp import free_port
from tests.live.gateway.listening import Listener, prompt, same_words, speech
from tests.live.gateway.node import Node, eventually
from tests.live.sip.far_end import FarEnd
from tests.live.sip.steps import (
    answer,
    bye,
    call,
    expect,
    hung_up_on,
    notify,
    pause,
    play,
    respond,
    rings,
    sdp,
)

pytestmark = pytest.mark.live

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DESK = free_port()
"""Where the telephone is that routes call."""
OVER = "terminated;reason=noresource"
AGREED = [expect("REFER", "Refer-To", "4711"), answer("202 Accepted"), notify("SIP/2.0 100 Trying")]
TAKEN = [rings(), respond("180 Ringing"), pause(0.5), respond("200 OK", body=sdp()), expect("ACK")]
_LAST = 4 * 8000
"""Samples: the announcement before the end, and nothing of the ringing before it."""
CALLER_SAYS, DESK_SAYS = "check-number-dial-again", "queue-youarenext"


class Shop:
    """A server that knows orders; `/silent` never answers, `/broken` fails, `/garbage` makes no sense."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], bool]] = []
        """Path, body, and whether the signature was right."""
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
                key = base64.b64decode(SECRET.removeprefix("whsec_"))
                good = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
                shop.asked.append(
                    (self.path, json.loads(body), self.headers["webhook-signature"] == f"v1,{good}")
                )
                if self.path == "/silent":
                    time.sleep(5.0)
                decided = json.dumps({"set": {"state": "on its way"}, "choose": "known"}).encode()
                self.send_response(500 if self.path == "/broken" else 200)
                self.end_headers()
                self.wfile.write(b"<html>" if self.path == "/garbage" else decided)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def _plan(shop: str) -> str:
    asks = "".join(
        f"""
  - name: {name}
    match: {{called: {name}}}
    actions:
      - answer
      - webhook:
          url: "{url}"
          seconds: 1.5
          send: {{order: "47"}}
          on: {{known: [say: "Your order is ${{state}}.", hangup]}}
        fallback: [say: Nobody can look that up today., hangup]
"""
        for name, url in {
            "order": f"{shop}/order", "silent": f"{shop}/silent", "broken": f"{shop}/broken",
            "garbage": f"{shop}/garbage", "dead": "http://127.0.0.1:9/order",
        }.items()
    )  # fmt: skip
    return f"""
routes:
  - name: desk
    match: {{called: desk}}
    actions:
      - answer
      - bridge: {{to: "sip:desk@127.0.0.1:{DESK}", trunk: local, ring_seconds: 4}}
        fallback: [say: Nobody at the desk is free now., hangup]
      - say: The desk has hung up.
      - hangup
  - name: away
    match: {{called: away}}
    actions:
      - answer
      - transfer: {{to: "4711", ring_seconds: 3}}
        fallback: [say: We cannot put you through., hangup]
{asks}"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    made = Shop()
    thread = Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Iterator[Node]:
    trunk = {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True}
    rule = {"trunk": "local", "extensions": ["desk", "4711"], "per_minute": 100}
    settings = {
        "sip": {"trunks": [trunk]}, "outbound": {"rules": [rule]}, "dialplan": {"secret": SECRET},
    }  # fmt: skip
    with Node(tmp_path_factory.mktemp("reach"), settings, _plan(shop.url)) as running:
        yield running


def record(node: Node, route: str, count: int = 1) -> dict[str, Any]:
    """The latest record of this route, once there are so many."""

    def written() -> dict[str, Any]:
        found = [one for one in node.records("1001", 0) if one["route"] == route]
        assert len(found) >= count, f"{len(found)} of {count} records"
        return found[-1]

    return eventually(written)


@contextmanager
def overheard(folder: Path, *ends: FarEnd) -> Iterator[Capture]:
    with Capture(folder / "calls.pcap", [end.media_port for end in ends]) as capture:
        yield capture


def arrived(capture: Capture, end: FarEnd) -> RtpStream:
    """What was sent to this far end; the longest stream, should there be several."""
    return max((one for one in capture.streams() if one.destination.port == end.media_port), key=len)


def test_a_server_decides_what_the_caller_is_told(
    node: Node, shop: Shop, listener: Listener, tmp_path: Path
) -> None:
    with FarEnd(node, [call("order"), hung_up_on()], tmp_path) as caller:
        caller.done()
    kept = record(node, "order")
    assert same_words("Your order is on its way", listener.heard_by_caller(node.recording(kept))) >= 0.8
    ((_, body, proven),) = [one for one in shop.asked if one[0] == "/order"]
    assert proven and body["values"] == {"order": "47"} and body["call_id"] == kept["call_id"]


@pytest.mark.parametrize("how", ["silent", "broken", "garbage", "dead"])
def test_a_server_that_fails_is_no_dead_air(node: Node, listener: Listener, tmp_path: Path, how: str) -> None:
    with FarEnd(node, [call(how), hung_up_on()], tmp_path) as caller, overheard(tmp_path, caller) as capture:
        caller.done()
    stream = arrived(capture, caller)
    assert same_words("Nobody can look that up today", listener.words(stream.sound.pcm)) >= 0.8
    first = stream.first_audible_ns()
    assert first is not None and (first - stream.arrived_ns[0]) / 1e9 < 4.0
    assert record(node, how)["end_reason"] == "dialplan_hung_up"


def test_a_bridge_lets_both_hear_one_another(node: Node, listener: Listener, tmp_path: Path) -> None:
    mine, theirs = (speech(tmp_path, name, lead=1.0, room=1.0) for name in (CALLER_SAYS, DESK_SAYS))
    with ExitStack() as stack:
        desk = stack.enter_context(
            FarEnd(node, [*TAKEN, play(theirs), hung_up_on()], tmp_path, port=DESK, limit=40.0)
        )
        caller = stack.enter_context(
            FarEnd(node, [call("desk"), pause(2.0), play(mine), pause(8.0), bye()], tmp_path, limit=40.0)
        )
        capture = stack.enter_context(overheard(tmp_path, desk, caller))
        caller.done()
        desk.done()
    assert same_words(prompt(CALLER_SAYS).text, listener.words(arrived(capture, desk).sound.pcm)) >= 0.8
    assert same_words(prompt(DESK_SAYS).text, listener.words(arrived(capture, caller).sound.pcm)) >= 0.8
    kept = record(node, "desk")
    assert kept["end_reason"] == "caller_hung_up"
    bridged = [event["on"] for event in kept["events"] if event["event"] == "bridge_changed"]
    assert bridged == [True, False]


def test_a_call_goes_on_when_the_other_side_of_a_bridge_hangs_up(
    node: Node, listener: Listener, tmp_path: Path
) -> None:
    leaves = [*TAKEN, pause(1.0), bye(ends="From:[$us];tag=one\nTo:[$them]")]
    with (
        FarEnd(node, leaves, tmp_path, port=DESK) as desk,
        FarEnd(node, [call("desk"), hung_up_on()], tmp_path) as caller,
        overheard(tmp_path, caller) as capture,
    ):
        desk.done()
        caller.done()
    heard = listener.words(arrived(capture, caller).sound.pcm)
    assert same_words("The desk has hung up", heard) >= 0.8, heard
    assert record(node, "desk", 2)["end_reason"] == "dialplan_hung_up"


@pytest.mark.parametrize("how", ["busy", "silent"])
def test_a_desk_that_cannot_be_had_leads_to_the_fallback(
    node: Node, listener: Listener, tmp_path: Path, how: str
) -> None:
    unanswered = [respond("180 Ringing"), expect("CANCEL"), answer("200 OK"), respond("487 Terminated")]
    steps = [rings(), *([respond("486 Busy Here")] if how == "busy" else unanswered), expect("ACK")]
    before = len([one for one in node.records("1001", 0) if one["route"] == "desk"])
    with (
        FarEnd(node, steps, tmp_path, port=DESK) as desk,
        FarEnd(node, [call("desk"), hung_up_on()], tmp_path) as caller,
        overheard(tmp_path, caller) as capture,
    ):
        desk.done()
        caller.done()
    heard = listener.words(arrived(capture, caller).sound.pcm[-_LAST:])
    assert same_words("Nobody at the desk is free now", heard) >= 0.8, heard
    kept = record(node, "desk", before + 1)
    failed = [event for event in kept["events"] if event["event"] == "transfer_changed"][-1]
    assert failed["state"] == "failed" and failed["sip_code"] == (486 if how == "busy" else 408)
    assert kept["end_reason"] == "dialplan_hung_up"


TRANSFERS = {
    "taken": [*AGREED, notify("SIP/2.0 200 OK", state=OVER), hung_up_on()],
    "refused": [expect("REFER"), answer("403 Forbidden"), hung_up_on()],
    "busy": [*AGREED, notify("SIP/2.0 486 Busy Here", state=OVER), hung_up_on()],
    "no report": [expect("REFER"), answer("202 Accepted"), hung_up_on()],
}
STATES = {"refused": ("failed", 403), "busy": ("failed", 486), "no report": ("timed_out", 408)}
"""How the record tells it."""


@pytest.mark.parametrize("how", TRANSFERS)
def test_a_caller_is_sent_away_and_comes_back_when_that_fails(
    node: Node, listener: Listener, tmp_path: Path, how: str
) -> None:
    before = len([one for one in node.records("1001", 0) if one["route"] == "away"])
    with (
        FarEnd(node, [call("away"), *TRANSFERS[how]], tmp_path) as caller,
        overheard(tmp_path, caller) as capture,
    ):
        caller.done()
    kept = record(node, "away", before + 1)
    last = [event for event in kept["events"] if event["event"] == "transfer_changed"][-1]
    if how == "taken":
        assert kept["end_reason"] == "transferred" and last["state"] == "done"
        return
    heard = listener.words(arrived(capture, caller).sound.pcm)
    assert same_words("We cannot put you through", heard) >= 0.8, heard
    assert kept["end_reason"] == "dialplan_hung_up"
    assert (last["state"], last["sip_code"]) == STATES[how]
