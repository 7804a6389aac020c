"""Events in order, read from a place, with what was missed said aloud."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.call_events import AgentFault, HoldChanged, KeyPressed, TransferChanged
from gateway.control.event_feed import EventFeed
from gateway.control.event_log import CursorUnknown, EventLog, Interest
from media.legs.base import Direction, Parties
from tests.virtual_time import run_virtual

ALL = Interest()


def log_of(kept: int = 100, epoch: str = "e1") -> EventLog:
    async def make() -> EventLog:
        return EventLog(kept, epoch, lambda: datetime(2026, 1, 2, tzinfo=UTC))

    return run_virtual(make())


def test_what_is_read_is_what_was_written_in_order() -> None:
    log = log_of()
    for number in range(5):
        log.append("call.test", f"c{number % 2}", {"n": number})
    page = log.read(0, ALL)
    assert [event.data["n"] for event in page.events] == [0, 1, 2, 3, 4]
    assert (page.last, page.missed) == (5, 0)
    assert [event.event_id for event in page.events][:2] == ["e1-1", "e1-2"]
    assert log.read(3, Interest(call_id="c0")).events[0].data["n"] == 4
    assert log.read(5, ALL).events == []


@given(
    kept=st.integers(1, 20),
    written=st.integers(0, 60),
    after=st.integers(0, 60),
    most=st.integers(1, 7),
)
def test_a_reader_who_pages_sees_each_kept_event_once_and_is_told_of_the_rest(
    kept: int, written: int, after: int, most: int
) -> None:
    log = log_of(kept)
    for number in range(1, written + 1):
        log.append("k", "c", {"n": number})
    after = min(after, written)
    seen: list[int] = []
    missed, place = 0, after
    while place < log.last:
        page = log.read(place, ALL, most)
        missed += page.missed
        seen += [event.number for event in page.events]
        assert page.last > place
        place = page.last
    assert seen == list(range(max(after, written - kept) + 1, written + 1))
    assert missed + len(seen) == written - after


def test_a_reader_passes_over_what_he_does_not_want() -> None:
    log = log_of()
    for _ in range(9):
        log.append("call.key", "c", {}, {"digit": "1"})
    page = log.read(0, Interest(kinds=("call.ended",)))
    assert (list(page.events), page.last) == ([], 9)


def test_cursors() -> None:
    log = log_of()
    assert log.place("") == 0
    log.append("k", "c")
    assert log.place("") == 1
    assert log.place("e1-0") == 0
    assert log.place("e1-99") == 1, "a number that is yet to come reads from the end"
    assert log.place("e0-1") is None, "an earlier start of the node"
    for wrong in ("1", "e1-", "-1", "e1-x", "e1-1-1", "e1-٣", "e" * 5 + "-" + "9" * 40):
        with pytest.raises(CursorUnknown):
            log.place(wrong)


def test_a_waiting_reader_wakes_with_the_next_event() -> None:
    async def main() -> None:
        log = EventLog(10, "e", lambda: datetime(2026, 1, 2, tzinfo=UTC))
        waiting = asyncio.create_task(log.more(0))
        await asyncio.sleep(1)
        assert not waiting.done()
        log.append("k", "c")
        await asyncio.wait_for(waiting, 1)
        await asyncio.wait_for(log.more(0), 1)

    run_virtual(main())


def test_words_and_keys_are_for_those_who_may_hear() -> None:
    log = log_of()
    feed = EventFeed(log)
    feed.words("c", "half a sen", is_final=False)
    feed.words("c", "my card number is", is_final=True)
    feed.saying("c", 1, "Tell me.")
    feed.happened("c", KeyPressed(1.0, "7"))
    told = [event.as_json() for event in log.read(0, ALL).events]
    assert [(one["type"], one["data"]) for one in told] == [("call.key_pressed", {})]
    may_hear = [event.as_json(words=True) for event in log.read(0, Interest(words=True)).events]
    assert [one["data"] for one in may_hear] == [
        {"text": "my card number is"},
        {"reply": 1, "text": "Tell me."},
        {"digit": "7"},
    ]
    assert "7" not in repr(log.read(0, Interest(words=True)).events[2])


def test_the_feed_tells_in_plain_words() -> None:
    log = log_of()
    feed = EventFeed(log)
    feed.began("c", Direction.OUTBOUND, Parties("100", "200", "carrier"))
    feed.happened("c", HoldChanged(2.0, on=True, by_us=True))
    feed.happened("c", TransferChanged(3.0, "blind", "300", "failed", 486))
    feed.refused("d", Direction.INBOUND, Parties("1", "2"), "full", 503)
    told = [(event.kind, dict(event.data)) for event in log.read(0, ALL).events]
    assert told == [
        ("call.began", {"direction": "outbound", "caller": "100", "called": "200", "trunk": "carrier"}),
        ("call.hold_changed", {"on": True, "by_us": True}),
        (
            "call.transfer_changed",
            {"kind": "blind", "target": "300", "state": "failed", "sip_code": 486, "by": ""},
        ),
        (
            "call.refused",
            {
                "direction": "inbound", "caller": "1", "called": "2", "trunk": "",
                "reason": "full", "sip_code": 503,
            },
        ),
    ]  # fmt: skip
    feed.happened("c", AgentFault(1.0, "desk", "slow", "filler"))
    assert log.read(4, ALL).events[0].kind == "call.agent_fault"
