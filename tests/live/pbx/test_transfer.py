"""Transfers that we ask a real exchange for, and one that it asks us for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from media.wav import read_mono
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node, eventually
from tests.live.pbx.calling import event, events, order, place, running
from tests.live.pbx.exchange import ON_HOLD, SPOKEN, Exchange
from tests.live.sip.phone import HOST, Phone, heard, tone

pytestmark = pytest.mark.live


@pytest.mark.parametrize("caller", ["9002", "9102"], ids=["registered", "by-address"])
def test_a_caller_is_sent_to_another_extension(
    exchange: Exchange, node: Node, listener: Listener, caller: str
) -> None:
    exchange.recording("101").unlink(missing_ok=True)
    exchange.call_us(caller, speaks="on")
    call_id = running(node, caller)
    event(node, call_id, "call.stage_began", stage="agent")
    sent = order(node, call_id, "transfer?wait=30", to="101")
    assert sent.status_code == 200, sent.text
    assert event(node, call_id, "call.transfer_changed", state="done")["target"] == "101"
    assert event(node, call_id, "call.ended")["reason"] == "transferred"
    eventually(lambda: _hears(listener, exchange, "101", SPOKEN), 20.0)


def test_a_caller_whose_target_does_not_exist_stays_with_us(exchange: Exchange, node: Node) -> None:
    exchange.call_us("9003", speaks="on")
    call_id = running(node, "9003")
    event(node, call_id, "call.stage_began", stage="agent")
    sent = order(node, call_id, "transfer?wait=30", to="199")
    assert (sent.status_code, sent.json()["sip_code"]) == (409, 404), sent.text
    states = [one["data"]["state"] for one in events(node, call_id, "call.transfer_changed")]
    assert states == ["started", "trying", "failed"]
    event(node, call_id, "call.turn", 15.0)  # he is heard and answered as before
    assert order(node, call_id, "hangup").status_code == 200
    assert event(node, call_id, "call.ended")["reason"] == "api_hung_up"


def test_a_caller_whose_target_is_busy_is_not_left_in_silence(exchange: Exchange, node: Node) -> None:
    # Asterisk takes the caller out of our call before it tries the target, ends him, and says nothing: asked
    # by re-INVITE, it hangs up.
    exchange.call_us("9004", speaks="on")
    call_id = running(node, "9004")
    event(node, call_id, "call.turn", 15.0)  # he was heard
    sent = order(node, call_id, "transfer?wait=30", to="102")
    assert (sent.status_code, sent.json()["sip_code"]) == (409, 486), sent.text
    assert event(node, call_id, "call.ended", 8.0)["reason"] == "caller_hung_up"


def test_whoever_may_not_send_us_elsewhere_goes_on_talking(exchange: Exchange, node: Node) -> None:
    call_id = place(node, "104", trunk="registered", agent="echo")
    eventually(lambda: _told(exchange, "FAILURE"), 15.0)
    event(node, call_id, "call.turn", 15.0)


@pytest.fixture
def phone(node: Node) -> Iterator[Phone]:
    """Somebody who has called us, and is connected with whom we call for him."""
    with Phone((HOST, node.sip_port), "echo") as made:
        made.call()
        made.rtp.talk(tone(440, 0.2))
        yield made


def test_the_exchange_sends_our_caller_to_another_extension(
    exchange: Exchange, node: Node, listener: Listener, phone: Phone
) -> None:
    exchange.recording("101").unlink(missing_ok=True)
    call_id = running(node, "1001")
    assert order(node, call_id, "bridge?wait=20", to="104", trunk="by-address").status_code == 200
    moved = event(node, call_id, "call.transfer_changed", 15.0, state="done")
    assert (moved["by"], moved["target"]) == ("104", f"sip:101@{exchange.by_address}")
    eventually(lambda: _told(exchange, "SUCCESS"), 15.0)
    phone.rtp.received.clear()
    phone.rtp.talk(prompt("vm-prev").pcm)
    phone.rtp.listen(4.0)
    assert same_words(prompt(ON_HOLD).text, listener.heard_in(heard(phone.rtp.received))) >= 0.6
    phone.bye()
    assert event(node, call_id, "call.ended")["reason"] == "caller_hung_up"
    eventually(lambda: _hears(listener, exchange, "101", "vm-prev"), 20.0)


def test_the_exchange_wants_our_caller_at_a_busy_extension_and_keeps_him(
    exchange: Exchange, node: Node, listener: Listener, phone: Phone
) -> None:
    call_id = running(node, "1001")
    assert order(node, call_id, "bridge?wait=20", to="107", trunk="by-address").status_code == 200
    moved = event(node, call_id, "call.transfer_changed", 15.0, state="failed")
    assert moved["sip_code"] == 486
    phone.rtp.listen(6.0)
    assert same_words(prompt(SPOKEN).text, listener.heard_in(heard(phone.rtp.received))) >= 0.6
    phone.bye()


def _told(exchange: Exchange, status: str) -> None:
    assert exchange.variable("TRANSFERRED") == status


def _hears(listener: Listener, exchange: Exchange, name: str, spoken: str) -> None:
    try:
        heard = listener.heard_in(read_mono(exchange.recording(name), 8000))
    except (OSError, ValueError):
        heard = ""  # it is still being written
    assert same_words(prompt(spoken).text, heard) >= 0.8, f"{name} heard {heard!r}"
