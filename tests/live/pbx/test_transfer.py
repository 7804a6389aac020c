"""Transfers that we ask a real exchange for, and one that it asks us for."""

from __future__ import annotations

import pytest

from media.wav import read_mono
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node, eventually
from tests.live.pbx.calling import event, events, order, place, running
from tests.live.pbx.exchange import SPOKEN, Exchange

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


def test_a_caller_whose_target_is_busy_is_reported_lost(exchange: Exchange, node: Node) -> None:
    # Asterisk takes the caller out of our call before it tries the target, and never brings him back.
    exchange.call_us("9004", speaks="on")
    call_id = running(node, "9004")
    event(node, call_id, "call.stage_began", stage="agent")
    sent = order(node, call_id, "transfer?wait=30", to="102")
    assert (sent.status_code, sent.json()["sip_code"]) == (409, 486), sent.text
    assert event(node, call_id, "call.ended", 40.0)["reason"] == "media_lost"


def test_whoever_may_not_send_us_elsewhere_goes_on_talking(exchange: Exchange, node: Node) -> None:
    call_id = place(node, "104", trunk="registered", agent="echo")
    eventually(lambda: _told(exchange), 15.0)
    assert exchange.variable("TRANSFERRED") == "FAILURE"
    event(node, call_id, "call.turn", 15.0)


def _told(exchange: Exchange) -> None:
    assert exchange.variable("TRANSFERRED")


def _hears(listener: Listener, exchange: Exchange, name: str, spoken: str) -> None:
    try:
        heard = listener.heard_in(read_mono(exchange.recording(name), 8000))
    except (OSError, ValueError):
        heard = ""  # it is still being written
    assert same_words(prompt(spoken).text, heard) >= 0.8, f"{name} heard {heard!r}"
