"""Who is let in, who is not and what he is told, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from engines.base import AsrOptions, AsrStream, EngineBusy, EngineError, EngineFailed, EngineRefused
from gateway.agents.base import Agent
from gateway.calls.registry import RegistrySettings
from gateway.dialplan.actions import Answer, ConnectAgent, Reject, Ring
from gateway.dialplan.forms import Action
from gateway.dialplan.patterns import compile_text
from gateway.reception import Reception
from media.legs.base import EndReason, Parties
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.desk import FrontDesk, Phone, Refused
from tests.virtual_time import run_virtual

TALK: Sequence[Action] = (Answer(), ConnectAgent("desk"))


class FullAsr(ScriptedAsr):
    """Says why it takes no stream."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(())
        self.error = error

    def stream(self, options: AsrOptions) -> AsrStream:
        raise self.error


def test_a_call_is_routed_talked_with_recorded_and_forgotten() -> None:
    async def main() -> None:
        says = [(0.5, 1.5, "hello")]
        desk = FrontDesk(TALK, asr=ScriptedAsr(says))
        phone = Phone(says=[(0.5, 1.5)])
        desk.reception.take(phone)
        await asyncio.sleep(0.2)
        (view,) = desk.live.views()
        assert view["route"] == view["agent"] == "desk" and view["phase"] == "listening"
        assert desk.counted('offhook_calls_active{direction="inbound"}') == 1
        await asyncio.sleep(5.0)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert record.end_reason is EndReason.CALLER_HUNG_UP
        assert [(turn.said, turn.heard) for turn in record.turns] == [("hello", "You said hello")]
        assert record.route == "desk" and record.started
        assert desk.counted('offhook_calls_active{direction="inbound"}') == 0
        assert desk.counted('offhook_calls_ended_total{reason="caller_hung_up"}') == 1

    run_virtual(main())


def test_over_the_limit_and_while_draining_callers_are_told_when_to_try_again() -> None:
    async def main() -> None:
        desk = FrontDesk(TALK, limits=RegistrySettings(max_calls=1, retry_after=7))
        first, second, third = Phone(name="p1"), Phone(name="p2"), Phone(name="p3")
        desk.reception.take(first)
        desk.reception.take(second)
        await asyncio.sleep(0.1)
        assert second.refused == Refused(503, 7, "full") and first.was_answered
        first.close(EndReason.CALLER_HUNG_UP)
        await asyncio.sleep(0.1)
        await desk.registry.drain(0.0)
        desk.reception.take(third)
        await desk.until_idle()
        assert third.refused == Refused(503, 7, "draining")
        assert (desk.refusals("full"), desk.refusals("draining")) == (1, 1)
        assert [record.call_id for record in desk.keeper.records] == ["p1"]

    run_virtual(main())


@pytest.mark.parametrize(
    ("called", "caller", "code", "label"),
    [("999", "100", 404, "number_unknown"), ("200", "666", 403, "caller_forbidden")],
)
def test_what_no_route_takes_is_refused(called: str, caller: str, code: int, label: str) -> None:
    async def main() -> None:
        desk = FrontDesk(TALK)
        phone = Phone(called)
        phone.parties = Parties(caller, called)
        desk.reception.take(phone)
        await desk.until_idle()
        assert phone.refused is not None and phone.refused.code == code
        assert not phone.was_answered and desk.refusals(label) == 1
        assert desk.counted('offhook_calls_ended_total{reason="rejected"}') == 1
        assert desk.keeper.records == []

    run_virtual(main())


def test_a_record_holds_the_headers_that_the_plan_asks_for_and_no_others() -> None:
    async def main() -> None:
        desk = FrontDesk(TALK)
        (route,) = desk.plan.routes
        asks = tuple((name, (compile_text("*"),)) for name in ("x-tenant", "x-account"))
        asking = replace(route, name="asking", match=replace(route.match, headers=asks))
        desk.plan = replace(desk.plan, routes=(route, asking))
        phone = Phone()
        headers = (("via", "SIP/2.0/UDP 192.0.2.1"), ("x-account", "gold"), ("x-password", "1234"))
        phone.parties = replace(phone.parties, headers=headers)
        desk.reception.take(phone)
        await asyncio.sleep(0.2)
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert record.as_json()["parties"]["headers"] == (("x-account", "gold"), ("x-tenant", ""))

    run_virtual(main())


def test_a_route_may_refuse_in_its_own_words() -> None:
    async def main() -> None:
        desk = FrontDesk([Ring(1.0), Reject(486, 30, "Out for lunch")])
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(0.5)
        assert phone.rang and phone.refused is None
        await desk.until_idle()
        assert phone.refused == Refused(486, 30, "Out for lunch") and desk.refusals("dialplan") == 1

    run_virtual(main())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EngineBusy("all 2 streams are in use"), Refused(503, 10, "no_recogniser")),
        (EngineFailed("the model broke"), Refused(503, 10, "no_recogniser")),
        (EngineRefused("English only"), Refused(488, 0, "no_recogniser")),
    ],
)
def test_who_could_not_be_heard_is_not_let_in(error: EngineError, told: Refused) -> None:
    async def main() -> None:
        desk = FrontDesk([Ring(), *TALK], asr=FullAsr(error))
        phone = Phone()
        desk.reception.take(phone)
        await desk.until_idle()
        assert phone.refused == told
        assert not (phone.was_answered or phone.rang)
        assert desk.refusals("no_recogniser") == 1 and desk.keeper.records == []

    run_virtual(main())


def test_the_place_taken_before_the_answer_is_the_one_that_is_used() -> None:
    async def main() -> None:
        asr = ScriptedAsr(())
        desk = FrontDesk(TALK, asr=asr)
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(1.0)
        assert len(asr.streams) == 1
        phone.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert len(asr.streams) == 1

    run_virtual(main())


def broken_agent() -> Agent:
    raise ZeroDivisionError("planted")


def test_a_fault_in_one_call_ends_it_and_frees_its_place() -> None:
    async def main() -> None:
        desk = FrontDesk(TALK, limits=RegistrySettings(max_calls=1))
        desk.make_agent = broken_agent
        broken, healthy = Phone(name="p1"), Phone(name="p2")
        desk.reception.take(broken)
        await asyncio.sleep(0.1)
        assert broken.hung_up == [EndReason.INTERNAL_ERROR]
        desk.make_agent = ScriptedAgent
        desk.reception.take(healthy)
        await asyncio.sleep(0.1)
        assert healthy.was_answered
        healthy.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert desk.counted('offhook_calls_ended_total{reason="internal_error"}') == 1

    run_virtual(main())


def test_closing_cancels_what_does_not_end_by_itself() -> None:
    async def main() -> None:
        desk = FrontDesk([Ring(100.0), *TALK])
        phone = Phone()
        desk.reception.take(phone)
        await asyncio.sleep(0.1)
        await desk.reception.aclose()
        assert len(desk.registry) == 0 and desk.live.views() == []
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set()

    run_virtual(main())


def test_a_licence_refuses_new_calls_and_touches_none_that_runs() -> None:
    async def main() -> None:
        told: list[str] = [""]
        desk = FrontDesk(TALK, asr=ScriptedAsr([(0.5, 1.5, "hello")]), licence=lambda running: told[0])
        first, second = Phone(says=[(0.5, 1.5)], name="p1"), Phone(name="p2")
        desk.reception.take(first)
        await asyncio.sleep(0.2)
        told[0] = "the licence has run out"
        desk.reception.take(second)
        await asyncio.sleep(4.0)
        assert second.refused == Refused(503, 10, "the licence has run out")
        assert desk.refusals("license") == 1
        first.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        (record,) = desk.keeper.records
        assert [(turn.said, turn.heard) for turn in record.turns] == [("hello", "You said hello")]

    run_virtual(main())


def test_measured_load_refuses_the_next_call_and_keeps_the_running_ones() -> None:
    async def main() -> None:
        desk = FrontDesk(TALK)
        judged = replace(desk.desk, overload=lambda running: "loop_lag" if running else "")
        reception = Reception(judged)
        first, second = Phone(name="p1"), Phone(name="p2")
        reception.take(first)
        await asyncio.sleep(0.1)
        reception.take(second)
        await asyncio.sleep(0.1)
        assert second.refused == Refused(503, 10, "loop_lag") and desk.refusals("loop_lag") == 1
        assert first.was_answered and len(desk.registry) == 1
        assert desk.story("p2") == ["call.refused"]
        first.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        await reception.aclose()

    run_virtual(main())
