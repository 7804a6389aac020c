"""Calls from a real exchange, by our registration and by our address."""

from __future__ import annotations

import pytest

from media.wav import read_mono
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node, eventually
from tests.live.pbx.exchange import NUMBER, SPOKEN, Exchange, wait_until

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("caller", "trunk", "called"),
    [("9001", "registered", NUMBER), ("9101", "by-address", "echo")],
    ids=["registered", "by-address"],
)
def test_a_caller_at_the_exchange_is_understood_and_answered(
    exchange: Exchange, node: Node, listener: Listener, caller: str, trunk: str, called: str
) -> None:
    if trunk == "registered":
        reachable = f"sip:{NUMBER}@127.0.0.1:{exchange.gateway}"
        wait_until(lambda: reachable in exchange.ask("pjsip show contacts"), 10, "our registration")
    exchange.call_us(caller)
    (record,) = eventually(lambda: node.records(caller), 20.0)
    parties = record["parties"]
    assert (parties["called"], parties["trunk"], record["end_reason"]) == (called, trunk, "caller_hung_up")
    said = prompt(SPOKEN).text
    assert same_words(said, record["turns"][0]["said"]) == 1.0, record["turns"]
    heard = eventually(lambda: listener.heard_in(read_mono(exchange.recording("talk"), 8000)))
    assert same_words(said, heard) >= 0.8, f"at the exchange: {heard}"
