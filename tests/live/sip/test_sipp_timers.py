"""Session timers (RFC 4028) in real time: 90 s is the shortest interval, so all these calls run at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.live.sip.far_end import FarEnd
from tests.live.sip.process import GatewayProcess
from tests.live.sip.steps import (
    CALLEE,
    answer,
    bye,
    call,
    expect,
    hung_up_on,
    pause,
    request,
    respond,
    rings,
    sdp,
)

pytestmark = pytest.mark.live

THEY = [("Supported", "timer"), ("Session-Expires", "90;refresher=uac")]
WE = [("Supported", "timer"), ("Session-Expires", "90;refresher=uas")]
UPDATES = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
REFRESHED = "Require: timer\nSession-Expires: 90;refresher=uac\n"
"""Our answer to a refresh of the gateway's, which is the client of that transaction."""

LATE = 65.0
"""Seconds after which a call that nobody refreshed is over: a third of the interval before its end."""

CALLS = {
    "we by UPDATE": [
        call(headers=[*WE, UPDATES]), expect("UPDATE"),
        answer("200 OK", body=f"{REFRESHED}Content-Length: 0"), pause(LATE - 45), bye(),
    ],
    "we by INVITE": [
        call(headers=WE), expect("INVITE"),
        answer("200 OK", body=f"{REFRESHED}{sdp()}"), expect("ACK"), pause(LATE - 45), bye(),
    ],
    "they": [
        call(headers=[*THEY, UPDATES]), pause(30), request("UPDATE", headers=THEY), pause(LATE - 30), bye(),
    ],
    "nobody": [call(headers=THEY), hung_up_on()],
    "our own call": [
        rings(), respond("200 OK", body=f"Require: timer\nSession-Expires: 90;refresher=uac\n{sdp()}"),
        expect("ACK"), expect("INVITE"), answer("200 OK", body=f"{REFRESHED}{sdp()}"), expect("ACK"),
        pause(LATE - 45), bye(ends=CALLEE),
    ],
}  # fmt: skip
"""Who refreshes, and how."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess(session_expires_s=90) as process:
        yield process


@pytest.fixture(scope="module")
def running(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FarEnd]]:
    """All of the calls, begun together."""
    folder = tmp_path_factory.mktemp("timers")
    with ExitStack() as all_of_them:
        calls = {
            name: all_of_them.enter_context(FarEnd(gateway, steps, folder, limit=100.0))
            for name, steps in CALLS.items()
        }
        gateway.command(f"dial {calls['our own call'].uri}")
        yield calls


def ended(gateway: GatewayProcess, far_end: FarEnd) -> dict[str, Any]:
    """Its call is over."""
    far_end.done()
    leg = gateway.wait("incoming", remote=f"127.0.0.1:{far_end.port}")["leg"]
    return gateway.wait("LegClosed", leg=leg)


@pytest.mark.parametrize("how", ["we by UPDATE", "we by INVITE"])
def test_we_refresh_where_we_promised_to(
    gateway: GatewayProcess, running: dict[str, FarEnd], how: str
) -> None:
    assert ended(gateway, running[how])["reason"] == "caller_hung_up"
    assert re.search(r"^Session-Expires: 90;\s*refresher=uas", running[how].messages(), re.MULTILINE)


def test_we_refresh_a_call_of_ours(gateway: GatewayProcess, running: dict[str, FarEnd]) -> None:
    running["our own call"].done()
    leg = gateway.wait("dialled")["leg"]
    assert gateway.wait("LegClosed", leg=leg)["reason"] == "caller_hung_up"


def test_a_far_end_that_refreshes_keeps_its_call(gateway: GatewayProcess, running: dict[str, FarEnd]) -> None:
    assert ended(gateway, running["they"])["reason"] == "caller_hung_up"


def test_a_session_that_nobody_refreshes_ends(gateway: GatewayProcess, running: dict[str, FarEnd]) -> None:
    """The far end promised to refresh and did not: BYE before the interval is over."""
    end = ended(gateway, running["nobody"])
    assert end["reason"] == "signalling_lost"
