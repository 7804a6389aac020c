"""Call control on a running node: real SIP calls out, events that are replayed, webhooks that fail first."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from media.wav import read_mono
from tests.live.gateway.node import Node, eventually
from tests.live.sip.phone import Message, Phone, heard, loudness, pitch, tone

pytestmark = pytest.mark.live

SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Refuses each event the first time it comes, and takes it the second time."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, str, bool]] = []
        """Id, kind, and whether the signature was right."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                event = json.loads(body)
                named = self.headers["webhook-id"]
                signed = f"{named}.{self.headers['webhook-timestamp']}.".encode() + body
                key = base64.b64decode(SECRET.removeprefix("whsec_"))
                good = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
                first = named not in [one for one, _, _ in receiver.tries]
                right = self.headers["webhook-signature"] == f"v1,{good}" and event["id"] == named
                receiver.tries.append((named, event["type"], right))
                self.send_response(500 if first else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Node]:
    rule = {"trunk": "local", "extensions": ["phone", "4711"], "allow": ["+4930"], "per_minute": 100}
    hook = {
        "url": receiver.url,
        "secret": SECRET,
        "first_wait": 0.2,
        "events": ["call.answered", "call.ended"],
    }
    settings = {"outbound": {"rules": [rule]}, "events": {"webhooks": [hook]}}
    with Node(tmp_path_factory.mktemp("control"), settings) as made:
        yield made


class Caller:
    """The node's API as an operator uses it, and the phone that it calls."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.phone = Phone(("127.0.0.1", node.sip_port))
        self.call_id = ""

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.node.api}{path}", json=body or None, timeout=40.0)

    def order(self, move: str, **body: Any) -> httpx.Response:
        return self.post(f"/v1/calls/{self.call_id}/{move}", **body)

    def placed(self, **body: Any) -> Message:
        """Place a call to the phone; the INVITE that it gets."""
        answer = self.post("/v1/calls", to=self.phone.uri, **body)
        assert answer.status_code == 201, answer.text
        self.call_id = answer.json()["call_id"]
        return self.phone.rings()

    def taken(self, **body: Any) -> None:
        """... and taken."""
        self.phone.take(self.placed(**body))
        eventually(lambda: self.seen("call.answered"))

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.node.get(f"/v1/calls/events?call_id={self.call_id}").json()[
            "events"
        ]
        return found

    def seen(self, kind: str, /, **data: Any) -> dict[str, Any]:
        """The first event of this kind with these data."""
        for event in self.events():
            if event["type"] == kind and all(
                event["data"].get(name) == value for name, value in data.items()
            ):
                return event
        raise AssertionError(f"no {kind} {data} among {[e['type'] for e in self.events()]}")

    def ended(self) -> dict[str, Any]:
        data: dict[str, Any] = eventually(lambda: self.seen("call.ended"))["data"]
        return data


@pytest.fixture
def caller(node: Node) -> Iterator[Caller]:
    made = Caller(node)
    yield made
    if made.call_id:
        made.order("hangup")
    made.phone.close()


def test_nothing_is_called_without_a_rule(node: Node, caller: Caller) -> None:
    answer = caller.post("/v1/calls", to="+19005551234")
    assert (answer.status_code, answer.json()["reason"]) == (403, "prefix")
    answer = caller.post("/v1/calls", to="sip:desk@127.0.0.1:5999", trunk="local")
    assert (answer.status_code, answer.json()["reason"]) == (403, "extension")
    denied = node.get("/v1/calls/events?types=guard.denied").json()["events"]
    assert {event["data"]["reason"] for event in denied} >= {"prefix", "extension"}
    assert node.metrics()['offhook_outbound_denied_total{what="prefix"}'] >= 1


def test_say_digits_hold_and_hang_up(caller: Caller) -> None:
    caller.taken(**{"from": "+4930100"})
    phone = caller.phone
    said = caller.order("say?wait=20", text="This is a reminder.")
    assert (said.status_code, said.json()["done"]) == (200, True)
    phone.rtp.listen(0.2)
    assert loudness(heard(phone.rtp.received)) > 100
    assert caller.order("digits", digits="12").json()["done"]
    phone.rtp.listen(0.6)
    keys = {packet.payload[0] for packet in phone.rtp.received if packet.payload_type == 101}
    assert keys == {1, 2}
    on_hold = threading.Thread(target=lambda: caller.order("hold"))
    on_hold.start()
    offer = phone.expect("INVITE")
    assert "a=sendonly" in offer.body
    phone.respond(offer, 200, body=phone.sdp(direction="recvonly"))
    phone.expect("ACK")
    on_hold.join()
    assert caller.node.get(f"/v1/calls/{caller.call_id}").json()["held_by_us"] is True
    off_hold = threading.Thread(target=lambda: caller.order("unhold"))
    off_hold.start()
    offer = phone.expect("INVITE")
    phone.respond(offer, 200, body=phone.sdp())
    phone.expect("ACK")
    off_hold.join()
    caller.order("hangup", cause=17)
    bye = phone.expect("BYE")
    phone.respond(bye)
    assert "cause=17" in bye["reason"]
    ended = caller.ended()
    assert (ended["reason"], ended["called"], ended["caller"]) == ("api_hung_up", "phone", "+4930100")
    kinds = [event["type"] for event in caller.events()]
    assert kinds.index("call.began") < kinds.index("call.answered") < kinds.index("call.hold_changed")
    finished = eventually(lambda: _record(caller))
    assert [event["event"] for event in finished["events"]].count("hold_changed") == 2


def _record(caller: Caller) -> dict[str, Any]:
    answer = caller.node.get(f"/v1/calls/{caller.call_id}")
    assert answer.status_code == 200 and answer.json()["running"] is False
    found: dict[str, Any] = answer.json()
    return found


def test_an_agent_talks_with_whoever_is_called(caller: Caller) -> None:
    caller.taken(agent="echo")
    eventually(lambda: caller.seen("call.stage_began", stage="agent", detail="echo"))
    caller.phone.bye()
    assert caller.ended()["reason"] == "caller_hung_up"


@pytest.mark.parametrize(("code", "reason"), [(486, "not_answered"), (603, "not_answered")])
def test_a_refusal_is_told_with_its_code(caller: Caller, code: int, reason: str) -> None:
    invite = caller.placed()
    caller.phone.respond(invite, 180)
    eventually(lambda: caller.seen("call.ringing"))
    caller.phone.respond(invite, code)
    ended = caller.ended()
    assert (ended["reason"], ended["sip_code"]) == (reason, code)


def test_nobody_rings_for_ever(caller: Caller) -> None:
    invite = caller.placed(ring_seconds=1)
    caller.phone.respond(invite, 180)
    cancel = caller.phone.expect("CANCEL")
    caller.phone.respond(cancel)
    caller.phone.respond(invite, 487)
    assert caller.ended()["reason"] == "not_answered"


def test_a_blind_transfer_that_succeeds_and_one_that_fails(caller: Caller) -> None:
    caller.taken()
    phone = caller.phone
    answer = caller.order("transfer", to="+19005551234")
    assert (answer.status_code, answer.json()["reason"]) == (403, "prefix")
    for final, state in (("SIP/2.0 486 Busy Here", "failed"), ("SIP/2.0 200 OK", "done")):
        assert caller.order("transfer?wait=0", to="4711").status_code == 202
        refer = phone.expect("REFER")
        assert "4711" in refer["refer-to"]
        phone.respond(refer, 202)
        phone.notify("SIP/2.0 180 Ringing")
        phone.notify(final, state="terminated;reason=noresource")
        moved = eventually(partial(caller.seen, "call.transfer_changed", state=state, target="4711"))
        assert moved["data"]["kind"] == "blind"
        if state == "failed":
            assert eventually(lambda: caller.seen("call.order_refused", sip_code=486))
            assert caller.order("say?wait=20", text="I am still here.").json()["done"]
    phone.respond(phone.expect("BYE"))
    assert caller.ended()["reason"] == "transferred"


def test_a_subscriber_who_comes_back_misses_nothing(node: Node, caller: Caller) -> None:
    address = node.api.replace("http", "ws") + "/v1/calls/events"
    with connect(address) as socket:
        hello = json.loads(socket.recv(timeout=5))
        caller.taken()
        first = json.loads(socket.recv(timeout=5))
    assert hello["type"] == "hello" and first["type"] == "call.began"
    caller.order("hangup")
    caller.phone.respond(caller.phone.expect("BYE"))
    caller.ended()
    with connect(f"{address}?after={first['id']}") as socket:
        socket.recv(timeout=5)
        rest: list[dict[str, Any]] = []
        while not rest or rest[-1]["type"] != "call.ended":
            rest.append(json.loads(socket.recv(timeout=5)))
    numbers = [int(event["id"].rpartition("-")[2]) for event in (first, *rest)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": first["id"]}
    with httpx.stream("GET", f"{node.api}/v1/calls/events", headers=headers) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        assert json.loads(next(lines).removeprefix("data: ")) == rest[0]


def test_webhooks_keep_their_id_through_all_tries(caller: Caller, receiver: Receiver) -> None:
    caller.taken()
    caller.order("hangup")
    caller.phone.respond(caller.phone.expect("BYE"))
    wanted = [event["id"] for event in caller.events() if event["type"] in ("call.answered",)]
    wanted.append(eventually(lambda: caller.seen("call.ended"))["id"])

    def delivered() -> None:
        mine = [(named, kind) for named, kind, right in receiver.tries if named in wanted and right]
        answered, ended = wanted
        assert mine == [(answered, "call.answered")] * 2 + [(ended, "call.ended")] * 2

    eventually(delivered)


def test_machines_are_found_out(caller: Caller) -> None:
    invite = caller.placed(agent="echo", detection={"mode": "first"})
    caller.phone.take(invite)
    caller.phone.rtp.talk(read_mono(SPEECH / "queue-youarenext.wav", 8000))
    judged = eventually(lambda: caller.seen("call.machine_judged"))["data"]
    assert judged["verdict"] == "machine"


def test_a_node_is_drained_while_its_last_call_finishes(tmp_path: Path) -> None:
    rule = {"trunk": "local", "extensions": ["phone"]}
    with Node(tmp_path, {"outbound": {"rules": [rule]}, "node": {"drain_seconds": 20}}) as node:
        caller = Caller(node)
        with caller.phone as phone:
            caller.taken()
            command = [
                sys.executable,
                "-c",
                "from gateway.cli import main; main()",
                "drain",
                "--url",
                node.api,
            ]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as draining:
                assert draining.stdout is not None
                assert "1 calls" in draining.stdout.readline()
                refused = caller.post("/v1/calls", to=phone.uri)
                assert (refused.status_code, refused.json()["code"]) == (503, "Draining")
                assert node.get("/ready").status_code == 503 and node.get("/health").status_code == 200
                assert caller.order("say?wait=20", text="Goodbye.").json()["done"]
                phone.bye()
                assert draining.stdout.read().endswith("drained\n")
            assert draining.returncode == 0 and caller.ended()["reason"] == "caller_hung_up"


def test_an_attended_transfer_names_the_other_call(node: Node, caller: Caller) -> None:
    caller.taken()
    consulted = Caller(node)
    with consulted.phone:
        consulted.taken()
        assert caller.order("transfer-attended?wait=0", call_id=consulted.call_id).status_code == 202
        refer = caller.phone.expect("REFER")
        assert consulted.phone.seen_from_the_gateway.partition("%3B")[0] in refer["refer-to"]
        caller.phone.respond(refer, 202)
        caller.phone.notify("SIP/2.0 200 OK", state="terminated;reason=noresource")
        caller.phone.respond(caller.phone.expect("BYE"))
        assert caller.ended()["reason"] == "transferred"
        eventually(lambda: caller.seen("call.transfer_changed", kind="attended", state="done"))
        consulted.phone.bye()
        assert consulted.ended()["reason"] == "caller_hung_up"


def test_a_call_is_bridged_with_somebody_who_is_called_for_it(node: Node, caller: Caller) -> None:
    caller.taken()
    with Phone(("127.0.0.1", node.sip_port)) as other:
        assert caller.order("bridge?wait=0", to=other.uri).status_code == 202
        other.take(other.rings())
        eventually(lambda: caller.seen("call.order_done", order="BridgeDial"))
        listening = threading.Thread(target=other.rtp.listen, args=(1.5,))
        listening.start()
        caller.phone.rtp.talk(tone(440, 1.2))
        listening.join()
        assert abs(pitch(heard(other.rtp.received)[-2000:]) - 440) < 8
        other.bye()
        caller.phone.respond(caller.phone.expect("BYE"))
    assert caller.ended()["reason"] == "dialplan_hung_up"


@pytest.mark.parametrize("events", [101, 110])
def test_two_running_calls_are_bridged_and_both_hear(node: Node, caller: Caller, events: int) -> None:
    """`events`: the payload type under which the second phone wants keys; each has its own (RFC 3264)."""
    caller.phone.events = 96
    caller.taken()
    other = Caller(node)
    other.phone.events = events
    with other.phone:
        other.taken()
        assert caller.order("bridge", call_id=other.call_id).json()["done"]
        eventually(lambda: other.seen("call.bridge_changed", on=True))
        talking = threading.Thread(target=other.phone.rtp.talk, args=(tone(700, 1.5),))
        talking.start()
        caller.phone.rtp.talk(tone(440, 1.5))
        talking.join()
        for phone, hertz in ((caller.phone, 700), (other.phone, 440)):
            came = heard(phone.rtp.received)[-4000:-1600]
            assert abs(pitch(came) - hertz) < 8 and loudness(came) > 3000
        for phone, hears, code in ((caller.phone, other.phone, 5), (other.phone, caller.phone, 7)):
            phone.rtp.key(code)
            hears.rtp.listen(1.0)
            came_as = {(p.payload_type, p.payload[0]) for p in hears.rtp.received if p.payload_type >= 96}
            assert came_as == {(hears.events, code)}
        other.phone.bye()
        caller.phone.respond(caller.phone.expect("BYE"))
        assert other.ended()["reason"] == "caller_hung_up"
    assert caller.ended()["reason"] == "dialplan_hung_up"
    changed = [event["data"] for event in caller.events() if event["type"] == "call.bridge_changed"]
    assert [(data["other"], data["on"]) for data in changed] == [
        (other.call_id, True),
        (other.call_id, False),
    ]


def test_a_retry_after_a_restart_dials_nobody_twice(tmp_path: Path) -> None:
    """The key lies in the node's own Redis, which writes it to disk before the answer."""
    settings = {"outbound": {"rules": [{"trunk": "local", "extensions": ["phone"]}]}}
    answers: list[str] = []
    with Phone(("127.0.0.1", 9)) as phone:
        for _ in range(2):
            with Node(tmp_path, settings) as running:
                phone.wire.aim(("127.0.0.1", running.sip_port))
                body = {"to": phone.uri, "idempotency_key": "order-7"}
                answer = httpx.post(f"{running.api}/v1/calls", json=body, timeout=20.0)
                assert answer.status_code == 201, answer.text
                answers.append(answer.json()["call_id"])
                if len(answers) == 1:
                    phone.take(phone.rings())
                    phone.bye()
                else:
                    assert phone.silence(1.0), "nothing at all is dialled"
    assert answers[0] == answers[1]
