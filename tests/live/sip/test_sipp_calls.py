"""How calls begin and go wrong, with SIPp at the other end: early media, forks, repeats, races, silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callers.g711 import ulaw_encode
from tests.live.sip.far_end import FarEnd
from tests.live.sip.phone import tone
from tests.live.sip.process import GatewayProcess
from tests.live.sip.steps import (
    CALLEE,
    ack,
    answer,
    bye,
    call,
    cancel,
    described,
    expect,
    hung_up_on,
    invite,
    maybe,
    pause,
    play,
    refused,
    respond,
    rings,
    sdp,
)

pytestmark = pytest.mark.live

BRANCH = "z9hG4bK-[pid]-of-the-test"
RINGS = '<recv response="180"/>'
ANSWERED = '<recv response="200" rrs="true"/>'


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


@pytest.fixture(autouse=True)
def _nothing_left(gateway: GatewayProcess) -> None:
    """What earlier calls reported is not for this test."""
    gateway.drain(0.05)


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """A second of a tone behind half a second of silence, as bare µ-law codes."""
    path = tmp_path / "tone.ulaw"
    path.write_bytes(bytes(ulaw_encode(np.concatenate([np.zeros(4_000, np.int16), tone(440, 1.0)]))))
    return path


def dialled(gateway: GatewayProcess, far_end: FarEnd) -> str:
    """Our call to it."""
    gateway.command(f"dial {far_end.uri}")
    return str(gateway.wait("dialled")["leg"])


def closed(gateway: GatewayProcess, leg: str) -> dict[str, Any]:
    return gateway.wait("LegClosed", leg=leg)


# --- early media ---


def test_we_hear_what_comes_before_the_answer(gateway: GatewayProcess, tmp_path: Path, track: Path) -> None:
    before = [rings(), respond("183 Session Progress", body=sdp()), play(track), pause(1.8)]
    then = [respond("200 OK", body=sdp()), expect("ACK"), bye(ends=CALLEE)]
    with FarEnd(gateway, [*before, *then], tmp_path) as far_end:
        leg = dialled(gateway, far_end)
        assert gateway.wait("LegRinging", leg=leg)["early_media"]
        far_end.done()
    gateway.wait("LegAnswered", leg=leg)
    end = closed(gateway, leg)
    assert end["stats"]["rx_packets"] >= 70 and end["frames"] >= 60


def test_a_caller_is_heard_and_hears_before_the_answer(
    gateway: GatewayProcess, tmp_path: Path, track: Path
) -> None:
    calls = [invite("early", branch=BRANCH), maybe(100), described(183), play(track), pause(1.8)]
    gives_up = [cancel("early", BRANCH), refused("early", BRANCH, 487)]
    with FarEnd(gateway, [*calls, *gives_up], tmp_path) as far_end:
        leg = str(gateway.wait("incoming")["leg"])
        far_end.done()
    end = closed(gateway, leg)
    assert end["reason"] == "cancelled"
    assert end["stats"]["rx_packets"] >= 70
    assert end["stats"]["tx_packets"] >= 50 and end["stats"]["played_samples"] > 8_000


# --- forks and repeats ---


def test_of_a_fork_the_first_answer_counts(gateway: GatewayProcess, tmp_path: Path) -> None:
    """RFC 3261 section 13.2.2.4: every 2xx is acknowledged, and all but one get BYE."""
    rung = [rings(), respond("180 Ringing"), respond("180 Ringing", tag="two")]
    first = [respond("200 OK", body=sdp()), expect("ACK", "To", "tag=one")]
    second = [respond("200 OK", tag="two", body=sdp()), expect("ACK", "To", "tag=two")]
    ended = [expect("BYE", "To", "tag=two"), answer("200 OK"), pause(0.3), bye(ends=CALLEE)]
    with FarEnd(gateway, [*rung, *first, *second, *ended], tmp_path) as far_end:
        leg = dialled(gateway, far_end)
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"
    assert gateway.stats()["calls"] == 0


def test_an_invite_by_two_paths_is_one_call(gateway: GatewayProcess, tmp_path: Path) -> None:
    """A proxy forked it, and both branches lead to us: 482 (RFC 3261 section 8.2.2.2)."""
    other = BRANCH + "-by-another-path"
    rung = [invite("ring", branch=BRANCH), maybe(100), RINGS]
    again = [invite("ring", branch=other), refused("ring", other, 482)]
    gives_up = [cancel("ring", BRANCH), refused("ring", BRANCH, 487)]
    with FarEnd(gateway, [*rung, *again, *gives_up], tmp_path) as far_end:
        far_end.done()
    only_call(gateway, "cancelled")


def test_a_repeated_invite_is_one_call(gateway: GatewayProcess, tmp_path: Path) -> None:
    rung = [invite("ring", branch=BRANCH), maybe(100), RINGS]
    again = [invite("ring", branch=BRANCH), RINGS]
    gives_up = [cancel("ring", BRANCH), refused("ring", BRANCH, 487)]
    with FarEnd(gateway, [*rung, *again, *gives_up], tmp_path, repeats=False) as far_end:
        far_end.done()
    only_call(gateway, "cancelled")


def test_an_answer_is_repeated_until_its_ack_comes(gateway: GatewayProcess, tmp_path: Path) -> None:
    """RFC 3261 section 13.3.1.4; and once more for the INVITE of a caller that believes it lost."""
    up = [invite(branch=BRANCH), maybe(100, 180), ANSWERED, ANSWERED]
    again = [invite(branch=BRANCH), ANSWERED, ack(), pause(0.3), bye()]
    with FarEnd(gateway, [*up, *again], tmp_path, repeats=False) as far_end:
        far_end.done()
    only_call(gateway, "caller_hung_up")


def only_call(gateway: GatewayProcess, reason: str) -> None:
    """One call came, and it ended so."""
    leg = gateway.wait("incoming")["leg"]
    assert closed(gateway, leg)["reason"] == reason
    assert "incoming" not in {report["event"] for report in gateway.drain(0.2)}


# --- races ---


def test_an_answer_that_crosses_our_cancel(gateway: GatewayProcess, tmp_path: Path) -> None:
    """ACK and BYE (RFC 3261 section 15): nobody is left in a call that we gave up."""
    crossed = [expect("CANCEL"), answer("200 OK"), respond("200 OK", body=sdp()), expect("ACK"), hung_up_on()]
    with FarEnd(gateway, [rings(), respond("180 Ringing"), *crossed], tmp_path) as far_end:
        leg = dialled(gateway, far_end)
        gateway.wait("LegRinging", leg=leg)
        gateway.command(f"leg {leg} hangup")
        far_end.done()
    assert closed(gateway, leg)["reason"] == "agent_hung_up"
    assert gateway.stats()["calls"] == 0


def test_a_cancel_that_crosses_our_answer(gateway: GatewayProcess, tmp_path: Path) -> None:
    """It changes nothing (RFC 3261 section 9.2): the call is up until somebody hangs up."""
    up = [invite(branch=BRANCH), maybe(100, 180), ANSWERED]
    late = [cancel("silent", BRANCH), ack(), pause(0.3), bye()]
    with FarEnd(gateway, [*up, *late], tmp_path) as far_end:
        leg = str(gateway.wait("LegAnswered")["leg"])
        far_end.done()
    assert closed(gateway, leg)["reason"] == "caller_hung_up"


# --- one direction, and none ---


def test_a_far_end_that_never_sends_audio(gateway: GatewayProcess, tmp_path: Path) -> None:
    with FarEnd(gateway, [call(), pause(3.0), bye()], tmp_path) as far_end:
        told = gateway.wait("AudioOneWay")
        assert told["seconds"] >= 2.0 and f"127.0.0.1:{far_end.media_port}" in told["detail"]
        far_end.done()
    assert closed(gateway, told["leg"])["stats"]["one_way"] == 1


def test_a_far_end_that_vanishes_is_missed(gateway: GatewayProcess, tmp_path: Path, track: Path) -> None:
    """It talks, and then neither says BYE nor is there to answer ours; `tests/live/gateway` has the guard."""
    with FarEnd(gateway, [call("echo"), play(track), pause(1.7)], tmp_path) as far_end:
        leg = str(gateway.wait("LegAnswered")["leg"])
        far_end.done()
    assert gateway.wait("AudioOneWay", leg=leg)["seconds"] >= 2.0
    gateway.command(f"leg {leg} hangup")
    assert closed(gateway, leg)["reason"] == "agent_hung_up"
    assert gateway.stats()["calls"] == 0
