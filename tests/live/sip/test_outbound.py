"""Calls that we place: ringing, early media, races with our giving up, forks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Message, Phone, heard, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


def dialled(gateway: GatewayProcess, phone: Phone, **order: object) -> tuple[str, Message]:
    """A call of ours that arrives; its leg and the INVITE."""
    gateway.command("dial " + json.dumps({"target": phone.uri, **order}))
    leg = str(gateway.wait("dialled")["leg"])
    return leg, phone.rings()


def test_ringing_is_told_once_per_kind_and_then_the_answer(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, invite = dialled(gateway, phone)
        phone.respond(invite, 100)
        for code in (180, 180, 183, 183, 180):
            phone.respond(invite, code)
        told = [gateway.wait("LegRinging", leg=leg) for _ in range(3)]
        assert [(ring["sip_code"], ring["early_media"]) for ring in told] == [
            (180, False), (183, False), (180, False),
        ]  # fmt: skip
        phone.take(invite)
        gateway.wait("LegAnswered", leg=leg)
        phone.bye()
    assert gateway.wait("LegClosed", leg=leg)["reason"] == "caller_hung_up"
    assert not [report for report in gateway.drain(0.1) if report["event"] == "LegRinging"]


def test_early_media_is_heard_before_the_answer(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, invite = dialled(gateway, phone)
        phone.respond(invite, 183, body=phone.sdp())
        assert gateway.wait("LegRinging", leg=leg)["early_media"]
        phone.rtp.talk(tone(440, 0.6))
        gateway.command(f"leg {leg} hangup")
        cancel = phone.expect("CANCEL")
        phone.respond(cancel, 200)
        phone.respond(invite, 487)
        phone.expect("ACK")
    closed = gateway.wait("LegClosed", leg=leg)
    assert closed["reason"] == "agent_hung_up"
    assert closed["frames"] >= 25 and closed["stats"]["rx_packets"] == 30


def test_headers_caller_and_target_are_what_was_asked(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        headers = [["X-Ticket", "12 34"], ["P-Asserted-Identity", "<sip:+4930@us>"]]
        leg, invite = dialled(gateway, phone, headers=headers, caller="+4930")
        assert (invite["x-ticket"], invite["p-asserted-identity"]) == ("12 34", "<sip:+4930@us>")
        assert invite["from"].startswith("<sip:+4930@") and invite.first.startswith(f"INVITE {phone.uri} ")
        phone.respond(invite, 486)
        phone.expect("ACK")
    closed = gateway.wait("LegClosed", leg=leg)
    assert (closed["reason"], closed["sip_code"]) == ("not_answered", 486)


def test_a_number_is_dialled_at_the_trunks_peer() -> None:
    with Phone(("127.0.0.1", 9)) as phone:
        peer = {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True, "proxy": phone.uri + ";lr"}
        with GatewayProcess(trunks=[peer]) as gateway:
            phone.wire.aim(gateway.sip)
            gateway.command("dial " + json.dumps({"target": "+49301234"}))
            gateway.wait("dialled")
            invite = phone.rings()
            assert invite.first.startswith(f"INVITE sip:+49301234@127.0.0.1:{phone.wire.port} ")
            phone.respond(invite, 404)
            phone.expect("ACK")
            gateway.wait("LegClosed")


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"target": "12 34"}, 400),
        ({"target": "sip:1@127.0.0.1", "headers": [["Via", "x"]]}, 400),
        ({"target": "sip:1@127.0.0.1", "headers": [["X-A", "1\r\nVia: x"]]}, 400),
        ({"target": "sip:1@127.0.0.1", "ring": 0.1}, 400),
        ({"target": "sip:1@127.0.0.1", "trunk": "other"}, 404),
        ({"target": "sip:1@198.51.100.7"}, 403),
    ],
)
def test_what_may_not_be_dialled_is_not(gateway: GatewayProcess, order: dict[str, object], code: int) -> None:
    gateway.command("dial " + json.dumps(order))
    assert gateway.wait("leg_error")["code"] == code


def test_it_may_ring_so_long_and_no_longer(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        began = time.monotonic()
        leg, invite = dialled(gateway, phone, ring=1.0)
        phone.respond(invite, 180)
        phone.respond(phone.expect("CANCEL"), 200)
        assert 0.8 < time.monotonic() - began < 2.0
        phone.respond(invite, 487)
        phone.expect("ACK")
    assert gateway.wait("LegClosed", leg=leg)["reason"] == "not_answered"


def test_an_answer_in_time_is_not_cancelled(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, invite = dialled(gateway, phone, ring=1.0)
        phone.take(invite)
        assert pitch(heard(phone.rtp.talk(tone(440, 1.5)))[-2000:]) >= 0
        phone.bye()
    assert gateway.wait("LegClosed", leg=leg)["reason"] == "caller_hung_up"


def test_an_answer_that_crosses_our_cancel_gets_ack_and_bye(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, invite = dialled(gateway, phone)
        phone.respond(invite, 180)
        gateway.wait("LegRinging", leg=leg)
        gateway.command(f"leg {leg} hangup")
        cancel = phone.expect("CANCEL")
        phone.respond(invite, 200, body=phone.sdp())
        phone.respond(cancel, 200)
        phone.expect("ACK")
        phone.respond(phone.expect("BYE"))
        assert gateway.wait("LegClosed", leg=leg)["reason"] == "agent_hung_up"
        late = [report for report in gateway.drain(0.5) if report.get("leg") == leg]
        assert "LegClosed" not in {report["event"] for report in late}
    assert gateway.stats()["calls"] == 0


def test_of_a_fork_the_first_answer_counts_and_the_second_is_ended(gateway: GatewayProcess) -> None:
    """RFC 3261 section 13.2.2.4: every 2xx of a forked INVITE is acknowledged, and all but one get BYE."""
    with Phone(gateway.sip) as phone:
        leg, invite = dialled(gateway, phone)
        phone.respond(invite, 180, tag="one")
        phone.respond(invite, 180, tag="two")
        gateway.wait("LegRinging", leg=leg)
        phone.respond(invite, 200, body=phone.sdp())
        assert "tag=" in phone.expect("ACK")["to"]
        gateway.wait("LegAnswered", leg=leg)
        phone.respond(invite, 200, body=phone.sdp(), tag="two")
        acknowledged = phone.expect("ACK")
        bye = phone.expect("BYE")
        assert acknowledged["to"].endswith("tag=two") and bye["to"].endswith("tag=two")
        phone.respond(bye)
        assert "LegClosed" not in {report["event"] for report in gateway.drain(0.3)}
        phone.bye()
    assert gateway.wait("LegClosed", leg=leg)["reason"] == "caller_hung_up"


def test_a_far_end_that_never_answers_at_all_is_given_up(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, _ = dialled(gateway, phone, ring=1.0)
        closed = gateway.wait("LegClosed", leg=leg, timeout=4.0)
        assert closed["reason"] == "not_answered"
