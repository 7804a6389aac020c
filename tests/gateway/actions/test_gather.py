"""A question on a real playout: silent in the step in which the answer begins, typed ahead, held, deaf."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.calls.settings import SessionSettings
from gateway.dialplan.actions import Answer, SayText
from gateway.dialplan.actions_ask import DigitRule, Gather
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from media.legs.base import DtmfReceived, EndReason, LegHeld, LegResumed
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

LONG = "one two three four five six seven eight nine ten " * 3
"""Three seconds of the humming voice."""


def desk(*actions: Action, asr: ScriptedAsr | None = None, tts: ToneTts | None = None) -> FrontDesk:
    made = FrontDesk([], asr=asr or ScriptedAsr(()), tts=tts or ToneTts(), session=SessionSettings())
    made.plan = Dialplan((Route("one", Match(), plain(Answer(), *actions)),))
    return made


def keys(*pressed: tuple[float, str]) -> Sequence[tuple[float, DtmfReceived]]:
    return [(at, DtmfReceived(digit, at)) for at, digit in pressed]


def last_heard(phone: Phone, reply: int) -> float:
    return max(at for at, number, _ in phone.playout.heard if number == reply)


def test_the_question_is_silent_from_the_key_on() -> None:
    async def main() -> None:
        tts = ToneTts()
        front = desk(Gather(say=LONG, digits=DigitRule(1, 1)), SayText("You keyed ${gathered}."), tts=tts)
        phone = Phone()
        phone.does = list(keys((1.0, "7")))
        front.reception.take(phone)
        await front.until_idle()
        assert last_heard(phone, 1) == pytest.approx(1.0, abs=0.021), "not a packet more than one tick"
        assert tts.spoken[-1] == "You keyed 7." and phone.playout.refused == 0

    run_virtual(main())


def test_the_question_is_silent_from_the_frame_that_confirms_the_voice() -> None:
    async def main() -> None:
        tts = ToneTts()
        asr = ScriptedAsr([(1.0, 2.0, "sales")])
        front = desk(Gather(say=LONG), SayText("You said ${gathered}."), asr=asr, tts=tts)
        phone = Phone(says=[(1.0, 2.0)])
        front.reception.take(phone)
        await front.until_idle()
        assert last_heard(phone, 1) <= 1.1
        assert tts.spoken[-1] == "You said sales."

    run_virtual(main())


def test_without_barge_in_the_question_is_heard_to_its_end() -> None:
    async def main() -> None:
        tts = ToneTts()
        front = desk(Gather(say=LONG, barge_in=False, retries=0, timeout=1.0), tts=tts)
        phone = Phone()
        phone.does = list(keys((1.0, "7")))
        front.reception.take(phone)
        await front.until_idle()
        assert last_heard(phone, 1) > 3.0

    run_virtual(main())


def test_keys_before_the_question_count_but_not_the_end_of_the_last_answer() -> None:
    async def main() -> None:
        tts = ToneTts()
        ask = DigitRule(1, 2, "#")
        front = desk(
            Gather(say=LONG, digits=ask, into="a"), SayText(LONG), Gather(say=LONG, digits=ask, into="b"),
            SayText("${a} and ${b}."), tts=tts,
        )  # fmt: skip
        phone = Phone()
        phone.does = list(keys((0.5, "1"), (0.6, "2"), (0.7, "#"), (1.0, "3"), (1.1, "4")))
        front.reception.take(phone)
        await front.until_idle()
        assert tts.spoken[-1] == "12 and 34.", tts.spoken

    run_virtual(main())


def test_the_clock_rests_while_the_caller_holds_us() -> None:
    async def main() -> None:
        tts = ToneTts()
        front = desk(Gather(timeout=2.0, retries=0, into="x"), SayText("Over."), tts=tts)
        phone = Phone()
        phone.does = [(1.0, LegHeld(1.0)), (9.0, LegResumed(9.0))]
        front.reception.take(phone)
        await asyncio.sleep(9.5)
        assert tts.spoken == []
        await front.until_idle()
        assert tts.spoken == ["Over."]

    run_virtual(main())


def test_a_recogniser_that_breaks_leaves_the_keys() -> None:
    async def main() -> None:
        tts = ToneTts()
        asr = ScriptedAsr((), dies_at=[1.1, 1.2, 1.3, 1.4])
        front = desk(Gather(say="Hm?", timeout=6.0), SayText("Got ${gathered}."), asr=asr, tts=tts)
        phone = Phone(says=[(1.0, 4.0)])
        phone.does = list(keys((6.0, "5"), (6.2, "#")))
        front.reception.take(phone)
        await front.until_idle()
        assert tts.spoken[-1] == "Got 5."

    run_virtual(main())


def test_a_recogniser_that_breaks_fails_a_question_that_needs_it() -> None:
    async def main() -> None:
        asr = ScriptedAsr((), dies_at=[1.1, 1.2, 1.3, 1.4])
        front = desk(Gather(say="Hm?", input="speech"), asr=asr)
        phone = Phone(says=[(1.0, 4.0)])
        front.reception.take(phone)
        await front.until_idle()
        assert phone.hung_up == [EndReason.ENGINE_FAILED]

    run_virtual(main())


def test_who_hangs_up_while_he_is_asked_leaves_nothing_behind() -> None:
    async def main() -> None:
        front = desk(Gather(say=LONG))
        phone = Phone(says=[(0.5, 4.0)])
        front.reception.take(phone)
        await asyncio.sleep(1.5)
        phone.close(EndReason.CALLER_HUNG_UP)
        await front.until_idle()
        mine = asyncio.current_task()
        assert [task.get_name() for task in asyncio.all_tasks() if task is not mine] == []
        assert [record.end_reason for record in front.keeper.records] == [EndReason.CALLER_HUNG_UP]

    run_virtual(main())
