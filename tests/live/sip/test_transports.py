"""Calls over TCP and TLS, with SRTP, with session timers, and calls that we place ourselves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from callers.sipp import free_port
from tests.live.sip.phone import Phone, heard, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A throw-away certificate that signs itself."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is not installed; cure: apt-get install openssl"
    folder: Path = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return {"certificate": str(certificate), "key": str(key), "ca": str(certificate)}


@pytest.fixture(scope="module")
def gateway(certificate: dict[str, str]) -> Iterator[GatewayProcess]:
    with GatewayProcess(tcp_port=0, tls_port=0, tls=certificate) as process:
        yield process


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_call_over_a_stream(gateway: GatewayProcess, transport: str) -> None:
    with Phone(("127.0.0.1", gateway.ports[transport]), transport=transport) as phone:
        phone.call()
        assert pitch(heard(phone.rtp.talk(tone(440, 0.8)))[-2000:]) == pytest.approx(440, abs=6)
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_our_bye_takes_the_stream_too(gateway: GatewayProcess, transport: str) -> None:
    with Phone(("127.0.0.1", gateway.ports[transport]), "hangup", transport=transport) as phone:
        phone.call()
        phone.respond(phone.expect("BYE"))
    assert gateway.wait("LegClosed")["reason"] == "agent_hung_up"


def test_garbage_on_a_stream_harms_nobody(gateway: GatewayProcess) -> None:
    for transport in ("tcp", "tls"):
        with Phone(("127.0.0.1", gateway.ports[transport]), transport=transport) as phone:
            for piece in (b"\x00" * 3_000, b"GET / HTTP/1.1\r\n\r\n", b"INVITE" * 9_000):
                try:
                    phone.wire.send(piece)
                except OSError:
                    break
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.bye()
    gateway.wait("LegClosed")


def talk_between(caller: GatewayProcess, callee: GatewayProcess, uri: str) -> None:
    """Let one gateway call the other and take both ends' word for the audio."""
    caller.command(f"dial {uri}")
    leg = caller.wait("dialled")["leg"]
    answered = caller.wait("LegAnswered", leg=leg)
    assert answered["sample_rate"] in (8000, 16000)
    there = callee.wait("incoming", caller="4711")["leg"]
    closed = caller.wait("LegClosed", leg=leg, timeout=8.0)
    assert closed["reason"] == "caller_hung_up"
    other = callee.wait("LegClosed", leg=there, timeout=8.0)
    assert other["reason"] == "agent_hung_up"
    assert closed["stats"]["rx_packets"] > 5 and other["stats"]["tx_packets"] > 5


def test_a_call_that_we_place(gateway: GatewayProcess) -> None:
    with GatewayProcess() as caller:
        talk_between(caller, gateway, f"sip:hangup@127.0.0.1:{gateway.ports['udp']}")


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_a_call_over_ipv6() -> None:
    with GatewayProcess(host="::1") as callee, GatewayProcess(host="::1") as caller:
        talk_between(caller, callee, f"sip:hangup@[::1]:{callee.ports['udp']}")


@pytest.mark.parametrize(("policy", "code"), [("mandatory", 488), ("optional", 200)])
def test_a_call_in_the_clear_meets_the_trunks_srtp_policy(policy: str, code: int) -> None:
    with GatewayProcess(trunks=[trunk(policy)]) as process, Phone(process.sip) as phone:
        phone.invite()
        if code == 200:
            phone.expect(200)
            phone.ack()
            phone.bye()
        else:
            phone.refused(code)


def trunk(srtp: str) -> dict[str, object]:
    return {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True, "srtp": srtp}


def test_srtp_carries_audio_between_two_that_insist_on_it(certificate: dict[str, str]) -> None:
    settings = {"trunks": [trunk("mandatory")], "tls_port": 0, "tls": certificate}
    with GatewayProcess(**settings) as callee, GatewayProcess(**settings) as caller:
        talk_between(caller, callee, f"sip:hangup@127.0.0.1:{callee.ports['tls']};transport=tls")
        assert callee.stats()["bus_rx_garbage"] == 0


@pytest.mark.parametrize(
    ("uri", "problem"), [("sip:echo@127.0.0.1", "may not place calls"), ("tel:123", "may not place calls")]
)
def test_a_trunk_that_may_not_dial_does_not(uri: str, problem: str) -> None:
    closed = {"name": "local", "sources": ["127.0.0.0/8"]}
    with GatewayProcess(trunks=[closed]) as process:
        process.command(f"dial {uri}")
        error = process.wait("leg_error")
        assert problem in error["detail"] and error["code"] == 403
        assert process.stats()["refusals"]["dial_forbidden"] == 1


@pytest.mark.parametrize(("called", "code"), [("reject-486", 486), ("reject-404", 404)])
def test_a_refused_call_of_ours_was_not_answered(gateway: GatewayProcess, called: str, code: int) -> None:
    with GatewayProcess() as caller:
        caller.command(f"dial sip:{called}@127.0.0.1:{gateway.ports['udp']}")
        closed = caller.wait("LegClosed")
        assert (closed["reason"], closed["sip_code"]) == ("not_answered", code)


def test_a_call_to_nobody_ends_by_itself() -> None:
    with GatewayProcess(tcp_port=0) as caller:
        caller.command(f"dial sip:1@127.0.0.1:{free_port()};transport=tcp")
        closed = caller.wait("LegClosed")
        assert closed["reason"] == "not_answered" and closed["sip_code"] in (408, 503)


def test_session_timers_are_agreed_on(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        offer = [("Supported", "timer"), ("Session-Expires", "90;refresher=uac"), ("Min-SE", "90")]
        answer = phone.call(headers=offer)
        assert answer["session-expires"].replace(" ", "") == "90;refresher=uac"
        phone.bye()
    gateway.wait("LegClosed")


def test_too_short_a_session_interval_is_refused_with_the_least(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.invite(headers=[("Supported", "timer"), ("Session-Expires", "30")])
        assert phone.refused(422)["min-se"] == "90"
