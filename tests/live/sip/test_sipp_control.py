"""Hold and transfer against SIPp: each scenario says what a far end expects, and fails without it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.live.sip.far_end import FarEnd
from tests.live.sip.process import GatewayProcess
from tests.live.sip.steps import answer, bye, call, expect, hung_up_on, notify, pause, reoffered, request

pytestmark = pytest.mark.live

OVER = "terminated;reason=noresource"
AGREED = [expect("REFER"), answer("202 Accepted")]
TRYING = notify("SIP/2.0 100 Trying")
RINGING = notify("SIP/2.0 180 Ringing")

TRANSFERS = {
    "reported": ([*AGREED, TRYING, RINGING, notify("SIP/2.0 200 OK", state=OVER), bye()], 0),
    "gone at once": ([*AGREED, bye()], 0),
    "refused": ([expect("REFER"), answer("403 Forbidden"), pause(0.5), bye()], 403),
    "busy": ([*AGREED, TRYING, notify("SIP/2.0 486 Busy Here", state=OVER), pause(0.3), bye()], 486),
    "no report": ([*AGREED, pause(2.0), bye()], 408),
    "reports stop": ([*AGREED, TRYING, RINGING, pause(2.0), bye()], 408),
    "no answer": ([expect("REFER"), pause(2.0), bye()], 408),
}
"""What a far end does when it is sent elsewhere, and the code with which that fails (0: it succeeds)."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


@pytest.fixture(autouse=True)
def _nothing_left(gateway: GatewayProcess) -> None:
    """What earlier calls reported is not for this test."""
    gateway.drain(0.05)


def up(gateway: GatewayProcess) -> str:
    return str(gateway.wait("LegAnswered")["leg"])


def closed(gateway: GatewayProcess, leg: str) -> dict[str, Any]:
    return gateway.wait("LegClosed", leg=leg)


def held(gateway: GatewayProcess, leg: str, how: str = "on") -> None:
    gateway.command(f"leg {leg} hold {how}")
    gateway.wait("done", leg=leg, order="hold")


def patience(failure: int) -> float:
    """Seconds that the transfer may take: short where only that ends it."""
    return 1.0 if failure == 408 else 5.0


def ended(gateway: GatewayProcess, leg: str, order: str, failure: int) -> None:
    """The transfer went so."""
    if failure:
        assert gateway.wait("leg_error", leg=leg, order=order)["code"] == failure
    else:
        gateway.wait("done", leg=leg, order=order)


def test_we_hold_and_resume(gateway: GatewayProcess, tmp_path: Path) -> None:
    """RFC 3264 section 8.4."""
    steps = [call(), reoffered("recvonly"), reoffered("sendrecv"), bye()]
    with FarEnd(gateway, steps, tmp_path) as far_end:
        leg = up(gateway)
        held(gateway, leg)
        held(gateway, leg, "off")
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"


def test_both_offer_at_once(gateway: GatewayProcess, tmp_path: Path) -> None:
    """Glare: 491, and we try again within two seconds (RFC 3261 section 14.1)."""
    crossed = expect("INVITE") + answer("491 Request Pending") + expect("ACK")
    with FarEnd(gateway, [call(), crossed, reoffered("recvonly"), bye()], tmp_path) as far_end:
        leg = up(gateway)
        held(gateway, leg)
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"


@pytest.mark.parametrize("how", TRANSFERS)
def test_blind_transfer(gateway: GatewayProcess, tmp_path: Path, how: str) -> None:
    steps, failure = TRANSFERS[how]
    with FarEnd(gateway, [call(), *steps], tmp_path) as far_end:
        leg = up(gateway)
        gateway.command(f"leg {leg} transfer sip:4711@example.net {patience(failure)}")
        ended(gateway, leg, "transfer", failure)
        far_end.done()
    assert closed(gateway, leg)["reason"] == ("caller_hung_up" if failure else "transferred")


def test_a_failed_transfer_takes_the_far_end_back_from_hold(gateway: GatewayProcess, tmp_path: Path) -> None:
    failed = [*AGREED, notify("SIP/2.0 486 Busy Here", state=OVER)]
    steps = [call(), reoffered("recvonly"), *failed, reoffered("sendrecv"), pause(0.3), bye()]
    with FarEnd(gateway, steps, tmp_path) as far_end:
        leg = up(gateway)
        held(gateway, leg)
        gateway.command(f"leg {leg} transfer sip:4711@example.net 2")
        ended(gateway, leg, "transfer", 486)
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"


@pytest.mark.parametrize("how", TRANSFERS)
def test_attended_transfer(gateway: GatewayProcess, tmp_path: Path, how: str) -> None:
    """Two calls of SIPp's: one is told to take the other's place, which hangs up or is left talking to us."""
    steps, failure = TRANSFERS[how]
    there = [call(), hung_up_on()] if failure else [call(), pause(1.0), bye()]
    with FarEnd(gateway, there, tmp_path) as second:
        other = up(gateway)
        with FarEnd(gateway, [call(), *steps], tmp_path) as first:
            leg = up(gateway)
            gateway.command(f"leg {leg} transfer_to {other} {patience(failure)}")
            ended(gateway, leg, "transfer_to", failure)
            first.done()
        if failure:
            gateway.command(f"leg {other} hangup")
        second.done()
    assert closed(gateway, leg)["reason"] == ("caller_hung_up" if failure else "transferred")
    assert closed(gateway, other)["reason"] == ("agent_hung_up" if failure else "caller_hung_up")
    assert names(first) == dialog(second)


def names(far_end: FarEnd) -> Sequence[str]:
    """The call that its REFER wants replaced: Call-ID, tags of the far end and of ours (RFC 3891)."""
    found = re.search(r"^Refer-To: <(\S+)>", far_end.messages(), re.MULTILINE)
    assert found and "Require=replaces" in found[1], far_end.messages()
    replaced = re.search(r"Replaces=(.+?)%3Bto-tag%3D(.+?)%3Bfrom-tag%3D([^&]+)", found[1])
    assert replaced, found[1]
    return replaced[1].replace("%40", "@"), replaced[2], replaced[3]


def dialog(far_end: FarEnd) -> Sequence[str]:
    """Its own call: Call-ID, its tag, ours."""
    text = far_end.messages()
    found = [re.search(pattern, text, re.MULTILINE) for pattern in (r"^Call-ID: (\S+)", r"^From:.*tag=(\S+)")]
    theirs = re.search(r"^SIP/2.0 200 .*?^To:.*?tag=(\S+)", text, re.MULTILINE | re.DOTALL)
    assert all(found) and theirs, text
    return *(match[1] for match in found if match), theirs[1]


def test_refer_from_outside_is_denied(gateway: GatewayProcess, tmp_path: Path) -> None:
    before = gateway.stats()["refusals"].get("refer_denied", 0)
    asks = request("REFER", headers=[("Refer-To", "<sip:1900@[local_ip]:9>")], code=603)
    with FarEnd(gateway, [call(), asks, pause(0.2), bye()], tmp_path) as far_end:
        leg = up(gateway)
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"
    assert gateway.stats()["refusals"]["refer_denied"] == before + 1
