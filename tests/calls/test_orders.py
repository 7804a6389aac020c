"""Orders that an agent gives in mid conversation: done when what was said before them was heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.agents.base import Do, ReplyPart, Say, UserTurn
from gateway.calls.orders import End, OrderRefused, SayNow, SendKeys, SwitchAgent, TransferBlind
from gateway.dialplan.actions import Answer, ConnectAgent
from gateway.dialplan.forms import Action
from media.legs.base import EndReason
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone
from tests.virtual_time import run_virtual

ROUTE: list[Action] = [Answer(), ConnectAgent("desk")]
ASK = (1.0, 2.0, "hello")


class Orderly(ScriptedAgent):
    """Gives one order between two sentences of every reply."""

    def __init__(self, do: Do, greeting: str = "") -> None:
        super().__init__(greeting=greeting)
        self.do = do

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        self.asked.append(turn)
        yield Say("Wait for it. ")
        yield self.do
        yield Say("There you are.")


class KeyedPhone(Phone):
    """Remembers when keys were sent to it."""

    def __init__(self, says: tuple[tuple[float, float], ...] = ((1.0, 2.0),)) -> None:
        super().__init__(says=says)
        self.keys: list[tuple[float, str]] = []

    async def send_dtmf(self, digits: str) -> None:
        self.keys.append((asyncio.get_running_loop().time(), digits))


def test_keys_are_sent_when_the_sentence_before_them_was_heard() -> None:
    async def main() -> None:
        told: list[str] = []
        desk = FrontDesk(
            ROUTE, asr=ScriptedAsr([ASK]), make_agent=lambda: Orderly(Do(SendKeys("1w2"), told.append))
        )
        phone = KeyedPhone()
        desk.reception.take(phone)
        await asyncio.sleep(8.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        heard = [at for at, _, _ in phone.playout.heard]
        (first, one), (second, two) = phone.keys
        assert (one, two) == ("1", "2") and second - first == pytest.approx(0.5)
        sentence = [at for at in heard if at <= first]
        assert len(sentence) * 0.02 == pytest.approx(0.3, abs=0.05)  # a sentence of three words, all of it
        assert heard[len(sentence)] > second  # and the next one only after the keys
        assert told == [""]

    run_virtual(main())


def test_a_caller_who_interrupts_prevents_the_order() -> None:
    async def main() -> None:
        desk = FrontDesk(
            ROUTE,
            asr=ScriptedAsr([ASK, (2.65, 3.8, "no not that please")]),
            make_agent=lambda: Orderly(Do(End(EndReason.AGENT_HUNG_UP))),
        )
        phone = KeyedPhone(says=((1.0, 2.0), (2.65, 3.8)))
        desk.reception.take(phone)
        await asyncio.sleep(3.5)
        assert len(desk.registry) == 1
        await asyncio.sleep(4.0)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.AGENT_HUNG_UP
        assert record.turns[-1].said == "hello no not that please" and record.duration > 4.0

    run_virtual(main())


class Briefed(ScriptedAgent):
    """Greets with what it was told."""

    def brief(self, handoff: str) -> None:
        self.greeting = f"I know that {handoff}"


def test_the_next_agent_is_told_what_the_first_one_says_of_the_caller() -> None:
    async def main() -> None:
        first = Orderly(Do(SwitchAgent("expert", "he wants a refund.")), greeting="Desk here.")
        agents = [first, Briefed(), Briefed()]
        desk = FrontDesk(ROUTE, asr=ScriptedAsr([(1.5, 2.5, "hello")]), make_agent=lambda: agents.pop(0))
        phone = KeyedPhone(says=((1.5, 2.5),))
        desk.reception.take(phone)
        await asyncio.sleep(8.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert record.turns[-1].heard == "I know that he wants a refund."

    run_virtual(main())


def test_another_agent_goes_on_and_the_record_is_one() -> None:
    async def main() -> None:
        first = Orderly(Do(SwitchAgent("expert")), greeting="Desk here.")
        second = ScriptedAgent(greeting="Expert here.")
        agents = [first, second, second]  # it is looked whether there is one before the first one leaves
        desk = FrontDesk(
            ROUTE,
            asr=ScriptedAsr([(1.5, 2.5, "hello"), (6.0, 7.0, "thanks")]),
            make_agent=lambda: agents.pop(0),
        )
        phone = KeyedPhone(says=((1.5, 2.5), (6.0, 7.0)))
        desk.reception.take(phone)
        await asyncio.sleep(10.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert [turn.number for turn in record.turns] == [0, 1, 0, 2]
        assert [turn.heard for turn in record.turns] == [
            "Desk here.",
            "Wait for it.",
            "Expert here.",
            "You said thanks",
        ]
        assert phone.playout.refused == 0 and first.closed and second.closed
        stages = [e for e in record.as_json()["events"] if e["event"] == "stage_began"]
        assert [stage["detail"] for stage in stages] == ["desk", "expert"]

    run_virtual(main())


def test_a_refused_order_is_told_and_the_reply_goes_on() -> None:
    async def main() -> None:
        told: list[str] = []
        desk = FrontDesk(
            ROUTE,
            asr=ScriptedAsr([ASK]),
            make_agent=lambda: Orderly(Do(TransferBlind("+4930123"), told.append)),
        )
        phone = KeyedPhone()
        desk.reception.take(phone)
        await asyncio.sleep(8.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert told and told[0]
        assert desk.keeper.records[0].turns[-1].heard == "Wait for it. There you are."

    run_virtual(main())


def test_orders_from_outside_find_the_call_and_are_refused_in_words_when_impossible() -> None:
    async def main() -> None:
        desk = FrontDesk(ROUTE)
        phone = KeyedPhone(says=())
        desk.reception.take(phone)
        await asyncio.sleep(1.0)
        call = desk.registry.get("p1")
        assert call is not None
        await call.obey(SendKeys("5"))
        assert [keys for _, keys in phone.keys] == ["5"]
        with pytest.raises(OrderRefused):
            await call.obey(TransferBlind("100"))
        assert SayNow("x").interrupt is False
        await call.obey(End(EndReason.AGENT_HUNG_UP))
        await desk.until_idle()
        assert desk.keeper.records[0].end_reason is EndReason.AGENT_HUNG_UP

    run_virtual(main())
