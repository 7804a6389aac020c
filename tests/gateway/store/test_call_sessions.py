"""Calls are sessions from their answer to their end, streams while their sockets are open."""

from __future__ import annotations

from fakeredis import FakeServer

from gateway.calls.record import CallRecord
from gateway.store.call_sessions import CallSessions
from gateway.store.sessions import Sessions
from gateway.store.stream_sessions import StreamSessions
from media.legs.base import Direction, Parties
from tests.engines.riva.fakes import run
from tests.gateway.store.parts import KEYS, linked


def test_a_call_is_a_session_from_its_answer_to_its_end() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            sessions = Sessions(link, KEYS, "node", 60.0)
            calls = CallSessions(sessions, lambda call_id: {"route": "desk"}, lambda: 1000.0)
            calls.answered("c1", "PCMU", 8000)
            await sessions._flush()
            (seen,) = await sessions.all("call")
            assert (seen.session_id, seen.since, seen.facts) == ("c1", 1000.0, {"route": "desk"})
            calls.ended(CallRecord("c1", Direction.INBOUND, Parties("1", "2", "t"), "desk", "now"))
            await sessions._flush()
            assert await sessions.all("call") == []

    run(main())


def test_a_stream_is_a_session_while_it_runs_and_says_nothing_of_its_client() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            sessions = Sessions(link, KEYS, "node", 60.0)
            streams = StreamSessions(sessions, lambda: 1000.0)
            one, two = streams.began("deepgram", "listen_live"), streams.began("openai", "listen_live")
            await sessions._flush()
            assert {s.session_id for s in await sessions.all("stream")} == {one, two}
            streams.ended(one)
            await sessions._flush()
            (left,) = await sessions.all("stream")
            assert left.facts == {"api": "openai", "kind": "listen_live"} and left.node == "node"

    run(main())
