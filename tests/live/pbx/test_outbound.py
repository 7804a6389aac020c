"""Our calls into a real exchange: taken, busy, not taken, unknown."""

from __future__ import annotations

import pytest

from media.wav import read_mono
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node, eventually
from tests.live.pbx.calling import event, place, said
from tests.live.pbx.exchange import SPOKEN, Exchange

pytestmark = pytest.mark.live


@pytest.mark.parametrize("trunk", ["registered", "by-address"])
def test_an_extension_that_answers_is_talked_with(
    exchange: Exchange, node: Node, listener: Listener, trunk: str
) -> None:
    call_id = place(node, "100", trunk=trunk, agent="echo")
    assert event(node, call_id, "call.ended", 25.0)["reason"] == "caller_hung_up"
    words = prompt(SPOKEN).text
    assert same_words(words, said(node, call_id)) == 1.0
    heard = eventually(lambda: listener.heard_in(read_mono(exchange.recording("100"), 8000)))
    assert same_words(words, heard) >= 0.8, f"at the exchange: {heard}"


@pytest.mark.parametrize(("extension", "code"), [("102", 486), ("199", 404)], ids=["busy", "unknown"])
@pytest.mark.parametrize("trunk", ["registered", "by-address"])
def test_a_refusal_is_told_with_its_code(
    exchange: Exchange, node: Node, trunk: str, extension: str, code: int
) -> None:
    ended = event(node, place(node, extension, trunk=trunk), "call.ended")
    assert (ended["reason"], ended["sip_code"]) == ("not_answered", code)


def test_an_extension_that_only_rings_is_given_up(exchange: Exchange, node: Node) -> None:
    call_id = place(node, "103", trunk="registered", ring_seconds=2)
    event(node, call_id, "call.ringing")
    assert event(node, call_id, "call.ended")["reason"] == "not_answered"
    eventually(lambda: _quiet(exchange))


def _quiet(exchange: Exchange) -> None:
    assert not exchange.channels()
