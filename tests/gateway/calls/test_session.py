"""The session's own edges; what it does with a call is shown in tests/calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engines.base import AsrOptions, EngineBusy
from gateway.calls.call import Call
from gateway.calls.lifecycle import CallState
from gateway.calls.record import CallRecord
from gateway.calls.session import CallSession
from gateway.calls.settings import Engines, SessionSettings
from media.frame import AudioFrame, Voice
from media.legs.base import Direction, EndReason, LegAnswered, LegClosed, LegError
from tests.calls.converse import converse
from tests.calls.place_call import Watcher
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr, ScriptedStream
from tests.fakes.caller import ScriptedCaller
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

ASK = (0.5, 1.5, "I want a table.")


def serve(
    caller: ScriptedCaller,
    *,
    asr: ScriptedAsr | None = None,
    agent: ScriptedAgent | None = None,
    watcher: Any = None,
    meanwhile: Callable[[CallSession], None] = lambda session: None,
    after: float = 1.0,
) -> tuple[CallRecord, CallSession, Call]:
    async def call() -> tuple[CallRecord, CallSession, Call]:
        engines = Engines(asr or ScriptedAsr([ASK]), ToneTts())
        brain, watchers = agent or ScriptedAgent(), [watcher or Watcher()]
        met: list[tuple[CallSession, Call]] = []

        def meet(session: CallSession, call: Call) -> None:
            met.append((session, call))
            asyncio.get_running_loop().call_later(after, meanwhile, session)

        record = await converse(caller, engines, brain, SessionSettings(), watchers, meet)
        assert len(asyncio.all_tasks()) <= 2  # this one, and the caller's own clock winding up
        return record, *met[0]

    return run_virtual(call())


def test_a_hang_up_from_outside() -> None:
    caller = ScriptedCaller([])
    record, _, call = serve(caller, meanwhile=lambda session: session.hang_up(EndReason.DRAINED))
    assert record.end_reason is EndReason.DRAINED and record.duration == pytest.approx(1.0)
    assert caller.hung_up == [EndReason.DRAINED] and call.state is CallState.ENDED


def test_a_leg_that_cannot_be_answered() -> None:
    class Unanswerable(ScriptedCaller):
        async def answer(self) -> None:
            self.clock = asyncio.create_task(asyncio.sleep(0))
            raise LegError("no common codec", sip_code=488)

    record, *_ = serve(Unanswerable([]))
    assert record.end_reason is EndReason.REJECTED and record.duration == 0.0 and record.turns == []


def test_a_caller_who_gives_up_before_the_answer() -> None:
    class Impatient(ScriptedCaller):
        async def answer(self) -> None:
            self.clock = asyncio.create_task(asyncio.sleep(0))
            await asyncio.sleep(0.3)
            self.listener.notice(LegClosed(EndReason.CANCELLED, 0.3, sip_code=487))
            await asyncio.sleep(9)

    record, *_ = serve(Impatient([]))
    assert (record.end_reason, record.sip_code) == (EndReason.CANCELLED, 487)


def test_an_outbound_leg_begins_when_the_far_end_takes_the_call() -> None:
    class Called(ScriptedCaller):
        direction = Direction.OUTBOUND

    caller = Called([])
    asked = ScriptedAgent(greeting="Hello, it is me.")

    def take(session: CallSession) -> None:
        caller.clock = asyncio.create_task(caller._talk())
        caller.listener.notice(LegAnswered(1.0, 8000, "PCMA"))
        asyncio.get_running_loop().call_later(2.0, session.hang_up, EndReason.DIALPLAN_HUNG_UP)

    record, *_ = serve(caller, agent=asked, meanwhile=take)
    assert record.codec == "PCMA" and record.turns[0].heard == "Hello, it is me."
    assert record.answered_after == pytest.approx(1.0) and record.duration == pytest.approx(2.0)


def test_a_fault_of_ours_ends_this_call_and_is_not_raised_into_the_leg() -> None:
    class Buggy(ScriptedStream):
        def push(self, frame: AudioFrame) -> None:
            raise ZeroDivisionError

    class BuggyAsr(ScriptedAsr):
        def stream(self, options: AsrOptions) -> ScriptedStream:
            return Buggy(self)

    caller = ScriptedCaller([ASK[:2]])
    record, *_ = serve(caller, asr=BuggyAsr([ASK]))
    assert record.end_reason is EndReason.INTERNAL_ERROR and caller.hung_up == [EndReason.INTERNAL_ERROR]


def test_a_recogniser_that_is_full_for_a_moment_costs_nothing() -> None:
    class Full(ScriptedAsr):
        refusals = 2

        def stream(self, options: AsrOptions) -> ScriptedStream:
            self.refusals -= 1
            if self.refusals >= 0:
                raise EngineBusy("full")
            return ScriptedStream(self)

    watcher = Watcher()
    hang_up: Callable[[CallSession], None] = lambda session: session.hang_up(EndReason.DRAINED)  # noqa: E731
    serve(ScriptedCaller([ASK[:2]]), asr=Full([ASK]), watcher=watcher, meanwhile=hang_up, after=6.0)
    assert watcher.finals == ["I want a table."]


def test_an_observer_that_raises_does_no_harm() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    hang_up: Callable[[CallSession], None] = lambda session: session.hang_up(EndReason.DRAINED)  # noqa: E731
    record, *_ = serve(ScriptedCaller([ASK[:2]]), watcher=Broken(), meanwhile=hang_up, after=6.0)
    assert record.turns[-1].heard == "You said I want a table."


def test_frames_before_the_answer_and_after_the_end_are_nobodys() -> None:
    caller = ScriptedCaller([])
    _, session, call = serve(caller, meanwhile=lambda session: session.hang_up(EndReason.DRAINED))
    session.hear(AudioFrame(caller.playout.queue, 8000, 0, 99.0), Voice(True, 1.0))
    session.notice(LegClosed(EndReason.CALLER_HUNG_UP, 99.0))
    assert call.state is CallState.ENDED


def test_a_cancelled_session_hangs_up() -> None:
    async def call() -> ScriptedCaller:
        caller = ScriptedCaller([])
        engines = Engines(ScriptedAsr([]), ToneTts())
        talk = converse(caller, engines, ScriptedAgent(), SessionSettings())
        running = asyncio.create_task(talk)
        await asyncio.sleep(1.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return caller

    assert run_virtual(call()).hung_up == [EndReason.INTERNAL_ERROR]
