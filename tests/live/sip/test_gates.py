"""Who gets in: trunks, digest proof, limits, and what strangers and broken senders get to see."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callers.sipp import free_port
from media.legs.sip_digest import digest_response, parse_digest
from tests.live.sip.phone import Phone, heard, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live

TORTURE = Path(__file__).resolve().parents[2] / "data" / "sip_torture"
PEER = {"name": "peer", "sources": ["127.0.0.0/8"], "inbound_user": "alice", "inbound_password": "wonder"}


@pytest.fixture(scope="module")
def small() -> Iterator[GatewayProcess]:
    """A gateway that takes three calls."""
    with GatewayProcess(max_calls=3, retry_after_s=9) as process:
        yield process


@pytest.fixture(scope="module")
def proving() -> Iterator[GatewayProcess]:
    """A gateway whose only trunk must prove who it is."""
    with GatewayProcess(trunks=[PEER]) as process:
        yield process


@pytest.fixture(scope="module")
def dropping() -> Iterator[GatewayProcess]:
    """A gateway that knows nobody here and keeps silent."""
    with GatewayProcess(trunks=[{"name": "far", "sources": ["192.0.2.0/24"]}], unknown="drop") as process:
        yield process


def calls_left(gateway: GatewayProcess) -> int:
    """Calls once what is under way has settled, or after two seconds."""
    for _ in range(20):
        if not gateway.stats()["calls"]:
            break
        time.sleep(0.1)
    return int(gateway.stats()["calls"])


def test_over_the_limit_exactly_the_surplus_gets_503(small: GatewayProcess) -> None:
    phones = [Phone(small.sip) for _ in range(3)]
    for phone in phones:
        phone.call()
    for _ in range(4):
        with Phone(small.sip) as surplus:
            surplus.invite()
            assert surplus.refused(503)["retry-after"] == "9"
    assert small.stats()["refusals"]["call_limit"] == 4
    came = phones[0].rtp.talk(tone(440, 0.8))
    assert pitch(heard(came)[-2000:]) == pytest.approx(440, abs=6)
    phones[0].bye()
    with Phone(small.sip) as next_one:
        next_one.call()
        next_one.bye()
    for phone in phones[1:]:
        phone.bye()
    for phone in phones:
        phone.close()
    assert calls_left(small) == 0


def authorization(phone: Phone, challenge: str, password: str, user: str = "alice") -> tuple[str, str]:
    fields = parse_digest(challenge) | {
        "username": user, "uri": phone.target_uri, "nc": "00000001", "cnonce": secrets.token_hex(4),
    }  # fmt: skip
    fields["response"] = digest_response(fields, "INVITE", password)
    return "Authorization", "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


def test_the_right_password_opens_the_trunk(proving: GatewayProcess) -> None:
    with Phone(proving.sip) as phone:
        phone.invite()
        challenge = phone.refused(401)["www-authenticate"]
        phone.call(headers=[authorization(phone, challenge, "wonder")])
        phone.bye()
    assert proving.wait("incoming")["trunk"] == "peer"
    proving.wait("LegClosed")


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("mallory", "wonder")])
def test_a_wrong_proof_does_not(proving: GatewayProcess, user: str, password: str) -> None:
    before = proving.stats()["refusals"].get("digest_wrong", 0)
    with Phone(proving.sip) as phone:
        phone.invite()
        challenge = phone.refused(401)["www-authenticate"]
        phone.invite(headers=[authorization(phone, challenge, password, user)])
        phone.refused(401)
    assert proving.stats()["refusals"]["digest_wrong"] == before + 1
    assert not [report for report in proving.drain(0.1) if report["event"] == "incoming"]


def test_a_stranger_is_refused_when_so_configured() -> None:
    with GatewayProcess(trunks=[{"name": "far", "sources": ["192.0.2.0/24"]}]) as process:
        with Phone(process.sip) as phone:
            phone.invite()
            phone.refused(403)
        assert process.stats()["refusals"]["stranger_refused"] == 1
        assert process.stats()["calls"] == 0


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "BYE"])
def test_a_stranger_hears_nothing_when_so_configured(dropping: GatewayProcess, method: str) -> None:
    with Phone(dropping.sip) as phone:
        phone.request(method, body=phone.sdp() if method == "INVITE" else "")
        assert phone.silence(0.3)


def test_dropped_strangers_are_counted(dropping: GatewayProcess) -> None:
    before = dropping.stats()["refusals"].get("stranger_dropped", 0)
    with Phone(dropping.sip) as phone:
        phone.request("OPTIONS")
        assert phone.silence(0.2)
    assert dropping.stats()["refusals"]["stranger_dropped"] == before + 1


@pytest.mark.parametrize("agent", ["friendly-scanner", "SIPVicious/0.3", "x sipcli y"])
def test_a_scanner_hears_nothing_whoever_it_is(small: GatewayProcess, agent: str) -> None:
    before = small.stats()["refusals"].get("scanner", 0)
    with Phone(small.sip) as phone:
        phone.invite(headers=[("User-Agent", agent)])
        assert phone.silence(0.3)
    assert small.stats()["refusals"]["scanner"] == before + 1


@pytest.mark.parametrize(
    ("method", "code"),
    [("REGISTER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("NEWONE", 405), ("BYE", 481), ("INFO", 481)],
)
def test_what_we_do_not_do_is_refused(small: GatewayProcess, method: str, code: int) -> None:
    with Phone(small.sip) as phone:
        phone.request(method)
        answer = phone.expect(code)
        assert code != 405 or "INVITE" in answer["allow"]


def test_a_caller_cannot_make_us_dial(small: GatewayProcess) -> None:
    with Phone(small.sip) as phone, Phone(small.sip) as target:
        phone.call()
        phone.request("REFER", headers=[("Refer-To", f"<sip:1900@127.0.0.1:{target.wire.port}>")])
        phone.expect(603)
        assert target.silence(0.3)
        phone.bye()


def test_nobody_can_take_over_a_call(small: GatewayProcess) -> None:
    with Phone(small.sip) as phone, Phone(small.sip) as thief:
        phone.call()
        thief.invite(headers=[("Replaces", phone.replaces)])
        thief.refused(603)
        came = phone.rtp.talk(tone(440, 0.6))
        assert pitch(heard(came)[-2000:]) == pytest.approx(440, abs=6)
        phone.bye()


def test_options_tells_how_full_we_are(small: GatewayProcess) -> None:
    with Phone(small.sip) as talking, Phone(small.sip) as asking:
        talking.call()
        asking.request("OPTIONS")
        assert asking.expect(200)["offhook-load"] == "1/3"
        talking.bye()


def test_options_is_answered_as_a_call_would_be(small: GatewayProcess) -> None:
    """RFC 3261 section 11.2: load balancers learn from it whom to spare."""
    phones = [Phone(small.sip) for _ in range(3)]
    for phone in phones:
        phone.call()
    with Phone(small.sip) as asking:
        asking.request("OPTIONS")
        full = asking.expect(503)
        assert (full["retry-after"], full["offhook-load"]) == ("9", "3/3")
    phones[0].request("OPTIONS")  # inside a call it is a sign of life, and the call is fine
    assert "INVITE" in phones[0].expect(200)["allow"]
    for phone in phones:
        phone.bye()
        phone.close()
    assert calls_left(small) == 0


def test_who_drains_says_so_and_keeps_its_calls() -> None:
    with GatewayProcess() as process, Phone(process.sip) as phone, Phone(process.sip) as asking:
        phone.call()
        process.command("drain")
        process.wait("draining")
        asking.request("OPTIONS")
        asking.expect(503)
        assert pitch(heard(phone.rtp.talk(tone(440, 0.6)))[-2000:]) == pytest.approx(440, abs=6)
        phone.bye()


@pytest.mark.parametrize(
    ("method", "kind", "code"),
    [
        ("OPTIONS", "", 200),
        ("INFO", "", 200),
        ("INFO", "text/plain", 415),
        ("MESSAGE", "text/plain", 405),
        ("NEWONE", "", 405),
    ],
)
def test_inside_a_call_what_we_do_not_do_is_refused_and_the_call_goes_on(
    small: GatewayProcess, method: str, kind: str, code: int
) -> None:
    with Phone(small.sip) as phone:
        phone.call()
        phone.request(method, body="hello" if kind else "", headers=[("Content-Type", kind)] if kind else ())
        answer = phone.expect(code)
        assert code != 405 or "INVITE" in answer["allow"]
        assert code != 415 or "application/dtmf-relay" in answer["accept"]
        assert pitch(heard(phone.rtp.talk(tone(440, 0.6)))[-2000:]) == pytest.approx(440, abs=6)
        phone.bye()


@pytest.mark.parametrize(
    ("policy", "profile", "reason"),
    [
        ("off", "RTP/SAVP", "srtp_unavailable"),
        ("optional", "UDP/TLS/RTP/SAVPF", "srtp_unavailable"),
        ("mandatory", "RTP/AVP", "srtp_required"),
    ],
)
def test_an_offer_that_does_not_fit_the_trunks_srtp_is_counted_by_its_reason(
    policy: str, profile: str, reason: str
) -> None:
    trunk = {"name": "local", "sources": ["127.0.0.0/8"], "srtp": policy}
    with GatewayProcess(trunks=[trunk]) as process, Phone(process.sip) as phone:
        phone.invite(sdp=phone.sdp().replace("RTP/AVP", profile, 1))
        phone.refused(488)
        assert process.stats()["refusals"] == {reason: 1}


def test_codecs_follow_the_trunks_order_and_list() -> None:
    trunk = {"name": "picky", "sources": ["127.0.0.0/8"], "codecs": ["PCMA", "PCMU"]}
    with GatewayProcess(trunks=[trunk]) as process:
        with Phone(process.sip) as phone:
            answer = phone.call(sdp=phone.sdp(payloads="0 8 9"))
            assert re.search(r"m=audio \d+ RTP/AVP 8\b", answer.body)
            phone.bye()
        assert process.wait("LegAnswered")["codec"] == "PCMA"
        with Phone(process.sip) as phone:
            phone.invite(sdp=phone.sdp(payloads="9"))
            assert "305" in phone.refused(488)["warning"]
        assert process.stats()["refusals"]["no_common_codec"] == 1


def test_a_finished_calls_port_rests_before_it_serves_again() -> None:
    first = free_port()
    with GatewayProcess(max_calls=2, rtp_first_port=first, rtp_last_port=first + 3) as process:
        ports = set()
        for _ in range(2):
            with Phone(process.sip) as phone:
                ports.add(phone.call().rtp[1])
                phone.bye()
            process.wait("LegClosed")
        assert ports == {first, first + 2}
        with Phone(process.sip) as phone:
            phone.invite()
            phone.refused(503)
        assert process.stats()["refusals"]["port_quarantine"] == 1


@pytest.mark.parametrize("path", sorted(TORTURE.glob("*.sip")), ids=lambda path: path.stem)
def test_a_torture_message_harms_nobody(small: GatewayProcess, path: Path) -> None:
    with Phone(small.sip) as attacker:
        text = path.read_bytes().replace(b"{port}", str(attacker.wire.port).encode())
        attacker.wire.send(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        attacker.wire.receive(0.05)
    with Phone(small.sip) as phone:
        phone.call()
        phone.bye()


def test_random_bytes_and_cut_messages_harm_nobody(small: GatewayProcess) -> None:
    with Phone(small.sip) as phone:
        phone.call()
        whole = (TORTURE / "valid_wide_range.sip").read_bytes()
        for size in range(0, len(whole), 7):
            phone.wire.send(whole[:size])
        for size in (0, 1, 2, 3, 4, 5, 100, 1_500, 9_000, 60_000):
            phone.wire.send(secrets.token_bytes(size))
        came = phone.rtp.talk(tone(440, 0.6))
        assert pitch(heard(came)[-2000:]) == pytest.approx(440, abs=6)
        phone.bye()
    assert calls_left(small) == 0
