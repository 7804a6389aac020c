"""What a route does with a call: announcements, agents, endings, records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from engines.base import SpeechChunk, TtsOptions
from gateway.calls.settings import DeadlineSettings, SessionSettings
from gateway.calls.turn_settings import GuardSettings, TurnSettings
from gateway.dialplan.actions import (
    Answer,
    ConnectAgent,
    HangUpCall,
    PlayFile,
    Progress,
    Reject,
    Ring,
    SayText,
)
from gateway.dialplan.forms import Action
from media.legs.base import EndReason, LegClosed, LegError
from media.wav import write_wav
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

NOTICE = "This is a notice. Goodbye."


def tones(phone: Phone) -> list[int]:
    """Levels heard, each once, in order: `ToneTts` hums every sentence at a level of its own."""
    heard: list[int] = []
    for _, _, pcm in phone.playout.heard:
        level = int(np.abs(pcm).max())
        if not heard or heard[-1] != level:
            heard.append(level)
    return heard


def test_a_text_is_spoken_to_its_end_sentence_by_sentence_and_leaves_a_record() -> None:
    async def main() -> None:
        tts = ToneTts()
        desk = FrontDesk([Answer(), SayText(NOTICE), HangUpCall(17)], tts=tts)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(0.2)
        assert [view["phase"] for view in desk.live.views()] == ["announcing"]
        await desk.until_idle()
        assert tts.spoken == ["This is a notice.", "Goodbye."] and tones(phone) == [100, 200]
        assert sum(len(pcm) for _, _, pcm in phone.playout.heard) == 5 * 800
        assert phone.hung_up == [EndReason.DIALPLAN_HUNG_UP] and phone.causes == [17]
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.DIALPLAN_HUNG_UP and record.turns == []
        assert record.duration == pytest.approx(0.5, abs=0.1)
        assert record.as_json()["route"] == "desk"

    run_virtual(main())


def test_an_announcement_before_the_answer_costs_the_caller_nothing() -> None:
    async def main() -> None:
        tts = ToneTts()
        desk = FrontDesk([Progress(), SayText(NOTICE), Reject(404)], tts=tts)
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle()
        assert phone.early and not phone.was_answered
        assert tones(phone) == [100, 200]
        assert phone.refused is not None and phone.refused.code == 404

    run_virtual(main())


def test_after_an_announcement_the_agent_talks_and_its_replies_are_not_stale() -> None:
    async def main() -> None:
        says = [(3.0, 4.0, "hello")]
        agent = ScriptedAgent(greeting="Hi there.")
        desk = FrontDesk(
            [Ring(0.5), Answer(), SayText(NOTICE), ConnectAgent("desk")],
            asr=ScriptedAsr(says),
            make_agent=lambda: agent,
        )
        phone = Phone(says=[(3.5, 4.5)])
        desk.reception.take(phone)
        await asyncio.sleep(9.0)
        assert phone.rang and agent.asked
        assert phone.playout.refused == 0
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert tones(phone)[:3] == [100, 200, 300]
        (record,) = desk.keeper.records
        assert record.turns[-1].heard.startswith("You said")
        assert record.end_reason is EndReason.CALLER_HUNG_UP

    run_virtual(main())


def test_who_hangs_up_during_the_announcement_never_meets_the_agent() -> None:
    async def main() -> None:
        agent = ScriptedAgent()
        desk = FrontDesk([Answer(), SayText(NOTICE), ConnectAgent("desk")], make_agent=lambda: agent)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(0.3)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert not agent.asked and not agent.closed
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.CALLER_HUNG_UP and 0.2 < record.duration < 0.4

    run_virtual(main())


def test_who_gives_up_while_it_rings_leaves_a_record_of_no_duration() -> None:
    async def main() -> None:
        desk = FrontDesk([Ring(5.0), Answer(), ConnectAgent("desk")])
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(1.0)
        assert [view["phase"] for view in desk.live.views()] == ["ringing"]
        phone.close(EndReason.CANCELLED)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert (record.end_reason, record.duration) == (EndReason.CANCELLED, 0.0)
        assert not phone.was_answered

    run_virtual(main())


@pytest.mark.parametrize(
    "actions", [[Ring(60.0), Answer(), ConnectAgent("desk")], [Answer(), SayText(NOTICE * 20)]]
)
def test_a_drain_ends_a_call_that_no_session_serves(actions: Sequence[Action]) -> None:
    async def main() -> None:
        desk = FrontDesk(actions)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(0.5)
        assert await desk.registry.drain(0.1) == 1
        await desk.until_idle(5.0)
        assert phone.hung_up == [EndReason.DRAINED]
        assert [record.end_reason for record in desk.keeper.records] == [EndReason.DRAINED]

    run_virtual(main())


class MuteTts(ToneTts):
    """Never gives a sound."""

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        await asyncio.sleep(3600.0)
        yield SpeechChunk(np.zeros(1, np.int16))


@pytest.mark.parametrize("tts", [ToneTts(fails=1), MuteTts()])
def test_a_voice_that_fails_or_hangs_ends_the_call_for_that_reason(tts: ToneTts) -> None:
    async def main() -> None:
        settings = SessionSettings(deadlines=DeadlineSettings(tts_first=1.0))
        desk = FrontDesk([Answer(), SayText(NOTICE)], tts=tts, session=settings)
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle(5.0)
        assert phone.hung_up == [EndReason.ENGINE_FAILED]
        assert desk.counted('offhook_calls_ended_total{reason="engine_failed"}') == 1

    run_virtual(main())


class Unreachable(Phone):
    """Cannot be answered: the caller's network went away."""

    async def answer(self) -> None:
        raise LegError("the far end never agreed on audio", sip_code=408)


def test_a_leg_that_cannot_be_answered_ends_the_call() -> None:
    async def main() -> None:
        desk = FrontDesk([Answer(), SayText(NOTICE)])
        phone = Unreachable()
        desk.reception.take(phone)
        await desk.until_idle()
        assert phone.hung_up == [EndReason.MEDIA_LOST]

    run_virtual(main())


def test_who_vanishes_between_announcement_and_agent_is_not_waited_for() -> None:
    async def main() -> None:
        phone = Phone()

        def make_agent() -> ScriptedAgent:
            """The caller is gone after the announcement was heard and before the session listens."""
            loop = asyncio.get_running_loop()
            loop.call_soon(phone.listener.notice, LegClosed(EndReason.CALLER_HUNG_UP, loop.time()))
            return ScriptedAgent()

        desk = FrontDesk([Answer(), SayText("Hello."), ConnectAgent("desk")], make_agent=make_agent)
        desk.reception.take(phone)
        await desk.until_idle(10.0)
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.CALLER_HUNG_UP

    run_virtual(main())


def test_a_file_is_played_to_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        write_wav(tmp_path / "notice.wav", np.full(1600, 500, np.int16), 8000)
        desk = FrontDesk([Answer(), PlayFile(tmp_path / "notice.wav"), PlayFile(tmp_path / "gone.wav")])
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle(5.0)
        assert sum(len(pcm) for _, reply, pcm in phone.playout.heard if reply == 1) == 1600
        assert tones(phone) == [500, 100], "the apology follows, as one phrase"
        assert phone.hung_up == [EndReason.INTERNAL_ERROR]

    asyncio.run(main())


def test_no_route_goes_on_for_ever() -> None:
    async def main() -> None:
        guards = GuardSettings(max_duration=100.0, warning=0.0)
        settings = SessionSettings(turns=TurnSettings(guards=guards))
        desk = FrontDesk([Answer(), *[SayText("one " * 400)] * 10], session=settings)
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle(600.0)
        assert phone.hung_up == [EndReason.MAX_DURATION]
        assert desk.keeper.records[0].duration == pytest.approx(170.0, abs=1.0)

    run_virtual(main())
