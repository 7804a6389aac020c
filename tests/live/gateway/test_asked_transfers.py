"""REFER from outside, carried out: SIPp or a phone asks, and whoever is left is connected with a third."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callers.sipp import find_sipp, free_port
from tests.live.gateway.node import Node, eventually
from tests.live.sip.phone import HOST, Message, Phone, heard, loudness, pitch, tone

pytestmark = pytest.mark.live

SCENARIOS = Path(__file__).parent / "scenarios"
DESK = free_port()
"""Where the phone is that the plan connects callers with."""
_PLAN = f"""
routes:
  - name: number-of-ours
    match: {{called: "300"}}
    actions: [answer, agent: echo]
  - name: desk
    match: {{called: "200"}}
    actions:
      - answer
      - bridge: {{to: "sip:desk@{HOST}:{DESK}", trunk: local}}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    trunk = {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True, "refer": "ask"}
    rule = {"trunk": "local", "extensions": ["phone", "desk"], "per_minute": 100, "refer": True}
    rule |= {"refer_ring_seconds": 4}
    settings = {"sip": {"trunks": [trunk]}, "outbound": {"rules": [rule]}, "node": {"recordings": False}}
    with Node(tmp_path_factory.mktemp("asked"), settings, _PLAN) as made:
        yield made


class Answering(Phone):
    """A phone that is called, at a port of its own."""

    def __init__(self, node: Node, port: int = 0) -> None:
        super().__init__((HOST, node.sip_port), port=port)

    def talks(self, invite: Message) -> None:
        self.respond(invite, 180)
        self.take(invite)

    def hears(self, other: Phone, hertz: float) -> None:
        """Both phones talk; what the other one says arrives here."""
        listening = threading.Thread(target=self.rtp.listen, args=(1.6,))
        listening.start()
        other.rtp.talk(tone(hertz, 1.4))
        listening.join()
        came = heard(self.rtp.received)[-4000:-1600]
        assert abs(pitch(came) - hertz) < 8 and loudness(came) > 3000

    def hung_up(self) -> None:
        self.respond(self.expect("BYE", 10.0))


class Sipp:
    """One call of SIPp's to 200 that goes as its scenario says."""

    def __init__(self, node: Node, scenario: str, folder: Path, target: Phone) -> None:
        self._folder = folder
        command = [find_sipp(), node.target, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-nostdin"]
        command += ["-i", HOST, "-p", str(free_port()), "-mp", str(free_port()), "-m", "1"]
        command += ["-key", "target_port", str(target.wire.port)]
        command += ["-timeout", "70s", "-timeout_error", "-trace_err", "-error_file", "errors"]
        null = subprocess.DEVNULL
        self._process = subprocess.Popen(command, cwd=folder, stdin=null, stdout=null, stderr=null)

    def done(self) -> None:
        code = self._process.wait(timeout=75.0)
        errors = self._folder / "errors"
        assert code == 0, errors.read_text(encoding="latin-1")[:2000] if errors.exists() else f"sipp: {code}"

    def __enter__(self) -> Sipp:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def states(record: dict[str, Any]) -> list[tuple[str, int]]:
    asked = [event for event in record["events"] if event["event"] == "transfer_changed"]
    return [(event["state"], event["sip_code"]) for event in asked if event["kind"] == "asked"]


def newest(node: Node, count: int) -> dict[str, Any]:
    return node.records("1001", count)[-1]


@pytest.fixture
def before(node: Node) -> int:
    """Records of SIPp's calls so far."""
    journal = node.records_folder / "calls.jsonl"
    return journal.read_text(encoding="utf-8").count('"caller": "1001"') if journal.exists() else 0


@pytest.mark.parametrize("scenario", ["refer_permitted", "refer_gone"])
def test_a_caller_sends_whom_he_talks_with_elsewhere(
    node: Node, tmp_path: Path, scenario: str, before: int
) -> None:
    with (
        Answering(node, DESK) as desk,
        Answering(node) as target,
        Sipp(node, scenario, tmp_path, target) as sipp,
    ):
        desk.talks(desk.rings(10.0))
        invite = target.rings(15.0)
        assert invite["referred-by"] == f"<sip:1001@{HOST}>"
        target.talks(invite)
        sipp.done()
        desk.hears(target, 440)
        target.hears(desk, 700)
        assert len(node.calls()) == 1, "whoever is left can be seen"
        target.bye()
        desk.hung_up()
    record = newest(node, before + 1)
    ringing = [("ringing", 180), ("answered", 200), ("done", 0)]
    assert states(record) == [("started", 0), ("trying", 100), *ringing]
    assert record["end_reason"] == "transferred"


def test_the_target_is_busy_and_the_call_goes_on(node: Node, tmp_path: Path, before: int) -> None:
    with Answering(node, DESK) as desk, Answering(node) as target:
        with Sipp(node, "refer_busy", tmp_path, target) as sipp:
            desk.talks(desk.rings(10.0))
            target.respond(target.rings(15.0), 486)
            sipp.done()
            desk.hung_up()
    assert states(newest(node, before + 1)) == [("started", 0), ("trying", 100), ("failed", 486)]


def test_the_target_does_not_answer_and_the_call_goes_on(node: Node, tmp_path: Path, before: int) -> None:
    with Answering(node, DESK) as desk, Answering(node) as target:
        with Sipp(node, "refer_unanswered", tmp_path, target) as sipp:
            desk.talks(desk.rings(10.0))
            invite = target.rings(15.0)
            target.respond(invite, 180)
            target.respond(target.expect("CANCEL", 40.0))
            target.respond(invite, 487)
            sipp.done()
            desk.hung_up()
    assert states(newest(node, before + 1))[-1] == ("timed_out", 408)


def test_what_no_rule_allows_is_denied_logged_and_counted(node: Node, tmp_path: Path, before: int) -> None:
    counted = 'offhook_outbound_denied_total{what="extension"}'
    already = node.metrics().get(counted, 0.0)
    with Answering(node, DESK) as desk, Sipp(node, "refer_denied", tmp_path, desk) as sipp:
        desk.talks(desk.rings(10.0))
        sipp.done()
        desk.hung_up()
    assert states(newest(node, before + 1)) == [("started", 0), ("failed", 603)]
    assert node.metrics()[counted] == already + 1
    denied = node.get("/v1/calls/events?types=guard.denied").json()["events"]
    assert denied[-1]["data"]["reason"] == "extension"
    node.logged("a call of ours is denied")


def connected(caller: Phone, desk: Answering) -> None:
    """The caller is answered, and connected with the desk."""
    caller.call()
    desk.talks(desk.rings(10.0))
    for phone in (caller, desk):
        phone.rtp.talk(tone(440, 0.2))


def asks(phone: Phone, target: str) -> list[str]:
    """A phone asks, and hears how it went; its reports."""
    phone.request("REFER", headers=[("Refer-To", f"<{target}>"), ("Referred-By", "<sip:desk@pbx>")])
    phone.expect(202)
    told: list[str] = []
    while not told or told[-1] < "SIP/2.0 200":
        report = phone.expect("NOTIFY", 10.0)
        phone.respond(report)
        told.append(report.body.strip())
    return told


def test_whom_we_called_sends_the_caller_elsewhere(node: Node) -> None:
    with (
        Phone((HOST, node.sip_port), "200") as caller,
        Answering(node, DESK) as desk,
        Answering(node) as target,
    ):
        connected(caller, desk)
        answering = threading.Thread(target=lambda: target.talks(target.rings(10.0)))
        answering.start()
        told = asks(desk, target.uri)
        answering.join()
        assert [line.partition(" ")[2] for line in told] == ["100 Trying", "180 Ringing", "200 OK"]
        desk.bye()
        target.hears(caller, 440)
        caller.rtp.received.clear()
        listening = threading.Thread(target=caller.rtp.listen, args=(1.6,))
        listening.start()
        target.rtp.talk(tone(700, 1.4))
        listening.join()
        assert abs(pitch(heard(caller.rtp.received)[-4000:-1600]) - 700) < 8
        target.bye()
        caller.respond(caller.expect("BYE"))


def test_whom_we_called_sends_the_caller_to_a_number_of_ours(node: Node) -> None:
    with Phone((HOST, node.sip_port), "200") as caller, Answering(node, DESK) as desk:
        connected(caller, desk)
        told = asks(desk, f"sip:300@{node.target}")
        assert told[-1] == "SIP/2.0 200 OK"
        desk.bye()

        def with_the_agent() -> None:
            (call,) = node.calls()
            assert call["route"] == "number-of-ours", call

        eventually(with_the_agent)
        caller.bye()
