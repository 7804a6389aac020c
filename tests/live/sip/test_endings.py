"""What is left behind: nothing, whichever way calls end, also when SIPp drives many of them."""

from __future__ import annotations

import time

import pytest

from callers.sipp import CallPlan, Sipp
from tests.live.sip.phone import Phone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


def settled(gateway: GatewayProcess, *, within: float) -> dict[str, int]:
    """Wait until no call is left, then count what the process holds."""
    until = time.monotonic() + within
    while gateway.stats()["calls"] and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(0.3)
    return {"threads": gateway.threads(), "descriptors": gateway.descriptors(), "KiB": gateway.memory_kib()}


def churn(gateway: GatewayProcess, target: str, *, talk: int, cancel: int) -> None:
    """Calls of SIPp's that talk for a moment, and among them some that give up while it rings."""
    with Sipp(CallPlan(target, calls=talk, rate=40.0, hold_s=0.5)) as sipp:
        for _ in range(cancel):
            with Phone(gateway.sip, "ring") as phone:
                phone.invite()
                phone.expect(180)
                phone.cancel()
                phone.refused(487)
            time.sleep(talk / 40 / cancel)
        counts = sipp.wait()
    assert (counts.completed, counts.failed) == (talk, 0), counts


def test_two_hundred_calls_leave_nothing_behind() -> None:
    with GatewayProcess(max_calls=60) as gateway:
        target = f"127.0.0.1:{gateway.ports['udp']}"
        churn(gateway, target, talk=40, cancel=10)
        before = settled(gateway, within=5.0)
        churn(gateway, target, talk=160, cancel=40)
        after = settled(gateway, within=5.0)
        stats = gateway.stats()
        assert stats["calls"] == stats["legs"] == stats["bus_open"] == stats["tasks"] == 0
        assert after["threads"] == before["threads"]
        assert after["descriptors"] == before["descriptors"]
        # PJSIP keeps ended transactions for 32 s (RFC 3261 timers), so some growth is no leak.
        assert after["KiB"] - before["KiB"] < 24_576
        assert stats["callback_failures"] == stats["command_overflows"] == 0
        assert not gateway.errors_seen()


def test_sipp_gets_503_for_exactly_the_surplus() -> None:
    with GatewayProcess(max_calls=20) as gateway:
        plan = CallPlan(f"127.0.0.1:{gateway.ports['udp']}", calls=30, rate=60.0, hold_s=2.0)
        with Sipp(plan) as sipp:
            counts = sipp.wait()
        assert (counts.answered, counts.busy, counts.failed) == (20, 10, 0)
        assert gateway.stats()["refusals"]["call_limit"] == 10


def test_a_caller_that_never_acknowledges_is_given_up() -> None:
    with GatewayProcess(ack_timeout_s=2.0) as gateway, Phone(gateway.sip) as phone:
        phone.invite()
        phone.expect(200)
        phone.close()
        closed = gateway.wait("LegClosed")
        assert closed["reason"] == "signalling_lost"
        assert gateway.stats()["calls"] == 0


def test_our_hang_up_ends_the_leg_at_once_though_the_peer_is_gone() -> None:
    with GatewayProcess() as gateway, Phone(gateway.sip, "hangup") as phone:
        phone.call()
        phone.close()
        assert gateway.wait("LegClosed")["reason"] == "agent_hung_up"
        assert gateway.stats()["calls"] == 0


def test_closing_the_endpoint_says_bye_to_everybody() -> None:
    with GatewayProcess() as gateway:
        with Phone(gateway.sip) as talking, Phone(gateway.sip, "ring") as ringing:
            talking.call()
            ringing.invite()
            ringing.expect(180)
            gateway.command("quit")
            bye = talking.expect("BYE")
            talking.respond(bye)
            assert 'text="drained"' in bye["reason"]
            ringing.refused(503)
        gateway.wait("closed")
        reasons = [report["reason"] for report in gateway.drain(0.1) if report["event"] == "LegClosed"]
        assert reasons == ["drained", "drained"]
