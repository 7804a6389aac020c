from __future__ import annotations

from collections.abc import Callable

from gateway.calls.record import CallRecord
from gateway.calls.turn_events import Phase
from gateway.live_calls import LiveCalls
from media.legs.base import Direction, Parties

PARTIES = Parties("100", "200", "carrier", "192.0.2.7:5060")


def test_a_call_is_followed_from_its_first_ring_to_its_end() -> None:
    clock = [10.0]
    live = LiveCalls(lambda: clock[0])
    live.began("c1", Direction.INBOUND, PARTIES)
    seen = []
    steps: tuple[Callable[[], None], ...] = (
        lambda: None,
        lambda: live.routed("c1", "desk"),
        lambda: live.announcing("c1"),
        lambda: live.connected("c1", "echo"),
        lambda: live.answered("c1", "PCMU", 8000),
        lambda: live.phase("c1", Phase.SPEAKING, 0.0),
        lambda: live.words("c1", "hel", is_final=False),
        lambda: live.words("c1", "hello", is_final=True),
    )
    for step in steps:
        step()
        seen.append(live.views()[0])
    phases = ["arriving", "ringing", "announcing", "announcing", "listening", "speaking"]
    assert [view["phase"] for view in seen] == [*phases, "speaking", "speaking"]
    clock[0] = 12.34
    assert live.views() == [
        {
            "call_id": "c1", "direction": "inbound", "caller": "100", "called": "200", "trunk": "carrier",
            "route": "desk", "agent": "echo", "phase": "speaking",
            "stage": "", "held_by_us": False, "held_by_them": False, "codec": "PCMU", "turns": 1,
            "seconds": 2.3,
        }
    ]  # fmt: skip
    live.ended(CallRecord("c1", Direction.INBOUND, PARTIES, "desk", "now"))
    assert live.views() == []


def test_neither_words_nor_network_addresses_are_shown() -> None:
    live = LiveCalls(lambda: 0.0)
    live.began("c1", Direction.INBOUND, PARTIES)
    live.words("c1", "my secret", is_final=True)
    assert "secret" not in str(live.views()) and "192.0.2.7" not in str(live.views())


def test_news_of_a_call_that_is_gone_change_nothing() -> None:
    live = LiveCalls(lambda: 0.0)
    live.began("c1", Direction.INBOUND, PARTIES)
    live.gone("c1")
    live.gone("c1")
    live.routed("c1", "desk")
    live.announcing("c1")
    live.connected("c1", "echo")
    live.answered("c1", "PCMU", 8000)
    live.phase("c1", Phase.HEARING, 0.0)
    live.words("c1", "hello", is_final=True)
    assert live.views() == []


def test_other_nodes_learn_nothing_of_the_parties() -> None:
    live = LiveCalls(lambda: 0.0)
    live.began("c1", Direction.INBOUND, PARTIES)
    live.routed("c1", "desk")
    live.answered("c1", "PCMU", 8000)
    assert live.facts("c1") == {"direction": "inbound", "route": "desk", "codec": "PCMU"}
    assert live.facts("gone") == {}
