"""Two running calls of a node that are connected by order, whatever they are doing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.calls.call_events import BridgeChanged
from gateway.calls.orders import BridgeCall, GoTo, OrderRefused
from gateway.dialplan.actions import Answer, ConnectAgent, SayText
from gateway.dialplan.actions_ask import Gather, Record
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from media.legs.base import DtmfReceived, EndReason
from tests.fakes.agent import ScriptedAgent
from tests.fakes.callee import Callee
from tests.fakes.control_api import ControlApi
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.office import BERLIN
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

LONG = "one two three four five six seven eight nine ten " * 5
BUSY: list[Action] = [
    SayText(LONG),
    Gather(timeout=30.0),
    Record(max_seconds=30.0, silence=0, beep=False),
    ConnectAgent("desk"),
]


class KeyedPhone(Phone):
    """Notes the keys that reach it."""

    keys = ""

    async def send_dtmf(self, digits: str) -> None:
        self.keys += digits


def loudest(phone: Phone | Callee, after: float, before: float) -> int:
    return int(
        max((np.abs(pcm).max() for at, _, pcm in phone.playout.heard if after < at < before), default=0)
    )


def front(action: Action, folder: Path) -> tuple[FrontDesk, ToneTts]:
    tts = ToneTts()
    desk = FrontDesk([], tts=tts, folder=folder, make_agent=lambda: ScriptedAgent(greeting=LONG))
    desk.plan = Dialplan(
        (
            Route("one", Match(), plain(Answer(), action, SayText("Next."))),
            Route("two", Match(never=True), plain(SayText("Two."))),
        )
    )
    return desk, tts


async def order(desk: FrontDesk, call_id: str, other: str) -> None:
    call = desk.registry.get(call_id)
    assert call is not None
    await call.obey(BridgeCall(other))


@pytest.mark.parametrize("action", BUSY, ids=lambda action: type(action).__name__)
def test_both_leave_what_they_do_and_hear_each_other(action: Action, tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(action, tmp_path)
        one, two = (KeyedPhone(says=[(at, at + 1.0)], name=name) for name, at in (("p1", 3.0), ("p2", 5.0)))
        one.does = [(6.5, DtmfReceived("7", 6.5))]
        for phone in (one, two):
            desk.reception.take(phone)
        await asyncio.sleep(1.5)
        await order(desk, "p1", "p2")
        await asyncio.sleep(5.5)
        assert loudest(two, 3.1, 3.9) == loudest(one, 5.1, 5.9) == 3000
        assert loudest(one, 2.1, 3.9) == 0 and two.keys == "7" and one.keys == ""
        one.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        ends = {record.call_id: record for record in desk.keeper.records}
        assert ends["p1"].end_reason is EndReason.CALLER_HUNG_UP
        assert ends["p2"].end_reason is EndReason.DIALPLAN_HUNG_UP
        assert tts.spoken.count("Next.") == isinstance(action, ConnectAgent), (
            "after an agent the route goes on"
        )
        for call_id, other in (("p1", "p2"), ("p2", "p1")):
            told = [(e.other, e.on) for e in ends[call_id].events if isinstance(e, BridgeChanged)]
            assert told == [(other, True), (other, False)]
        assert one.playout.refused == two.playout.refused == 0
        mine = asyncio.current_task()
        assert [task.get_name() for task in asyncio.all_tasks() if task is not mine] == []

    run_virtual(main())


def test_one_of_two_is_sent_to_another_route(tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(ConnectAgent("desk"), tmp_path)
        for phone in (one := Phone(name="p1"), Phone(name="p2")):
            desk.reception.take(phone)
        await asyncio.sleep(1.5)
        await order(desk, "p1", "p2")
        await asyncio.sleep(1.0)
        call = desk.registry.get("p1")
        assert call is not None
        await call.obey(GoTo("two"))
        await desk.until_idle()
        assert sorted(tts.spoken[-2:]) == ["Next.", "Two."] and loudest(one, 2.5, 4.0) > 0

    run_virtual(main())


def test_a_third_call_takes_the_place_of_the_second(tmp_path: Path) -> None:
    async def main() -> None:
        desk, _ = front(ConnectAgent("desk"), tmp_path)
        phones = [Phone(name=name, says=[(4.0, 5.0)] if name == "p3" else ()) for name in ("p1", "p2", "p3")]
        for phone in phones:
            desk.reception.take(phone)
        await asyncio.sleep(1.5)
        await order(desk, "p1", "p2")
        await asyncio.sleep(1.0)
        await order(desk, "p3", "p1")
        await asyncio.sleep(3.0)
        assert loudest(phones[0], 4.1, 4.9) == 3000 and loudest(phones[1], 4.1, 4.9) == 0
        phones[0].close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert len(desk.keeper.records) == 3

    run_virtual(main())


def test_who_hangs_up_meanwhile_lets_the_other_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(ConnectAgent("desk"), tmp_path)
        two = Phone(name="p2")
        for phone in (Phone(name="p1"), two):
            desk.reception.take(phone)
        await asyncio.sleep(1.5)
        await order(desk, "p1", "p2")
        two.close(EndReason.CALLER_HUNG_UP)
        await desk.until_idle()
        assert tts.spoken[-1] == "Next."

    run_virtual(main())


def test_what_cannot_be_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        desk, tts = front(SayText(LONG), tmp_path)
        for name in ("p1", "p2", "p3"):
            desk.reception.take(Phone(name=name))
        await asyncio.sleep(1.5)
        for other in ("p1", "nobody"):
            with pytest.raises(OrderRefused, match="no other call"):
                await order(desk, "p1", other)
        await order(desk, "p1", "p2")
        with pytest.raises(OrderRefused, match="p2 is going on to something else"):
            await order(desk, "p3", "p2")
        await asyncio.sleep(6.0)
        assert tts.spoken[-1] == "Next.", "the third one heard its text to the end"
        for call in desk.registry:
            call.hang_up(EndReason.API_HUNG_UP)
        await desk.until_idle()

    run_virtual(main())


def test_two_placed_calls_are_bridged_over_rest() -> None:
    async def main() -> None:
        one = Callee(answers=1.0, says=[(2.0, 3.0)], name="a")
        two = Callee(answers=1.0, name="b")
        api = ControlApi(one, two)
        for _ in range(2):
            await api.post("/v1/calls", {"to": BERLIN})
        early = await api.post("/v1/calls/call1/bridge", {"call_id": "call2"})
        assert early.status_code == 409 and "not up" in early.text
        await asyncio.sleep(1.5)
        assert (await api.post("/v1/calls/call1/bridge", {"call_id": "call2"})).status_code == 200
        await asyncio.sleep(3.0)
        assert loudest(two, 3.1, 3.9) == 3000
        two.close(EndReason.CALLER_HUNG_UP)
        await api.office.desk.until_idle()
        for call_id in ("call1", "call2"):
            assert api.office.desk.story(call_id).count("call.bridge_changed") == 2
        assert one.hung_up

    run_virtual(main())
